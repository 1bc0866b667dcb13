import { closingLine, formatFigure, verdictOf } from '../closing-table.ts';
import type { ResultRow } from '../result.ts';
import type { BenchResult, BenchRun } from '../run.ts';
import { closing, introduction, sectionOf, sections } from './prose.ts';

/** BENCHMARKS.md: fixed text, and tables of what a run found. */
export function page(run: BenchRun): string {
  const { cpu, cores, memoryGiB, node, platform } = run.machine;
  const benches = inOrder(run.benches);
  const day = run.startedAt.slice(0, 10);
  return [
    introduction,
    `Measured on ${day}: ${cores} cores of ${cpu.replace(/^(?=AMD|Intel)/, 'an ')}, shared with other machines, ${memoryGiB} GiB, ${platform}, Node ${node.slice(1)}.`,
    `${closingLine(benches)}.`,
    '![Throughput](bench/throughput.svg)',
    '![Latency](bench/latency.svg)',
    ...benches.flatMap(sectionOfBench),
    closing,
  ]
    .join('\n\n')
    .concat('\n');
}

/** In the order of the prose; what it doesn't know comes last. */
export function inOrder(benches: readonly BenchResult[]): BenchResult[] {
  const names = Object.keys(sections);
  const rank = ({ name }: BenchResult): number => (names.includes(name) ? names.indexOf(name) : names.length);
  return benches.toSorted((a, b) => rank(a) - rank(b));
}

function sectionOfBench(bench: BenchResult): string[] {
  const { name, title, measures, rows, tables, failure } = bench;
  const parts = [`## ${title}`, `\`npm run bench -- ${name}\`. ${measures}`];
  if (failure !== undefined) parts.push(`It failed: ${failure}.`);
  if (rows.length > 0) parts.push(markdownTable(rows.map(cells)));
  parts.push(...rows.flatMap(({ note }) => note ?? []).filter((note, i, all) => all.indexOf(note) === i));
  const why = sectionOf(name);
  if (why !== '') parts.push(why);
  if (tables.length > 0) {
    const details = tables.map(
      ({ title: head, rows: cellsOfTable }) => `${sentence(head)}:\n\n${markdownTable(cellsOfTable)}`,
    );
    parts.push(`<details><summary>All that was measured</summary>\n\n${details.join('\n\n')}\n\n</details>`);
  }
  return parts;
}

function cells(row: ResultRow): Readonly<Record<string, string>> {
  const { what, against, ours, peer, unit, ratio, spread, target } = row;
  const range = spread === undefined ? '' : spread.map(formatFigure).join(' to ');
  return {
    what,
    'beside it': against,
    unit,
    Tidemark: ours === undefined ? '' : formatFigure(ours),
    'the other': peer === undefined ? '' : formatFigure(peer),
    'times better': ratio === undefined ? '' : `**${formatFigure(ratio)}**`,
    'lowest to highest': range,
    target: target ?? '',
    reached: verdictOf(row),
  };
}

function markdownTable(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const line = (values: readonly string[]): string => `| ${values.join(' | ')} |`;
  const text = (value: string | number | undefined): string =>
    typeof value === 'number' ? formatFigure(value) : (value ?? '').replaceAll('|', '\\|');
  const rules = columns.map((name) => (typeof rows[0]![name] === 'number' ? '---:' : '---'));
  return [line(columns), line(rules), ...rows.map((row) => line(columns.map((name) => text(row[name]))))].join('\n');
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
