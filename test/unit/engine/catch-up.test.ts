import { describe, expect, test } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import type { DrivenStream } from '../../support/driven-stream.ts';
import { difference, sum, TestStream } from './support.ts';

function pairs(until: number): MemoryTopic<readonly [string, number]> {
  const topic = new MemoryTopic<readonly [string, number]>('pairs', 1);
  for (let t = 1; t <= until; t++) topic.send(t * 1000, 0, [`k${t % 2}`, t]);
  return topic;
}

/** Dies when it passes `point` for the `occurrence`-th time. */
function dieAt(point: CrashPoint, occurrence: number): (at: CrashPoint) => void {
  let seen = 0;
  return (at) => {
    if (at === point && ++seen === occurrence) throw new Error(`died at ${point}`);
  };
}

function times({ batches }: DrivenStream): number[] {
  return batches.map(({ batchTimeMs }) => batchTimeMs / 1000);
}

describe('catchUpBatchesMax', () => {
  test('older missed batch times are passed over, and the first that runs takes all that has arrived', async () => {
    const stream = new TestStream();
    const topic = pairs(30);
    const define = (ssc: StreamingContext): void => ssc.sourceStream(topic.source()).print();
    const first = await stream.start(define);
    await first.runTo(2000);
    await first.stop();
    stream.clock.advanceTo(20_000);
    const next = await stream.start(define, { catchUpBatchesMax: 3 });
    expect(next.recovery?.batchesToCatchUp).toBe(3);
    await next.runTo(21_000);
    await next.stop();
    expect(times(next)).toEqual([18, 19, 20, 21]);
    expect(next.batches[0]?.records).toBe(18);
  });

  test('windows of both kinds stay right across times that are passed over', async () => {
    const topic = pairs(40);
    const seen = new Map<string, Record<string, number>>();
    const define = (ssc: StreamingContext): void => {
      const rows = ssc.sourceStream(topic.source());
      for (const [name, windowed] of [
        ['inverse', rows.reduceByKeyAndWindow(sum, difference, Seconds(6), Seconds(2))],
        ['folded', rows.reduceByKeyAndWindow(sum, Seconds(6), Seconds(2))],
        ['raw', rows.window(Seconds(6), Seconds(2)).reduceByKey(sum)],
      ] as const) {
        windowed.foreachRDD(async (rdd, time) => {
          seen.set(`${name} ${time.milliseconds}`, Object.fromEntries((await rdd.collect()).sort()));
        });
      }
    };
    const stream = new TestStream();
    const first = await stream.start(define);
    await first.runTo(9000);
    await first.stop();
    stream.clock.advanceTo(13_500);
    const next = await stream.start(define, { catchUpBatchesMax: 1 });
    await next.runTo(22_000);
    await next.stop();
    expect(times(next)).toEqual([13, 14, 15, 16, 17, 18, 19, 20, 21, 22]);
    // The batch of 13 s holds what arrived from 10 s on.
    const batchOf = (t: number): number => (t >= 10 && t <= 13 ? 13 : t);
    const folded = (end: number): Record<string, number> => {
      const window: Record<string, number> = {};
      for (let t = 1; t <= 40; t++) {
        if (batchOf(t) > end || batchOf(t) <= end - 6) continue;
        window[`k${t % 2}`] = (window[`k${t % 2}`] ?? 0) + t;
      }
      return window;
    };
    for (const end of [2, 4, 6, 8, 14, 16, 18, 20, 22]) {
      for (const name of ['inverse', 'folded', 'raw']) {
        expect(seen.get(`${name} ${end * 1000}`), `${name} at ${end} s`).toEqual(folded(end));
      }
    }
    expect(seen.size).toBe(27);
  });

  test('a recorded plan runs at its own time before others are passed over', async () => {
    const stream = new TestStream();
    const topic = pairs(60);
    const seen: [number, number][] = [];
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(topic.source()).foreachRDD(async (rdd, time) => {
        seen.push([time.milliseconds / 1000, await rdd.count()]);
      });
    const dying = await stream.start(define, { crashHook: dieAt('batch:plan-recorded', 3) });
    await expect(dying.runTo(5000)).rejects.toThrow('died');
    stream.clock.advanceTo(50_000);
    const next = await stream.start(define, { catchUpBatchesMax: 2 });
    expect(next.recovery?.batchesToCatchUp).toBe(3);
    await next.runTo(51_000);
    await next.stop();
    expect(times(next)).toEqual([3, 49, 50, 51]);
    expect(next.batches.map(({ replayed }) => replayed)).toEqual([true, false, false, false]);
    expect(seen).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [49, 47],
      [50, 0],
      [51, 1],
    ]);
  });
});

describe('a recorded plan', () => {
  test('is run as recorded although more has arrived since, with a source of the program that it does not know sitting out', async () => {
    const stream = new TestStream();
    const topic = pairs(20);
    const added = new MemoryTopic<readonly [string, number]>('added', 1);
    added.send(1000, 0, ['early', 1]);
    added.send(3900, 0, ['late', 2]);
    const seen: [number, string[]][] = [];
    const define = (withAdded: boolean) => (ssc: StreamingContext) => {
      let rows = ssc.sourceStream(topic.source(), { uid: 'first' });
      if (withAdded) rows = rows.union(ssc.sourceStream(added.source(), { uid: 'added' }));
      rows.foreachRDD(async (rdd, time) => {
        seen.push([time.milliseconds / 1000, (await rdd.collect()).map(([key]) => key)]);
      });
    };
    const dying = await stream.start(define(false), { crashHook: dieAt('batch:outputs-run', 2) });
    await expect(dying.runTo(5000)).rejects.toThrow('died');
    stream.clock.advanceTo(3950);
    // Dies again, to find the added source at its start position the next time, too.
    const again = await stream.start(define(true), { crashHook: dieAt('batch:end', 1) });
    await expect(again.runTo(5000)).rejects.toThrow('died');
    const next = await stream.start(define(true));
    await next.runTo(4000);
    await next.stop();
    expect(seen).toEqual([
      [1, ['k1']],
      [2, ['k0']],
      [2, ['k0']],
      [3, ['k1', 'early', 'late']],
      [4, ['k0']],
    ]);
  });

  test('may ride ahead in the record before, when the program asks for it', async () => {
    const stream = new TestStream();
    const topic = pairs(20);
    const seen: [number, number][] = [];
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(topic.source()).foreachRDD(async (rdd, time) => {
        seen.push([time.milliseconds / 1000, await rdd.count()]);
      });
    const first = await stream.start(define, { planAhead: true });
    await first.runTo(3000);
    await first.stop();
    stream.clock.advanceTo(9000);
    const next = await stream.start(define, { planAhead: true });
    await next.runTo(9000);
    await next.stop();
    expect(next.batches[0]).toMatchObject({ batchTimeMs: 4000, records: 1, replayed: true });
    // Planned at 3 s for 4 s: staler by up to an interval, as documented.
    expect(seen.slice(0, 6)).toEqual([
      [1, 1],
      [2, 0],
      [3, 1],
      [4, 1],
      [5, 6],
      [6, 0],
    ]);
  });
});
