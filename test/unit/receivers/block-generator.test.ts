import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { BlockGenerator, waitingRowsMax } from '../../../src/sources/receiver/block-generator.ts';
import { RateLimiter } from '../../../src/sources/receiver/rate-limiter.ts';
import { settle } from './support.ts';

interface Given {
  readonly queueMax?: number;
  readonly blockRowsMax?: number;
  readonly rate?: number;
  readonly push?: (rows: readonly number[]) => Promise<void>;
}

function generator({ queueMax = 10, blockRowsMax = 1000, rate, push = async () => {} }: Given = {}) {
  const clock = new ManualClock(0);
  const blocks: (readonly number[])[] = [];
  const errors: string[] = [];
  const made = new BlockGenerator<number>({
    clock,
    limiter: new RateLimiter(clock, rate),
    blockIntervalMs: 200,
    queueMax,
    blockRowsMax,
    push: (rows) => {
      blocks.push(rows);
      return push(rows);
    },
    onError: (message, error) => errors.push(`${message}: ${error.message}`),
  });
  const advance = async (ms: number): Promise<void> => {
    clock.advanceBy(ms);
    await settle();
  };
  return { made, clock, blocks, errors, advance };
}

describe('a block generator', () => {
  test('is not active before start, and refuses rows then', async () => {
    const { made } = generator();
    expect(made.isActive).toBe(false);
    await expect(made.add(1)).rejects.toMatchObject({ code: 'STATUS_INVALID' });
  });

  test('pushes everything that was added, in order, once per block interval and never an empty block', async () => {
    const { made, blocks, advance } = generator();
    made.start();
    await made.add(1);
    await made.add(2);
    expect(blocks).toEqual([]);
    await advance(200);
    await advance(200);
    await made.add(3);
    await advance(199);
    expect(blocks).toEqual([[1, 2]]);
    await advance(1);
    expect(blocks).toEqual([[1, 2], [3]]);
    await made.stop();
  });

  test('after stop every add and start is refused, and a second stop is fine', async () => {
    const { made, blocks } = generator();
    made.start();
    await made.add(1);
    const stopped = made.stop();
    await expect(made.add(2)).rejects.toMatchObject({ code: 'STATUS_INVALID' });
    await stopped;
    expect(() => made.start()).toThrow(expect.objectContaining({ code: 'STATUS_INVALID' }));
    await made.stop();
    expect(blocks).toEqual([[1]]);
  });

  test('stop resolves when the last block and all before it are pushed', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let next = 0;
    const { made, blocks, advance } = generator({ push: () => gates[next++]!.promise });
    made.start();
    await made.add(1);
    await advance(200);
    await made.add(2);
    let isStopped = false;
    const stopped = made.stop().then(() => {
      isStopped = true;
    });
    await settle();
    expect(blocks).toEqual([[1], [2]]);
    gates[1]!.resolve();
    await settle();
    expect(isStopped).toBe(false);
    gates[0]!.resolve();
    await stopped;
  });

  test('with its queue full it keeps rows in one block, and then lets the receiver wait', async () => {
    const gate = Promise.withResolvers<void>();
    const { made, blocks, advance } = generator({ queueMax: 2, blockRowsMax: 3, push: () => gate.promise });
    made.start();
    await made.add(1);
    await advance(200);
    await made.add(2);
    await advance(200);
    for (const row of [3, 4, 5]) await made.add(row);
    await advance(200);
    expect(blocks).toEqual([[1], [2]]);
    let isTaken = false;
    const waiting = made.add(6).then(() => {
      isTaken = true;
    });
    await advance(200);
    expect(isTaken).toBe(false);
    gate.resolve();
    await waiting;
    await made.stop();
    expect(blocks).toEqual([[1], [2], [3, 4, 5], [6]]);
  });

  test('a block of many rows is cut before its time', async () => {
    const { made, blocks } = generator({ blockRowsMax: 2 });
    made.start();
    for (const row of [1, 2, 3]) await made.add(row);
    expect(blocks).toEqual([[1, 2]]);
    await made.stop();
    expect(blocks).toEqual([[1, 2], [3]]);
  });

  test('rows nobody waits for keep their order, and those waiting at a stop are taken in', async () => {
    const { made, blocks, advance } = generator({ rate: 10 });
    made.start();
    const stored = [1, 2, 3, 4].map((row) => made.add(row));
    await advance(200);
    await made.stop();
    await Promise.all(stored);
    expect(blocks.flat()).toEqual([1, 2, 3, 4]);
  });

  test('has a bound for rows that nobody waits for', async () => {
    const { made } = generator({ rate: 1 });
    made.start();
    for (let i = 0; i <= waitingRowsMax; i++) made.add(i).catch(() => {});
    await expect(made.add(0)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    await made.stop();
  });

  test('a block that cannot be pushed is reported and the next ones go on', async () => {
    let isFirst = true;
    const push = async (): Promise<void> => {
      if (!isFirst) return;
      isFirst = false;
      throw new Error('disk full');
    };
    const { made, blocks, errors, advance } = generator({ push });
    made.start();
    await made.add(1);
    await advance(200);
    await made.add(2);
    await advance(200);
    expect(errors).toEqual(['1 rows could not be stored: disk full']);
    expect(blocks).toEqual([[1], [2]]);
    await made.stop();
  });
});

describe('a rate limiter', () => {
  // Facts of Spark's RateLimiterSuite.
  test.each([
    { maxRate: undefined, update: 105, expected: 105 },
    { maxRate: 110, update: 105, expected: 105 },
    { maxRate: 100, update: 105, expected: 100 },
    { maxRate: 100, update: 0, expected: 100 },
    { maxRate: 100, update: -1, expected: 100 },
  ])('ratelimit.limit-updates: maximum $maxRate, update $update gives $expected', ({ maxRate, update, expected }) => {
    const limiter = new RateLimiter(new ManualClock(0), maxRate);
    limiter.setRate(update);
    expect(limiter.rate).toBe(expected);
  });

  test('starts at the smaller of initial and maximal rate', () => {
    const clock = new ManualClock(0);
    expect(new RateLimiter(clock, 100, 50).rate).toBe(50);
    expect(new RateLimiter(clock, 100, 150).rate).toBe(100);
    expect(new RateLimiter(clock).take(1_000_000)).toBe(0);
  });

  test('lets through what the rate allows, over a second and over a minute', async () => {
    const { made, blocks, advance } = generator({ rate: 50 });
    made.start();
    for (let i = 0; i < 5000; i++) made.add(i).catch(() => {});
    for (let i = 0; i < 50; i++) await advance(20);
    expect(blocks.flat().length).toBeGreaterThanOrEqual(40);
    expect(blocks.flat().length).toBeLessThanOrEqual(51);
    for (let i = 0; i < 300; i++) await advance(200);
    expect(blocks.flat().length).toBeGreaterThanOrEqual(50 * 61 - 15);
    expect(blocks.flat().length).toBeLessThanOrEqual(50 * 61 + 1);
    await made.stop();
  });

  test('what a second left unused may follow at once, and no more', () => {
    const clock = new ManualClock(0);
    const limiter = new RateLimiter(clock, 10);
    clock.advanceBy(60_000);
    const due = Array.from({ length: 12 }, () => limiter.take(1) - clock.now());
    expect(due.slice(0, 11)).toEqual(Array(11).fill(0));
    expect(due[11]).toBe(100);
  });
});
