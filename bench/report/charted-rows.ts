import type { ResultRow } from '../result.ts';
import type { BenchResult } from '../run.ts';
import type { BarGroup } from './chart.ts';

type Measured = ResultRow & Required<Pick<ResultRow, 'ours' | 'peer' | 'ratio'>>;

const cpuUnit = /^CPU us\/(\w+)$/;

/** Everything per second; where only the CPU time of an event was measured, its inverse. */
export function throughputGroups(benches: readonly BenchResult[]): BarGroup[] {
  return benches.flatMap(({ rows }) => {
    const compared = rows.filter(isMeasured);
    const rates = compared.filter(({ unit }) => isRate(unit));
    const perCpu = compared.flatMap((row) => {
      const [, event] = cpuUnit.exec(row.unit) ?? [];
      if (event === undefined || rates.some(({ what }) => what === row.what)) return [];
      return [{ ...row, ours: 1e6 / row.ours, peer: 1e6 / row.peer, unit: `${event}s per CPU second` }];
    });
    return [...rates, ...perCpu].map(groupOf);
  });
}

/** Every time that somebody waits for. */
export function latencyGroups(benches: readonly BenchResult[]): BarGroup[] {
  return benches.flatMap(({ rows }) =>
    rows.filter((row) => isMeasured(row) && row.unit === 'ms').map((row) => groupOf(row as Measured)),
  );
}

function isRate(unit: string): boolean {
  return unit.endsWith('/s') || unit.endsWith('per CPU second');
}

function isMeasured(row: ResultRow): row is Measured {
  return row.ours !== undefined && row.peer !== undefined && row.ratio !== undefined;
}

function groupOf({ what, against, unit, ours, peer, ratio }: Measured): BarGroup {
  return { label: what, against, unit, ours, peer, ratio };
}
