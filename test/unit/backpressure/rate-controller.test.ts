import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { BackpressureOptions } from '../../../src/execution/backpressure/options.ts';
import { batchLimit, shareBatch } from '../../../src/sources/event-hubs/batch-shares.ts';
import { RateLimiter } from '../../../src/sources/receiver/rate-limiter.ts';
import type { RateControlled, Source } from '../../../src/sources/source.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { TestStream } from '../engine/support.ts';

/** A direct source that keeps to its rate, one interval being a second. */
function controlled(topic: MemoryTopic<number>, rates: number[]): Source<number> & RateControlled {
  const inner = topic.source();
  let rate = Number.POSITIVE_INFINITY;
  let next = 0;
  return {
    kind: 'controlled',
    identity: {},
    start: async (start) => {
      await inner.start(start);
      next = (start.position as number | undefined) ?? 0;
    },
    position: () => next,
    plan: async (batchTimeMs) => {
      const to = Math.min(topic.end(0, batchTimeMs), next + rate);
      const range = { partition: 0, from: next, to };
      next = to;
      return { partitions: [range], position: to, records: to - range.from };
    },
    adopt: (plan) => {
      next = plan.position as number;
    },
    read: async (plan, partition, push) => {
      push(topic.rows(plan.partitions[partition] as { partition: number; from: number; to: number }));
    },
    committed: () => {},
    backlog: () => 0,
    stop: async () => {},
    setRate: (recordsPerSecond) => {
      rates.push(recordsPerSecond);
      rate = Math.floor(recordsPerSecond);
    },
  };
}

function flood(records: number): MemoryTopic<number> {
  const topic = new MemoryTopic<number>('flood', 1);
  topic.send(0, 0, ...Array.from({ length: records }, (_, i) => i));
  return topic;
}

const enabled: BackpressureOptions = { enabled: true, initialRate: 1000, pid: { minRate: 10 } };

