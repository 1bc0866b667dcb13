import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RangeBounds, sampleKeys } from '../../../src/rdd/range-bounds.ts';

const order = (a: number, b: number): number => a - b;

function sizes(keys: readonly (readonly number[])[], partitions: number): number[] {
  const samples = keys.map((of, mapPartition) =>
    sampleKeys(of.length, (i) => of[i]!, { mapPartition, mapPartitions: keys.length, partitions }),
  );
  const bounds = new RangeBounds(samples, partitions, order);
  const found = new Array<number>(partitions).fill(0);
  for (const key of keys.flat()) found[bounds.partitionOf(key)]! += 1;
  return found;
}

describe('ranges of keys', () => {
  it('that are known whole are of equal size, but that equal keys are together', () => {
    const someKeys = fc.array(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 20 }), { maxLength: 4 });
    fc.assert(
      fc.property(someKeys, fc.integer({ min: 1, max: 9 }), (keys, partitions) => {
        const sorted = keys.flat().sort(order);
        let begin = 0;
        const expected = Array.from({ length: partitions }, (_, p) => {
          let end = Math.max(begin, Math.floor(((p + 1) * sorted.length) / partitions));
          while (end > 0 && end < sorted.length && sorted[end - 1] === sorted[end]) end++;
          const size = end - begin;
          begin = end;
          return size;
        });
        expect(sizes(keys, partitions)).toEqual(expected);
      }),
    );
  });

  it.each([
    ['in order', (i: number) => i],
    ['in the opposite order', (i: number) => -i],
    ['in no order', (i: number) => (i * 7919) % 50_021],
    ['in periods of the stride', (i: number) => i % 100],
    ['mostly small', (i: number) => Math.floor(((i * 7919) % 50_021) ** 3 / 1e9)],
  ])('from a sample are of about equal size: keys %s', (_, keyOf) => {
    // Partitions of different sizes: a key of the large one stands for more rows.
    const cuts = [0, 100, 10_000, 50_000];
    const keys = cuts.slice(1).map((to, p) => Array.from({ length: to - cuts[p]! }, (_, i) => keyOf(cuts[p]! + i)));
    for (const size of sizes(keys, 8)) {
      expect(size).toBeGreaterThan(50_000 / 8 / 1.4);
      expect(size).toBeLessThan((50_000 / 8) * 1.4);
    }
  });

  it('draws the same sample in every thread and every try', () => {
    const of = { mapPartition: 3, mapPartitions: 4, partitions: 4 };
    const draw = (): unknown => sampleKeys(10_000, (i) => i, of);
    expect(draw()).toEqual(draw());
    expect(draw()).not.toEqual(sampleKeys(10_000, (i) => i, { ...of, mapPartition: 2 }));
  });
});
