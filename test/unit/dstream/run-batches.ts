import fc from 'fast-check';
import { ManualClock } from '../../../src/base/clock.ts';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { DStream } from '../../../src/dstream/dstream.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { DrivenStream } from '../../support/driven-stream.ts';

export type Pair = readonly [key: string, value: number];
/** One array of rows per batch; batch i has the time (i + 1) seconds. */
export type Batches = readonly (readonly Pair[])[];

export interface Crash {
  readonly point: CrashPoint;
  /** Counted within the life of the driver that dies. */
  readonly occurrence: number;
}

export interface RunOptions {
  readonly crashes?: readonly Crash[];
  /** A record count that makes restores mix manifests and records. */
  readonly manifestEveryRecords?: number;
}

const sourcePartitions = 2;

const pointsOfBatch = [
  'batch:planned',
  'batch:state-advanced',
  'batch:outputs-run',
  'batch:sealed',
  'commit:before-record',
  'commit:record-written',
  'batch:committed',
  'batch:input-freed',
  'batch:end',
] as const satisfies readonly CrashPoint[];

export const somePair: fc.Arbitrary<Pair> = fc.tuple(
  fc.constantFrom('a', 'b', 'c', 'd'),
  fc.integer({ min: -9, max: 9 }),
);
export const someBatches: fc.Arbitrary<Batches> = fc.array(
  fc.oneof({ weight: 3, arbitrary: fc.array(somePair, { maxLength: 6 }) }, { weight: 1, arbitrary: fc.constant([]) }),
  { minLength: 1, maxLength: 14 },
);
export const someRun: fc.Arbitrary<RunOptions> = fc.record({
  crashes: fc.array(
    fc.record({ point: fc.constantFrom(...pointsOfBatch), occurrence: fc.integer({ min: 1, max: 6 }) }),
    { maxLength: 3 },
  ),
  manifestEveryRecords: fc.constantFrom(2, 5, 100),
});

/** The rows of a batch in the order the source gives them: partition by partition. */
export function inSourceOrder(rows: readonly Pair[]): Pair[] {
  return Array.from({ length: sourcePartitions }, (_, p) =>
    rows.filter((_row, i) => i % sourcePartitions === p),
  ).flat();
}

/**
 * Runs a stream of pairs through `define` on a manual clock, driver after driver, and collects what its outputs saw, by
 * name, then by batch time in seconds. Only batches with an RDD appear. A batch that is run again must give the same rows.
 */
export async function runBatches(
  batches: Batches,
  define: (rows: DStream<Pair>, ssc: StreamingContext) => Readonly<Record<string, DStream<unknown>>>,
  { crashes = [], manifestEveryRecords = 100 }: RunOptions = {},
): Promise<Record<string, Map<number, unknown[]>>> {
  const clock = new ManualClock(0);
  const shared = new MemoryStore({ clock });
  const topic = new MemoryTopic<Pair>('pairs', sourcePartitions);
  batches.forEach((rows, i) => {
    for (const [j, row] of rows.entries()) topic.send((i + 1) * 1000, j % sourcePartitions, row);
  });
  const seen: Record<string, Map<number, unknown[]>> = {};
  const pending = [...crashes];
  const died = new Error('crash');

  const life = async (): Promise<boolean> => {
    const store = new FaultyStore(shared);
    let occurrence = 0;
    const crashHook = (point: CrashPoint): void => {
      if (pending[0]?.point !== point || ++occurrence !== pending[0].occurrence) return;
      pending.shift();
      store.crash({ signal: died });
      throw died;
    };
    try {
      const context = await StreamingContext.getOrCreate(store, () => {
        const ssc = new StreamingContext({
          appName: 'dstream-test',
          batchInterval: Seconds(1),
          defaultParallelism: 3,
          checkpoint: { manifestEveryRecords },
          startReport: false,
          environment: { clock, random: new SeededRandom(pending.length), crashHook },
        });
        const outputs = define(ssc.sourceStream(topic.source(), { uid: 'pairs' }), ssc);
        for (const [name, stream] of Object.entries(outputs)) {
          const times = (seen[name] ??= new Map());
          stream.foreachRDD(async (rdd, time) => {
            // A copy: what a later batch does to rows it should not have must show.
            const rows = structuredClone(await rdd.collect());
            const seconds = time.milliseconds / 1000;
            const before = times.get(seconds);
            if (before !== undefined && JSON.stringify(before) !== JSON.stringify(rows)) {
              throw new Error(
                `A replay of '${name}' at ${seconds} s gave ${JSON.stringify(rows)}, not ${JSON.stringify(before)}`,
              );
            }
            times.set(seconds, rows);
          });
        }
        return ssc;
      });
      const driven = new DrivenStream(context, clock, 1000);
      await context.start();
      await driven.runTo(batches.length * 1000);
      await driven.stop();
      return true;
    } catch (error) {
      if (error === died || (error as Error).cause === died) return false;
      throw error;
    }
  };
  while (!(await life()));
  return seen;
}

/** Rows in an order that does not depend on partitions. */
export function sorted(rows: readonly unknown[] | undefined): unknown[] | undefined {
  return rows?.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}