describe('back-pressure', () => {
  test('ratectl.ratecontroller-rate-controller-publishes-updates-after-batches-c', async () => {
    const stream = new TestStream();
    const topic = flood(100_000);
    const rates: number[] = [];
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(controlled(topic, rates)).foreachRDD(() => stream.clock.advanceBy(500));
    const driven = await stream.start(define, { backpressure: enabled });
    expect(rates).toEqual([1000]);
    await driven.runTo(3000);
    await driven.stop();
    // 1,000 records in half a second: the first batch is the starting point, then 2,000 records per second.
    expect(driven.batches.map(({ records }) => records)).toEqual([1000, 1000, 2000]);
    expect(rates).toEqual([1000, 2000, 4000]);
  });

  test('slows down a source that delivers more than is processed', async () => {
    const stream = new TestStream();
    const topic = flood(100_000);
    const rates: number[] = [];
    const driven = await stream.start(
      (ssc) =>
        ssc.sourceStream(controlled(topic, rates)).foreachRDD(async (rdd) => {
          // 500 records per second.
          stream.clock.advanceBy((await rdd.count()) * 2);
        }),
      { backpressure: { enabled: true, initialRate: 4000, pid: { minRate: 10 } } },
    );
    await driven.runTo(40_000);
    await driven.stop();
    const last = driven.batches.slice(-5);
    for (const { records, processingDelayMs } of last) {
      expect(records).toBeGreaterThan(250);
      expect(records).toBeLessThanOrEqual(500);
      expect(processingDelayMs).toBeLessThanOrEqual(1000);
    }
    expect(driven.batches[0]!.records).toBe(4000);
  });

  test('is off unless it is enabled', async () => {
    const stream = new TestStream();
    const topic = flood(5000);
    const rates: number[] = [];
    const driven = await stream.start((ssc) => ssc.sourceStream(controlled(topic, rates)).print(), {
      backpressure: { initialRate: 10 },
    });
    await driven.runTo(1000);
    await driven.stop();
    expect(driven.batches[0]!.records).toBe(5000);
    expect(rates).toEqual([]);
  });

  test('the initial rate holds again after a restart, through all batches that were missed', async () => {
    const stream = new TestStream();
    const topic = flood(100_000);
    const rates: number[] = [];
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(controlled(topic, rates)).foreachRDD(() => stream.clock.advanceBy(100));
    const first = await stream.start(define, { backpressure: enabled });
    await first.runTo(3000);
    await first.stop();
    expect(rates.at(-1)).toBeGreaterThan(1000);
    stream.clock.advanceTo(6500);
    rates.length = 0;
    const next = await stream.start(define, { backpressure: enabled });
    await next.runTo(8000);
    await next.stop();
    // 4, 5 and 6 s had passed: they say nothing about the speed of arriving data. 7 s is the starting point.
    expect(next.batches.map(({ batchTimeMs, records }) => [batchTimeMs, records])).toEqual([
      [4000, 1000],
      [5000, 1000],
      [6000, 1000],
      [7000, 1000],
      [8000, 1000],
    ]);
    expect(rates).toEqual([1000, 10_000]);
  });

  test('a batch with recorded ranges is run as recorded, and says nothing', async () => {
    const stream = new TestStream();
    const topic = flood(100_000);
    const rates: number[] = [];
    let passed = 0;
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(controlled(topic, rates)).foreachRDD(() => stream.clock.advanceBy(100));
    const dying = await stream.start(define, {
      backpressure: enabled,
      crashHook: (point) => {
        if (point === 'batch:plan-recorded' && ++passed === 2) throw new Error('died');
      },
    });
    await expect(dying.runTo(3000)).rejects.toThrow('died');
    rates.length = 0;
    const next = await stream.start(define, { backpressure: { ...enabled, initialRate: 50 } });
    await next.runTo(3000);
    await next.stop();
    expect(next.batches.map(({ records, replayed }) => [records, replayed])).toEqual([
      [1000, true],
      [50, false],
    ]);
    expect(rates).toEqual([50]);
  });

  test.each([
    [{ enabled: true, initialRate: 0 }, /backpressure.initialRate is 0/],
    [{ enabled: true, pid: { minRate: 0 } }, /backpressure.pid.minRate is 0; give a number above 0/],
    [{ enabled: false, pid: { integral: -1 } }, /backpressure.pid.integral is -1; give a number of at least 0/],
    [{ pid: { derivative: 1 } as never }, /backpressure.pid has no option 'derivative'/],
    [{ on: true } as never, /backpressure has no option 'on'/],
  ])('%o is refused', (backpressure, message) => {
    expect(() => new TestStream().context({ backpressure })).toThrow(message);
  });
});

describe('a limit by rate', () => {
  test('takes the rate times the interval into a batch, and at least one event of each partition that has any', () => {
    const claims = [5000, 0, 10, 3].map((available) => ({ available, backlog: available }));
    expect(batchLimit(claims, undefined, 1000)).toBe(Number.POSITIVE_INFINITY);
    expect(batchLimit(claims, 100, 2500)).toBe(250);
    expect(batchLimit(claims, 0.3, 1000)).toBe(3);
    expect(shareBatch(claims, batchLimit(claims, 0.3, 1000), 0)).toEqual([1, 0, 1, 1]);
    expect(shareBatch(claims, Number.POSITIVE_INFINITY, 0)).toEqual([5000, 0, 10, 3]);
  });

  test.each([
    [undefined, 105, 105],
    [110, 105, 105],
    [100, 105, 100],
  ])(
    'ratelimit.limit-updates: a receiver of at most %s records per second told %d takes in %d',
    (maxRate, update, expected) => {
      const limiter = new RateLimiter(new ManualClock(0), maxRate);
      limiter.setRate(update);
      expect(limiter.rate).toBe(expected);
      limiter.setRate(0);
      limiter.setRate(-1);
      expect(limiter.rate).toBe(expected);
    },
  );
});
