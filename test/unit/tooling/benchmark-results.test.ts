import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { closingLine, closingRows, formatFigure } from '../../../bench/closing-table.ts';
import { smallestHeld } from '../../../bench/interval-search.ts';
import { verdictOn } from '../../../bench/interval-verdict.ts';
import { reportFiles } from '../../../bench/report/write-report.ts';
import { alone, compared, notRun } from '../../../bench/result.ts';
import { type BenchResult, type BenchRun, withoutNaN } from '../../../bench/run.ts';
import { projectRoot } from '../../../scripts/steps.ts';

const sides = { what: 'a', against: 'b', ours: [10, 30, 20], peer: [40, 60, 100] };

test('a ratio is how many times better than the peer, whichever way the unit runs', () => {
  const less = compared({ ...sides, unit: 'ms', better: 'less', atLeast: 3 });
  expect(less).toMatchObject({ ours: 20, peer: 60, ratio: 4, spread: [2, 5], target: 'at least 3x', isReached: true });
  const more = compared({ ...sides, unit: 'events/s', better: 'more', atLeast: 0.5 });
  expect(more).toMatchObject({ ratio: 0.25, spread: [0.2, 0.5], isReached: false });
});

test('rounds that are not pairs are compared with the median of the peer', () => {
  expect(compared({ ...sides, peer: [60], unit: 'ms', better: 'less' })).toMatchObject({ ratio: 3, spread: [2, 6] });
});

test('a figure without a peer is held against a limit in its own unit', () => {
  expect(alone({ what: 'a', unit: 'bytes', ours: [400, 501, 450], atMost: 450 })).toMatchObject({
    ours: 450,
    spread: [400, 501],
    target: 'at most 450 bytes',
    isReached: true,
  });
  expect(alone({ what: 'a', unit: 'bytes', ours: [451], atMost: 450 }).isReached).toBe(false);
  expect(alone({ what: 'a', unit: 'x', ours: [1], atLeast: 2 }).isReached).toBe(false);
  expect(alone({ what: 'a', unit: 'x', ours: [1] }).isReached).toBeUndefined();
});

test('a median of nothing becomes a row that was not run, and an empty cell', () => {
  const row = compared({ ...sides, ours: [], unit: 'ms', better: 'less', atLeast: 2 });
  expect(withoutNaN({ tables: [{ title: 't', rows: [{ a: 1, b: Number.NaN }] }], rows: [row] })).toEqual({
    tables: [{ title: 't', rows: [{ a: 1, b: '' }] }],
    rows: [notRun('a', 'b', 'it gave no figure here')],
  });
});

test('figures are shown with three digits', () => {
  expect([0, 0.01234, 1.2345, 12.345, 123.45, 1234567].map(formatFigure)).toEqual([
    '0',
    '0.0123',
    '1.23',
    '12.3',
    '123',
    '1,230,000',
  ]);
});

const bench = (name: string, more: Partial<BenchResult>): BenchResult => ({
  ...{ name, title: `Title of ${name}`, measures: 'All.', tookS: 1, tables: [], rows: [] },
  ...more,
});

const run: BenchRun = {
  startedAt: '2026-01-02T03:04:05.000Z',
  machine: { cpu: 'AMD X', cores: 2, memoryGiB: 24, node: 'v24.0.0', platform: 'linux' },
  benches: [
    bench('unheard-of', { failure: 'exit code 1' }),
    bench('spark', {
      rows: [
        compared({ ...sides, what: 'rows <&>', unit: 'lines/s', better: 'more', atLeast: 2 }),
        compared({ ...sides, what: 'rows <&>', unit: 'CPU us/line', better: 'less' }),
        compared({ ...sides, what: 'start', unit: 'ms', better: 'less', atLeast: 2 }),
        notRun('word count', 'Spark', 'no Java'),
      ],
      tables: [{ title: 'memory', rows: [{ step: 'a | b', MB: 12.34 }] }],
    }),
    bench('receive', { rows: [compared({ ...sides, what: 'receive', unit: 'CPU us/event', better: 'less' })] }),
  ],
};

test('the closing table has a line for every finding, for what was not run and for what failed', () => {
  expect(closingRows(run.benches).map((row) => row['reached?'])).toEqual([
    'failed: exit code 1',
    'no',
    '',
    'yes',
    'not run: no Java',
    '',
  ]);
  expect(closingLine(run.benches)).toBe('1 targets reached, 1 missed, 1 not run; 1 benchmarks failed');
});

test('the page has the benchmarks in its own order, missed targets and failures included', () => {
  const page = reportFiles(run)['BENCHMARKS.md']!;
  expect(page.match(/^## .*$/gm)!.slice(0, 3)).toEqual([
    '## Title of receive',
    '## Title of spark',
    '## Title of unheard-of',
  ]);
  expect(page).toContain('| rows <&> | b | lines/s | 20 | 60 | **0.25** | 0.2 to 0.5 | at least 2x | no |');
  expect(page).toContain('| word count | Spark |  |  |  |  |  |  | not run: no Java |');
  expect(page).toContain('| a \\| b | 12.3 |');
  expect(page).toContain('It failed: exit code 1.');
});

