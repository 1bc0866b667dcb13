import { ManualClock } from '../src/base/clock.ts';
import { SeededRandom } from '../src/base/random.ts';
import { Seconds } from '../src/base/time.ts';
import type { DStream } from '../src/dstream/dstream.ts';
import type { Source, SourcePlan } from '../src/sources/source.ts';
import { StreamingContext } from '../src/streaming-context.ts';
import type { Bench } from './bench.ts';
import { threadCpuMs } from './cpu.ts';
import { median } from './median.ts';
import { compared } from './result.ts';

const lines = 100_000;
const wordsPerLine = 10;
const vocabulary = 20_000;
const partitions = 4;
const repeats = 15;

function makeLines(): string[] {
  const random = new SeededRandom(11);
  const words = Array.from({ length: vocabulary }, (_, i) => `word${i.toString(36)}`);
  return Array.from({ length: lines }, () =>
    Array.from({ length: wordsPerLine }, () => words[Math.floor(random.next() ** 2 * vocabulary)]!).join(' '),
  );
}

/** The same rows in every batch, in chunks as a source hands them over. */
function repeating<T>(rows: readonly T[]): Source<T> {
  const chunk = 4096;
  return {
    kind: 'repeating',
    identity: {},
    start: async () => {},
    position: () => 0,
    plan: async (): Promise<SourcePlan> => ({
      partitions: Array.from({ length: partitions }, (_, p) => p),
      position: 0,
      records: rows.length,
    }),
    adopt: () => {},
    read: async (_, partition, push) => {
      const end = ((partition + 1) * rows.length) / partitions;
      for (let at = (partition * rows.length) / partitions; at < end; at += chunk) {
        push(rows.slice(at, Math.min(end, at + chunk)));
      }
    },
    committed: () => {},
    backlog: () => 0,
    stop: async () => {},
  };
}

const split = (line: string): string[] => line.split(' ');
const isLong = (word: string): boolean => word.length > 4;
const toPair = (word: string): readonly [string, number] => [word, 1];
const sum = (a: number, b: number): number => a + b;

/** What one would write by hand for this one job, with the same functions. */
function byHand(input: readonly string[]): [string, number][] {
  const parts: Map<string, number>[] = [];
  for (let p = 0; p < partitions; p++) {
    const counts = new Map<string, number>();
    const end = ((p + 1) * input.length) / partitions;
    for (let i = (p * input.length) / partitions; i < end; i++) {
      const words = split(input[i]!);
      for (let w = 0; w < words.length; w++) {
        const word = words[w]!;
        if (!isLong(word)) continue;
        const [key, value] = toPair(word);
        const count = counts.get(key);
        counts.set(key, count === undefined ? value : sum(count, value));
      }
    }
    parts.push(counts);
  }
  const merged = new Map<string, number>();
  for (const counts of parts) {
    for (const [key, value] of counts) {
      const count = merged.get(key);
      merged.set(key, count === undefined ? value : sum(count, value));
    }
  }
  return [...merged];
}

/** A running program: each call runs one batch and gives its rows. */
async function start<T, U>(
  rows: readonly T[],
  define: (stream: DStream<T>) => DStream<U>,
): Promise<() => Promise<U[]>> {
  const clock = new ManualClock(0);
  const ssc = new StreamingContext({
    appName: 'word-count',
    batchInterval: Seconds(1),
    startReport: false,

    environment: { clock, random: new SeededRandom(1), allowSeveral: true },
  });
  let arrived = (_: U[]): void => {};
  define(ssc.sourceStream(repeating(rows))).foreachRDD(async (rdd) => arrived(await rdd.collect()));
  await ssc.start();
  let batch = 0;
  return () =>
    new Promise((resolve) => {
      arrived = resolve;
      batch += 1;
      clock.advanceTo(batch * 1000);
    });
}

/** Programs with other functions and other types, which share the engine's code with ours. */
async function runOthers(): Promise<void> {
  const numbers = Array.from({ length: 40_000 }, (_, i) => i);
  const programs: ((stream: DStream<number>) => DStream<unknown>)[] = [
    (n) => n.filter((x) => x % 3 === 0).map((x) => `${x}`),
    (n) => n.map((x) => [x % 997, x] as const).reduceByKey((a, b) => Math.max(a, b)),
    (n) =>
      n
        .map((x) => [x % 97, x] as const)
        .groupByKey()
        .mapValues((values) => values.length),
    (n) =>
      n
        .flatMap((x) => [x, -x])
        .map((x) => ({ x }))
        .filter(({ x }) => x > 5),
    (n) =>
      n
        .map((x): [string, { total: number; count: number }] => [`k${x % 50}`, { total: x, count: 1 }])
        .reduceByKey((a, b) => ({ total: a.total + b.total, count: a.count + b.count })),
    (n) => n.map((x) => [[x % 5, x % 7] as const, 1] as const).reduceByKey((a, b) => a + b),
    (n) => n.map((x) => [String(x % 5000), BigInt(x)] as const).reduceByKey((a, b) => a + b),
    (n) => n.map((x) => x / 3).countByValue(),
  ];
  for (const program of programs) {
    const runBatch = await start(numbers, program);
    for (let i = 0; i < 5; i++) await runBatch();
  }
}

export const bench: Bench = {
  title: 'Word count in memory, beside a loop written by hand',
  measures:
    `${(lines * wordsPerLine).toLocaleString('en-US')} words per batch in ${partitions} partitions, ${vocabulary.toLocaleString('en-US')} different ones: split, filter, map, reduceByKey, ` +
    'collect. The loop calls the same functions. Eight other programs have run in the process before. CPU time of the thread; the two ' +
    `in turn, median of ${repeats}, garbage collected before each.`,
  run: async ({ rounds }) => {
    await runOthers();
    const input = makeLines();
    const runBatch = await start(input, (stream) => stream.flatMap(split).filter(isLong).map(toPair).reduceByKey(sum));
    const engine: number[] = [];
    const hand: number[] = [];
    for (let round = -4; round < rounds(repeats); round++) {
      globalThis.gc?.();
      let before = threadCpuMs();
      const counted = await runBatch();
      const engineMs = threadCpuMs() - before;
      globalThis.gc?.();
      before = threadCpuMs();
      const expected = byHand(input);
      const handMs = threadCpuMs() - before;
      const counts = new Map(expected);
      if (counted.length !== counts.size || counted.some(([word, count]) => counts.get(word) !== count)) {
        throw new Error('The two do not agree.');
      }
      if (round < 0) continue;
      engine.push(engineMs);
      hand.push(handMs);
    }
    const words = (lines * wordsPerLine) / 1000;
    const share = median(engine.map((ms, i) => hand[i]! / ms));
    const table = {
      title: 'words per millisecond of CPU',
      rows: [
        {
          program: 'Tidemark',
          'words/ms': Math.round((words * 1000) / median(engine)),
          'best words/ms': Math.round((words * 1000) / Math.min(...engine)),
          '% of the loop': Math.round(share * 100),
        },
        {
          program: 'loop by hand',
          'words/ms': Math.round((words * 1000) / median(hand)),
          'best words/ms': Math.round((words * 1000) / Math.min(...hand)),
          '% of the loop': 100,
        },
      ],
    };
    const perSecond = (ms: number): number => (words * 1e6) / ms;
    const result = compared({
      what: 'word count in memory, after eight other programs',
      against: 'a loop written by hand with the same functions',
      unit: 'words per CPU second',
      ours: engine.map(perSecond),
      peer: hand.map(perSecond),
      better: 'more',
      atLeast: 0.85,
    });
    return { tables: [table], rows: [result] };
  },
};
