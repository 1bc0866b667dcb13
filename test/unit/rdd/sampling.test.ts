import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HashPartitioner } from '../../../src/rdd/partitioner.ts';
import type { RDD } from '../../../src/rdd/rdd.ts';
import { newContext, partitionCount } from './fixture.ts';

const count = 20_000;
const rows = Array.from({ length: count }, (_, i) => i);
const seed = fc.integer({ min: -(2 ** 40), max: 2 ** 40 });

/** Half the width of a range that a right sampler leaves once in ten thousand times. */
const tolerance = (variance: number): number => 4 * Math.sqrt(variance);

describe('RDD samples', () => {
  it('without replacement keep each row with the given probability, in order', async () => {
    for (const fraction of [0, 0.01, 0.3, 0.9, 1]) {
      const sampled = await newContext().parallelize(rows, 4).sample(false, fraction, 7).collect();
      expect(Math.abs(sampled.length - count * fraction)).toBeLessThanOrEqual(
        tolerance(count * fraction * (1 - fraction)),
      );
      expect(sampled).toEqual([...new Set(sampled)].sort((a, b) => a - b));
    }
  });

  it('with replacement repeat each row as a Poisson draw says', async () => {
    for (const fraction of [0, 0.2, 1, 3.5]) {
      const sampled = await newContext().parallelize(rows, 4).sample(true, fraction, 7).collect();
      expect(Math.abs(sampled.length - count * fraction)).toBeLessThanOrEqual(tolerance(count * fraction));
      const times = new Map<number, number>();
      for (const row of sampled) times.set(row, (times.get(row) ?? 0) + 1);
      const absent = count - times.size;
      const expected = count * Math.exp(-fraction);
      expect(Math.abs(absent - expected)).toBeLessThanOrEqual(tolerance(expected) + 1);
    }
    const many = await newContext().parallelize([1], 1).sample(true, 1200, 3).count();
    expect(Math.abs(many - 1200)).toBeLessThan(tolerance(1200));
  });

  it('are the same for the same seed, also on a second try, and others for another seed', async () => {
    const context = newContext(3, { taskAttemptsMax: 2 });
    let failures = 1;
    const flaky = context.parallelize(rows.slice(0, 500), 3).map((row) => {
      if (row === 400 && failures-- > 0) throw new Error('flaky');
      return row;
    });
    for (const withReplacement of [false, true]) {
      failures = 1;
      const sampled = flaky.sample(withReplacement, 0.5, 11);
      const first = await sampled.collect();
      expect(await sampled.collect()).toEqual(first);
      expect(await flaky.sample(withReplacement, 0.5, 11).collect()).toEqual(first);
      expect(await flaky.sample(withReplacement, 0.5, 12).collect()).not.toEqual(first);
      expect(await flaky.sample(withReplacement, 0.5, 11 + 2 ** 33).collect()).not.toEqual(first);
    }
    const unseeded = flaky.sample(false, 0.5);
    const first = await unseeded.collect();
    expect(await unseeded.collect()).toEqual(first);
    expect(await flaky.sample(false, 0.5).collect()).not.toEqual(first);
  });

  it('draw differently in every partition', async () => {
    const parts = await newContext()
      .parallelize([...rows.slice(0, 64), ...rows.slice(0, 64)], 2)
      .sample(false, 0.5, 5)
      .collectPartitions();
    expect(parts[0]).not.toEqual(parts[1]);
  });

  it('keep the partitioner', () => {
    const pairs = newContext()
      .parallelize([[1, 1] as const])
      .partitionBy(new HashPartitioner(2));
    expect(pairs.sample(false, 0.5).partitioner).toBe(pairs.partitioner);
    expect(pairs.sampleByKey(true, new Map([[1, 2]])).partitioner).toBe(pairs.partitioner);
  });

  it('by key use the fraction of the key, compared by value', async () => {
    const pairs = newContext()
      .parallelize(rows, 4)
      .map((row) => [row % 2 === 0 ? ['even'] : ['odd'], row] as const);
    const fractions = new Map([
      [['even'], 0.1],
      [['odd'], 0.8],
    ]);
    for (const withReplacement of [false, true]) {
      const sampled = await pairs.sampleByKey(withReplacement, fractions, 3).collect();
      const evens = sampled.filter(([, row]) => row % 2 === 0).length;
      expect(Math.abs(evens - 0.1 * (count / 2))).toBeLessThan(tolerance(count * 0.05));
      expect(Math.abs(sampled.length - evens - 0.8 * (count / 2))).toBeLessThan(tolerance(count * 0.4));
    }
    await expect(pairs.sampleByKey(false, new Map([[['even'], 1]])).count()).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('odd'),
    });
  });

  it('takeSample gives exactly n rows, no position twice without replacement', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(40), fc.nat(50), partitionCount, seed, async (size, n, partitions, seed) => {
        const rdd = newContext().parallelize(rows.slice(0, size), partitions);
        const without = await rdd.takeSample(false, n, seed);
        expect(without.length).toBe(Math.min(n, size));
        expect(new Set(without).size).toBe(without.length);
        const withReplacement = await rdd.takeSample(true, n, seed);
        expect(withReplacement.length).toBe(size === 0 ? 0 : n);
        for (const row of [...without, ...withReplacement]) expect(row).toBeLessThan(size);
        expect(await rdd.takeSample(false, n, seed)).toEqual(without);
        expect(await rdd.takeSample(true, n, seed)).toEqual(withReplacement);
      }),
    );
  });

  it('takeSample takes every row, and every order, equally often', async () => {
    const rdd = newContext().parallelize([0, 1, 2, 3], 3);
    const seen = new Map<string, number>();
    const draws = 3000;
    for (let seed = 0; seed < draws; seed++) {
      const key = (await rdd.takeSample(false, 2, seed)).join();
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    expect(seen.size).toBe(12);
    for (const times of seen.values()) expect(Math.abs(times - draws / 12)).toBeLessThan(tolerance(draws / 12));
  });

  it('takeSample reads no further than its last row', async () => {
    const read: number[] = [];
    const rdd = newContext()
      .parallelize(rows.slice(0, 100), 4)
      .map((row) => {
        read.push(row);
        return row;
      });
    const taken = await rdd.takeSample(false, 1, 1);
    expect(read.slice(0, 100)).toEqual(rows.slice(0, 100));
    expect(read.slice(100).at(-1)).toBe(taken[0]);
    expect(read.length - 100).toBe((taken[0]! % 25) + 1);
    read.length = 0;
    expect(await rdd.takeSample(true, 0)).toEqual([]);
    expect(read).toEqual([]);
  });

  it('refuse fractions and counts outside their range', async () => {
    const rdd: RDD<number> = newContext().parallelize([1]);
    const pairs = rdd.keyBy((x) => x);
    const invalid = expect.objectContaining({ code: 'OPTION_INVALID' });
    for (const fraction of [-0.1, 1.1, Number.NaN]) expect(() => rdd.sample(false, fraction)).toThrowError(invalid);
    for (const fraction of [-0.1, Infinity]) expect(() => rdd.sample(true, fraction)).toThrowError(invalid);
    expect(() => rdd.sample(false, 0.5, 0.5)).toThrowError(invalid);
    expect(() => pairs.sampleByKey(false, new Map([[1, 2]]))).toThrowError(invalid);
    expect(() => pairs.sampleByKey(false, { 1: 2 } as never)).toThrowError(invalid);
    await expect(rdd.takeSample(false, -1)).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });
});
