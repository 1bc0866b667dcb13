import { ManualClock } from '../src/base/clock.ts';
import { SeededRandom } from '../src/base/random.ts';
import { Seconds } from '../src/base/time.ts';
import type { DStream } from '../src/dstream/dstream.ts';
import type { Source, SourcePlan } from '../src/sources/source.ts';
import { StreamingContext } from '../src/streaming-context.ts';

/** Programs over rows in memory on a clock that stands still until the next batch is wanted. */

/** Of every batch. */
export const partitions = 4;

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

/** A running program: each call runs one batch and gives its rows. */
export async function start<T, U>(
  rows: readonly T[],
  define: (stream: DStream<T>) => DStream<U>,
): Promise<() => Promise<U[]>> {
  const clock = new ManualClock(0);
  const ssc = new StreamingContext({
    appName: 'bench',
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
export async function runOthers(): Promise<void> {
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