test('the charts show rates, waiting times, and the CPU time of an event where no rate was measured', () => {
  const files = reportFiles(run);
  const throughput = files['bench/throughput.svg']!;
  expect(throughput).toContain('rows &lt;&amp;&gt;');
  expect(throughput).toContain('>20 lines/s (0.25x)<');
  expect(throughput).toContain('>50,000 events per CPU second (4x)<');
  expect(throughput).not.toContain('lines per CPU second');
  expect(files['bench/latency.svg']).toContain('>start<');
  expect(files['bench/latency.svg']).toContain('>20 ms (4x)<');
});

test('BENCHMARKS.md and its charts are what the report makes of the figures beside them', () => {
  const figures = join(projectRoot, 'bench', 'figures.json');
  expect(existsSync(figures)).toBe(true);
  const files = reportFiles(JSON.parse(readFileSync(figures, 'utf8')) as BenchRun);
  for (const [path, text] of Object.entries(files))
    expect(readFileSync(join(projectRoot, path), 'utf8'), path).toBe(text);
});

const batchesOf = (intervalMs: number, startMs: (n: number) => number, count: number) => ({
  batches: Array.from({ length: count }, (_, n) => [n * intervalMs, startMs(n), startMs(n) + 4, n * 2000] as const),
});

test('an interval is sustained when the delay of its batches does not grow', () => {
  expect(
    verdictOn(
      batchesOf(10, () => 1, 2500),
      10,
    ),
  ).toMatchObject({ isSustained: true, delayP50Ms: 1 });
  expect(
    verdictOn(
      batchesOf(10, (n) => n / 10, 2500),
      10,
    ).isSustained,
  ).toBe(false);
  expect(
    verdictOn(
      batchesOf(10, () => 150, 2500),
      10,
    ).isSustained,
  ).toBe(false);
  // What piled up before the measured time does not count against it.
  expect(
    verdictOn(
      batchesOf(10, (n) => Math.max(1, 400 - n), 2500),
      10,
    ).isSustained,
  ).toBe(true);
  expect(
    verdictOn(
      batchesOf(10, () => 1, 1),
      10,
    ).isSustained,
  ).toBe(false);
});

test('an interval is held when it is sustained and events are through within three of them', () => {
  const quick = verdictOn(
    batchesOf(10, () => 1, 2500),
    10,
  );
  expect(quick).toMatchObject({ isHeld: true, isSustained: true, isFarOff: false, cpuMsPerBatch: 2 });
  const late = verdictOn(
    batchesOf(10, (n) => (n % 20 === 0 ? 25 : 1), 2500),
    10,
  );
  expect(late).toMatchObject({ isHeld: false, isSustained: true, isFarOff: false });
  const hopeless = verdictOn(
    batchesOf(10, (n) => n * 5, 2500),
    10,
  );
  expect(hopeless).toMatchObject({ isHeld: false, isSustained: false, isFarOff: true });
});

test('the smallest interval that is held is found by halving, with a second try for what is near', async () => {
  const search = async (outcome: (intervalMs: number, run: number) => 'held' | 'near' | 'far') => {
    const tried: number[] = [];
    const { smallest } = await smallestHeld([1, 2, 3, 4, 5, 6, 7], 2, async (verdict) => {
      const how = outcome(verdict, tried.filter((one) => one === verdict).length);
      tried.push(verdict);
      return { verdict, isHeld: how === 'held', isFarOff: how === 'far' };
    });
    return { tried, smallest };
  };
  expect(await search((ms) => (ms >= 3 ? 'held' : 'far'))).toEqual({ tried: [4, 2, 3], smallest: 3 });
  expect(await search((ms) => (ms >= 3 ? 'held' : 'near'))).toEqual({ tried: [4, 2, 2, 3], smallest: 3 });
  expect(await search((_, run) => (run === 1 ? 'held' : 'near'))).toEqual({ tried: [4, 4, 2, 2, 1, 1], smallest: 1 });
  expect(await search(() => 'far')).toEqual({ tried: [4, 6, 7], smallest: undefined });
});

test('the latency of an event runs from its creation in the interval before its batch', () => {
  const { latencyP50Ms, latencyP99Ms } = verdictOn(
    batchesOf(100, () => 1, 300),
    100,
  );
  expect(latencyP50Ms).toBeGreaterThan(50);
  expect(latencyP50Ms).toBeLessThan(61);
  expect(latencyP99Ms).toBeGreaterThan(100);
  expect(latencyP99Ms).toBeLessThanOrEqual(105);
});
