import type { TableRow } from '../src/cli/table.ts';
import type { ResultRow } from './result.ts';
import type { BenchResult } from './run.ts';

/** Every finding of every benchmark in one table. */
export function closingRows(benches: readonly BenchResult[]): TableRow[] {
  return benches.flatMap(({ name, rows, failure }) => {
    const found = rows.map((row) => ({ bench: name, ...closingRow(row) }));
    if (failure === undefined) return found;
    return [
      ...found,
      { bench: name, ...closingRow({ what: '', against: '', unit: '' }), 'reached?': `failed: ${failure}` },
    ];
  });
}

function closingRow(row: ResultRow): TableRow {
  return {
    what: row.what,
    against: row.against,
    ours: row.ours === undefined ? '' : `${formatFigure(row.ours)} ${row.unit}`,
    peer: row.peer === undefined ? '' : formatFigure(row.peer),
    ratio: row.ratio === undefined ? '' : `${formatFigure(row.ratio)}x`,
    spread: row.spread === undefined ? '' : row.spread.map(formatFigure).join(' - '),
    target: row.target ?? '',
    'reached?': verdictOf(row),
  };
}

export function verdictOf({ isReached, notRun, target }: ResultRow): string {
  if (notRun !== undefined) return `not run: ${notRun}`;
  return target === undefined ? '' : isReached ? 'yes' : 'no';
}

/** One line: how many targets there were, and what became of them. */
export function closingLine(benches: readonly BenchResult[]): string {
  const rows = benches.flatMap((bench) => bench.rows);
  const reached = rows.filter(({ isReached }) => isReached === true).length;
  const missed = rows.filter(({ isReached }) => isReached === false).length;
  const left = rows.filter(({ notRun }) => notRun !== undefined).length;
  const failed = benches.filter(({ failure }) => failure !== undefined).length;
  return `${reached} targets reached, ${missed} missed, ${left} not run; ${failed} benchmarks failed`;
}

/** Three significant digits are more than these figures deserve, and enough to compare them. */
export function formatFigure(value: number): string {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const rounded = Number(value.toPrecision(3));
  return rounded.toLocaleString('en-US', { maximumFractionDigits: Math.min(digits, 4) });
}
