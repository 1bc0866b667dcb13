import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import { constantSource } from '../../../src/sources/queue/constant-source.ts';
import { type QueueEntry, queueSource } from '../../../src/sources/queue/queue-source.ts';
import { type RateRow, rateSource } from '../../../src/sources/queue/rate-source.ts';
import type { Source, SourcePlan } from '../../../src/sources/source.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { rowsOf, startWith } from '../receivers/support.ts';

/** Runs the source in a program for some batches of a second; resolves with the rows of each. */
async function batches<T>(source: Source<T>, count: number, warnings: string[] = []): Promise<T[][]> {
  const clock = new ManualClock(0);
  const seen: T[][] = [];
  const ssc = new StreamingContext({
    appName: 'inputs',
    batchInterval: Seconds(1),
    environment: { clock, random: new SeededRandom(1), warn: (text) => warnings.push(text) },
  });
  ssc.sourceStream(source).foreachRDD(async (rdd) => {
    seen.push(await rdd.collect());
  });
  const driven = new DrivenStream(ssc, clock, 1000);
  await ssc.start();
  await driven.runTo(count * 1000);
  await driven.stop();
  return seen;
}

describe('a queue stream', () => {
  test('gives one entry per batch, then empty batches', async () => {
    const queue = [
      [1, 2, 3],
      [4, 5, 6],
      [7, 8, 9],
    ];
    expect(await batches(queueSource(queue), 4)).toEqual([[1, 2, 3], [4, 5, 6], [7, 8, 9], []]);
    expect(queue).toEqual([]);
  });

  test('gives everything that is there in one batch', async () => {
    expect(await batches(queueSource([[1], [2, 3], [4]], false), 2)).toEqual([[1, 2, 3, 4], []]);
  });

  test('gives the default rows when nothing is there', async () => {
    expect(await batches(queueSource([[1]], true, [0]), 3)).toEqual([[1], [0], [0]]);
  });

  test('takes what can be collected, such as an RDD', async () => {
    const entry: QueueEntry<number> = { collect: async () => [1, 2] };
    expect(await batches(queueSource([entry, [3]]), 2)).toEqual([[1, 2], [3]]);
  });

  test('may be filled while it runs, and keeps what it planned for another try', async () => {
    const queue: number[][] = [];
    const source = queueSource(queue);
    await source.start(startWith({}));
    queue.push([1]);
    const plan = await source.plan(1000);
    queue.push([2]);
    expect(await rowsOf(source, plan)).toEqual([1]);
    expect(await rowsOf(source, plan)).toEqual([1]);
    source.committed(plan);
    expect(await rowsOf(source, await source.plan(2000))).toEqual([2]);
  });

  test('ssc.queuestream-doesn-t-support-checkpointing: writing a checkpoint warns once, reading it fails and names the input', async () => {
    const clock = new ManualClock(0);
    const store = new MemoryStore({ clock });
    const warnings: string[] = [];
    const program = () => {
      const ssc = new StreamingContext({
        appName: 'queue',
        batchInterval: Seconds(1),
        environment: { clock, random: new SeededRandom(1), warn: (text) => warnings.push(text) },
      });
      ssc.sourceStream(queueSource([[1], [2]]), { uid: 'numbers' }).foreachRDD(() => {});
      return ssc;
    };
    const first = await StreamingContext.getOrCreate(store, program);
    const driven = new DrivenStream(first, clock, 1000);
    await first.start();
    await driven.runTo(2000);
    await driven.stop();
    expect(warnings).toHaveLength(1);
    const before = await names(store);
    const second = await StreamingContext.getOrCreate(store, program);
    await expect(second.start()).rejects.toMatchObject({
      code: 'CHECKPOINT_INCOMPATIBLE',
      message: expect.stringContaining("queue 'numbers' doesn't support checkpointing"),
    });
    expect(await names(store)).toEqual(before);
  });

  test('refuses what is no queue', () => {
    expect(() => queueSource('rows' as never)).toThrow(/an array of arrays/);
  });
});

describe('a constant stream', () => {
  test('gives the same rows in every batch', async () => {
    const rows = ['a', 'b'];
    const source = constantSource(rows);
    rows.push('changed later');
    expect(await batches(source, 3)).toEqual([
      ['a', 'b'],
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });
});

describe('a rate stream', () => {
  test('gives as many rows as the rate says, stamped and numbered', async () => {
    const seen = await batches(rateSource(3), 3);
    expect(seen.map((rows) => rows.map(({ value }) => value))).toEqual([
      [0, 1, 2],
      [3, 4, 5],
      [6, 7, 8],
    ]);
    expect(seen[1]!.map(({ timestampMs }) => timestampMs)).toEqual([1000, 1333, 1666]);
  });

  test('slow and fast rates, any partitioning and any batch times give every number once, in order', async () => {
    const rate = fc.oneof(fc.integer({ min: 1, max: 400 }), fc.double({ min: 0.01, max: 50, noNaN: true }));
    const steps = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(rate, fc.integer({ min: 1, max: 4 }), steps, async (rowsPerSecond, numPartitions, gaps) => {
        const source = rateSource(rowsPerSecond, { numPartitions });
        await source.start(startWith({ clock: new ManualClock(500) }));
        const rows: RateRow[] = [];
        let timeMs = 500;
        for (const gap of gaps) {
          timeMs += gap;
          const plan = structuredClone(await source.plan(timeMs));
          const found = await rowsOf(source, plan);
          expect(found).toHaveLength(plan.records);
          for (const { timestampMs } of found) expect(timestampMs).toBeLessThanOrEqual(timeMs);
          rows.push(...found);
        }
        expect(rows.map(({ value }) => value)).toEqual(rows.map((_, i) => i));
        expect(rows.length).toBe(Math.floor(((timeMs - 500) * rowsPerSecond) / 1000));
      }),
      { numRuns: 50 },
    );
  });

  test('goes on after a restart where the last plan ended, and replays a recorded one', async () => {
    const clock = new ManualClock(0);
    const first = rateSource(10);
    await first.start(startWith({ clock }));
    const start = first.position();
    const plan: SourcePlan = structuredClone(await first.plan(1000));
    clock.advanceTo(5000);
    const second = rateSource(10);
    await second.start(startWith({ clock, position: start }));
    second.adopt(plan);
    expect(await rowsOf(second, plan)).toEqual(await rowsOf(first, plan));
    expect(second.backlog()).toBe(40);
    expect((await rowsOf(second, await second.plan(2000))).map(({ value }) => value)).toEqual([
      10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    ]);
  });

  test('refuses a rate of nothing', () => {
    expect(() => rateSource(0)).toThrow(/rowsPerSecond is 0/);
    expect(() => rateSource(1, { partitions: 2 } as never)).toThrow(/numPartitions/);
  });
});

async function names(store: ObjectStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list('')) found.push(name);
  return found;
}
