import { availableParallelism } from 'node:os';
import type { Bench } from './bench.ts';
import { threadCpuMs } from './cpu.ts';
import { median } from './median.ts';
import { compared, alone as figure } from './result.ts';
import { startTwoProcesses } from './two-processes.ts';
import { linesPerBatch, startCount, type WordCount } from './workers-program.ts';

const warmUp = 6;

interface Cost {
  readonly words: number;
  readonly wallMs: number;
  /** Of the thread that has used most: no machine is faster than that. */
  readonly longestMs: number;
  /** Of all threads of the process. */
  readonly cpuMs: number;
}

/** Measures batches of one program; CPU times of threads are counted from batch to batch. */
function meter({ runBatch }: WordCount): () => Promise<Cost> {
  const before = new Map<number, number>();
  return async () => {
    const cpu = process.cpuUsage();
    const own = threadCpuMs();
    const started = performance.now();
    const counted = await runBatch();
    const wallMs = performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    let longestMs = threadCpuMs() - own;
    for (const [thread, of] of Map.groupBy(counted, (part) => part.thread)) {
      const cpuMs = Math.max(...of.map((part) => part.cpuMs));
      longestMs = Math.max(longestMs, cpuMs - (before.get(thread) ?? cpuMs));
      before.set(thread, cpuMs);
    }
    const words = counted.reduce((sum, part) => sum + part.words, 0);
    return { words, wallMs, longestMs, cpuMs: (user + system) / 1000 };
  };
}

export const bench: Bench = {
  title: 'Two worker threads beside one thread',
  measures:
    `Word count of ${linesPerBatch.toLocaleString('en-US')} lines of ten words per batch, in four partitions, data born in the workers, ` +
    'combined before the shuffle; only the number of words of each partition goes to the driver. Wall clock of a batch, which ' +
    'needs two cores that nothing else uses; beside it the CPU time of the busiest thread, which other load moves little, and in ' +
    'the same rounds what two processes with a bare loop get through beside one: the limit of the machine. And a count that is ' +
    'kept as state for each of 100,000 keys, all of which every batch touches, stored in memory.',
  run: async ({ rounds }) => {
    const state = await measureState(rounds(9));
    const alone = await startCount('words', 'local');
    const two = await startCount('words', 'local[2]');
    const processes = await startTwoProcesses();
    const best: { readonly byWall: number; readonly byCpu: number }[] = [];
    const [runAlone, runTwo] = [meter(alone), meter(two)];
    const ours: Cost[] = [];
    const peer: Cost[] = [];
    for (let round = -warmUp; round < rounds(15); round++) {
      const one = await runAlone();
      const both = await runTwo();
      if (one.words !== both.words) throw new Error(`One thread counts ${one.words} words, two workers ${both.words}.`);
      const limit = await processes.measure();
      if (round < 0) continue;
      best.push(limit);
      peer.push(one);
      ours.push(both);
    }
    processes.stop();
    await alone.stop();
    await two.stop();
    const table = {
      title: `a batch of ${linesPerBatch.toLocaleString('en-US')} lines, on ${availableParallelism()} cores`,
      rows: [
        { threads: 'one thread', ...cells(peer) },
        { threads: 'two workers', ...cells(ours) },
        { threads: 'one thread, state of every line', ...cells(state.peer) },
        { threads: 'two workers, state of every line', ...cells(state.ours) },
      ],
    };
    const result = compared({
      what: 'word count, two worker threads, data born in the workers, combined before the shuffle',
      against: 'one thread',
      unit: 'lines per second',
      ours: ours.map(perSecond),
      peer: peer.map(perSecond),
      better: 'more',
      atLeast: 1.6,
    });
    const byCpu = byBusiestThread(ours, peer, 'what two cores that nothing else uses would give at best');
    const limitOf = (by: keyof (typeof best)[number], what: string) =>
      figure({
        what: `the limit of the machine ${what}: a bare loop in two processes`,
        unit: 'times one process',
        ours: best.map((limit) => limit[by]),
      });
    const limits = [limitOf('byWall', 'by the wall clock'), limitOf('byCpu', 'by CPU time')];
    return { tables: [table], rows: [result, byCpu, ...limits, ...state.rows] };
  },
};

/** A count per line, kept as state: every batch touches every key. */
async function measureState(rounds: number) {
  const alone = await startCount('state', 'local');
  const two = await startCount('state', 'local[2]');
  const [runAlone, runTwo] = [meter(alone), meter(two)];
  const ours: Cost[] = [];
  const peer: Cost[] = [];
  for (let round = -warmUp; round < rounds; round++) {
    const [one, both] = [await runAlone(), await runTwo()];
    if (one.words !== both.words) throw new Error(`One thread counts ${one.words} lines, two workers ${both.words}.`);
    if (round < 0) continue;
    peer.push(one);
    ours.push(both);
  }
  await alone.stop();
  await two.stop();
  const what = `mapWithState of ${linesPerBatch.toLocaleString('en-US')} keys, all touched by every batch, with a checkpoint`;
  const rows = [
    compared({
      what: `${what}, two worker threads`,
      against: 'one thread',
      unit: 'lines per second',
      ours: ours.map(perSecond),
      peer: peer.map(perSecond),
      better: 'more',
    }),
    byBusiestThread(ours, peer),
  ];
  return { ours, peer, rows };
}

function byBusiestThread(ours: readonly Cost[], peer: readonly Cost[], note?: string) {
  const perCpuSecond = ({ longestMs }: Cost): number => (linesPerBatch * 1000) / longestMs;
  return compared({
    what: 'the same by the CPU time of the busiest thread',
    against: 'one thread',
    unit: 'lines per CPU second',
    ours: ours.map(perCpuSecond),
    peer: peer.map(perCpuSecond),
    better: 'more',
    ...(note === undefined ? {} : { note }),
  });
}

function perSecond({ wallMs }: Cost): number {
  return (linesPerBatch * 1000) / wallMs;
}

function cells(costs: readonly Cost[]): { readonly [column: string]: number } {
  return {
    'ms a batch': Math.round(median(costs.map(({ wallMs }) => wallMs))),
    'best ms': Math.round(Math.min(...costs.map(({ wallMs }) => wallMs))),
    'busiest thread, CPU ms': Math.round(median(costs.map(({ longestMs }) => longestMs))),
    'all threads, CPU ms': Math.round(median(costs.map(({ cpuMs }) => cpuMs))),
    'cores used': Math.round(100 * median(costs.map(({ cpuMs, wallMs }) => cpuMs / wallMs))) / 100,
  };
}
