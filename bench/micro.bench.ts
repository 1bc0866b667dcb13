import type { Bench } from './bench.ts';
import { threadCpuMs } from './cpu.ts';
import { runOthers } from './manual-program.ts';
import { median } from './median.ts';
import { baseline, type MicroCase, microCases } from './micro-cases.ts';
import type { ResultRow } from './result.ts';

const warmUps = 6;
/** What runs shorter is run several times in a row: the counter of CPU time is a coarse one. */
const measuredMs = 40;

async function cpuOf(work: () => unknown, times: number): Promise<number> {
  const before = threadCpuMs();
  for (let i = 0; i < times; i++) await work();
  return (threadCpuMs() - before) / times;
}

/** How often it must run to be measured. Compiles it, too. */
async function timesOf(work: () => unknown): Promise<number> {
  await cpuOf(work, warmUps);
  return Math.ceil(measuredMs / Math.max(0.1, await cpuOf(work, warmUps)));
}

/** Baseline time over the case's time, per round. */
async function ratios({ run }: MicroCase, rounds: number): Promise<number[]> {
  const [loopTimes, caseTimes] = [await timesOf(baseline), await timesOf(run)];
  const found: number[] = [];
  for (let round = 0; round < rounds; round++) {
    found.push((await cpuOf(baseline, loopTimes)) / (await cpuOf(run, caseTimes)));
  }
  return found;
}

export const bench: Bench = {
  title: 'Parts of the engine beside a fixed loop',
  measures:
    'How many times the speed of one fixed loop a piece of work has, in CPU time of the thread, the two in turn. A ratio says nothing by ' +
    'itself: it is compared with a floor, about six tenths of what it was when the floor was written, so noise does not reach it. ' +
    'What falls below it is measured again with three times the rounds before it counts, and the exit code is 1.',
  isByHand: true,
  run: async ({ rounds, progress }) => {
    await runOthers();
    const table: Record<string, string | number>[] = [];
    const rows: ResultRow[] = [];
    const regressed: string[] = [];
    for (const one of await microCases()) {
      progress(one.name);
      let found = await ratios(one, rounds(15));
      if (median(found) < one.floor) found = await ratios(one, 3 * rounds(15));
      const ratio = median(found);
      const isReached = ratio >= one.floor;
      if (!isReached) regressed.push(one.name);
      table.push({ what: one.name, ratio, floor: one.floor, verdict: isReached ? 'ok' : 'regressed' });
      rows.push({
        what: one.name,
        against: 'a fixed loop',
        unit: 'times its speed',
        ratio,
        spread: [Math.min(...found), Math.max(...found)],
        target: `at least ${one.floor}x`,
        isReached,
      });
    }
    const tables = [{ title: 'times the speed of the loop', rows: table }];
    return regressed.length === 0 ? { tables, rows } : { tables, rows, failure: `regressed: ${regressed.join(', ')}` };
  },
};
