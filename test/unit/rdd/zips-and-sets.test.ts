import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyIdentity } from '../../../src/base/canonical-key.ts';
import type { Partitioner } from '../../../src/rdd/partitioner.ts';
import { HashPartitioner } from '../../../src/rdd/partitioner.ts';
import type { RDD } from '../../../src/rdd/rdd.ts';
import { byKey, grouped, newContext, partitionCount, someKey, somePairs } from './fixture.ts';

const numbers = fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 40 });
const keys = fc.array(someKey, { maxLength: 30 });
type Keyed = RDD<[unknown, number]>;
const equal = (a: unknown, b: unknown): boolean =>
  Object.is(keyIdentity(a), keyIdentity(b)) || keyIdentity(a) === keyIdentity(b);
const bag = (rows: readonly unknown[]): Map<unknown, unknown[]> => byKey(rows.map((row) => [row, 1]));

/** Key modulo n. */
class Modulo implements Partitioner {
  readonly numPartitions: number;
  constructor(n: number) {
    this.numPartitions = n;
  }
  partition(key: unknown): number {
    return (key as number) % this.numPartitions;
  }
  equals(other: Partitioner): boolean {
    return other instanceof Modulo && other.numPartitions === this.numPartitions;
  }
}

describe('RDD zips', () => {
  it('zip puts the rows of equal partitions side by side', async () => {
    const context = newContext();
    const a = context.parallelize([1, 2, 3, 4], 2);
    expect(await a.zip(context.parallelize([2, 3, 4, 5], 2)).collectPartitions()).toEqual([
      [
        [1, 2],
        [2, 3],
      ],
      [
        [3, 4],
        [4, 5],
      ],
    ]);
    await fc.assert(
      fc.asyncProperty(numbers, partitionCount, async (rows, n) => {
        const rdd = newContext().parallelize(rows, n);
        expect(await rdd.zip(rdd.map(String)).collect()).toEqual(rows.map((x) => [x, String(x)]));
        // Behind a shuffle, which is not there until the job materialises it.
        const sorted = rdd.sortBy((x) => x);
        expect(await sorted.zip(sorted).collect()).toEqual([...rows].sort((a, b) => a - b).map((x) => [x, x]));
      }),
    );
  });

  it('zip refuses another number of partitions at once and of rows when it is computed', async () => {
    const context = newContext();
    const a = context.parallelize([1, 2, 3, 4], 2);
    const refused = expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining('2 and 1') });
    expect(() => a.zip(context.parallelize([1, 2, 3, 4], 1))).toThrowError(refused);
    expect(() => a.zipPartitions(context.parallelize([1], 1), () => [])).toThrowError(refused);
    const foreign = newContext().parallelize([1], 2);
    for (const build of [() => a.zip(foreign), () => a.zipPartitions(foreign, () => []), () => a.cartesian(foreign)]) {
      expect(build).toThrowError(expect.objectContaining({ code: 'GRAPH_INVALID' }));
    }
    for (const other of [
      [1, 2, 3, 4, 5],
      [1, 2, 3],
    ]) {
      const zipped = a.zip(context.parallelize(other, 2));
      await expect(zipped.count()).rejects.toMatchObject({ code: 'ZIP_MISMATCH' });
    }
    expect(await a.zip(context.parallelize([9, 9, 9, 9, 9], 2)).take(2)).toEqual([
      [1, 9],
      [2, 9],
    ]);
  });

  it('zipPartitions gives the rows of up to four partitions to one function', async () => {
    const context = newContext();
    const [a, b] = [context.parallelize([1, 2, 3], 2), context.parallelize(['x'], 2)];
    expect(await a.zipPartitions(b, (x, y) => [[x.length, y.length]]).collect()).toEqual([
      [1, 0],
      [2, 1],
    ]);
    expect(await a.zipPartitions(b, a, (...all) => [all.flat().join('')]).collect()).toEqual(['11', '23x23']);
    const slow = context.rdd<number>({
      name: 'slow',
      numPartitions: 2,
      dependencies: [],
      pipe: async (partition, _, push) => {
        await Promise.resolve();
        push(partition);
      },
    });
    expect(await a.zipPartitions(slow, b, slow, (...all) => [all.map((p) => p.length).join()]).collect()).toEqual([
      '1,1,0,1',
      '2,1,1,1',
    ]);
    expect(() => a.zipPartitions(b, undefined as never)).toThrowError(
      expect.objectContaining({ message: expect.stringContaining('zipPartitions: f must be a function') }),
    );
  });

  it('zipWithUniqueId gives k * n + p', async () => {
    const rdd = newContext().parallelize([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 3);
    const ids = [0, 3, 6, 1, 4, 7, 2, 5, 8, 11];
    expect(await rdd.zipWithUniqueId().collect()).toEqual(ids.map((id, row) => [row, id]));
  });

  it('zipWithIndex runs a counting job only when there are several partitions', async () => {
    let computed = 0;
    const count = (n: number): Promise<unknown> =>
      newContext()
        .parallelize([1, 2], n)
        .map((x) => {
          computed++;
          return x;
        })
        .zipWithIndex()
        .collect();
    await count(1);
    expect(computed).toBe(2);
    await count(2);
    expect(computed).toBe(6);
  });

  it('cartesian is a nested loop over partitions, then rows', async () => {
    await fc.assert(
      fc.asyncProperty(numbers, numbers, partitionCount, partitionCount, async (left, right, n, m) => {
        const context = newContext();
        const [a, b] = [context.parallelize(left, n), context.parallelize(right, m)];
        const [as, bs] = [await a.collectPartitions(), await b.collectPartitions()];
        const expected = as.flatMap((x) => bs.map((y) => x.flatMap((r) => y.map((s) => [r, s]))));
        expect(await a.cartesian(b).collectPartitions()).toEqual(expected);
      }),
    );
    const empty = newContext().emptyRDD<number>();
    expect(await empty.cartesian(empty).collect()).toEqual([]);
  });

  it('mapPartitionsWithIndex gives the partition first', async () => {
    const rdd = newContext().parallelize([1, 2, 3, 4], 2);
    const sums = rdd.mapPartitionsWithIndex((i, rows) => [[i, rows.reduce((a, b) => a + b, 0)]]);
    expect(await sums.collect()).toEqual([
      [0, 3],
      [1, 7],
    ]);
  });
});

describe('RDD sets', () => {
  it('intersection has one of each common row, subtract all rows that are only here', async () => {
    await fc.assert(
      fc.asyncProperty(keys, keys, partitionCount, partitionCount, async (left, right, n, m) => {
        const context = newContext(m);
        const [a, b] = [context.parallelize(left, n), context.parallelize(right, m)];
        const there = new Set(right.map(keyIdentity));
        const common = grouped(left.map((row) => [row, 1]))
          .map(([row]) => row)
          .filter((row) => there.has(keyIdentity(row)));
        expect(bag(await a.intersection(b).collect())).toEqual(bag(common));
        expect(bag(await b.intersection(a, 2).collect())).toEqual(bag(common));
        const rest = left.filter((row) => !there.has(keyIdentity(row)));
        const subtracted = a.subtract(b);
        expect(bag(await subtracted.collect())).toEqual(bag(rest));
        expect(subtracted.numPartitions).toBe(n);
        expect(a.subtract(b, 7).numPartitions).toBe(7);
      }),
    );
  });

  it('refuse an RDD of another context', () => {
    const [a, b] = [newContext().parallelize([1]), newContext().parallelize([1])];
    const invalid = expect.objectContaining({ code: 'GRAPH_INVALID' });
    expect(() => a.intersection(b)).toThrowError(invalid);
    expect(() => a.subtract(b)).toThrowError(invalid);
  });

  it('subtractByKey keeps the order of rows', async () => {
    const context = newContext(1);
    const left = context.parallelize([[2, 'a'] as const, [1, 'b'] as const, [3, 'c'] as const, [2, 'd'] as const], 1);
    expect(await left.subtractByKey(context.parallelize([[1, 0] as const])).collect()).toEqual([
      [2, 'a'],
      [3, 'c'],
      [2, 'd'],
    ]);
  });

  it('subtractByKey keeps the partitions of the left side', () => {
    const context = newContext(9);
    const left = context.parallelize([[1, 'a'] as const], 2);
    const right = context.parallelize([[1, 'a'] as const], 4).partitionBy(new HashPartitioner(4));
    expect(left.subtractByKey(right).numPartitions).toBe(2);
    expect(right.subtractByKey(left).partitioner).toBe(right.partitioner);
    expect(context.emptyRDD<readonly [number, string]>().subtractByKey(left).numPartitions).toBe(1);
  });

  it('cogroup takes up to four sides', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(somePairs, { minLength: 4, maxLength: 4 }), partitionCount, async (sides, n) => {
        const context = newContext(n);
        const [rdd, b, c, d] = sides.map((side) => context.parallelize(side, n)) as [Keyed, Keyed, Keyed, Keyed];
        const expected = (count: number): Map<unknown, unknown[]> => {
          const inputs = sides.slice(0, count);
          const rows = grouped(inputs.flat()).map(([key]): [unknown, number[][]] => [
            key,
            inputs.map((side) => side.filter(([k]) => equal(k, key)).map(([, v]) => v)),
          ]);
          return byKey(rows);
        };
        expect(byKey(await rdd.cogroup(b, c).collect())).toEqual(expected(3));
        expect(byKey(await rdd.cogroup(b, c, d, 2).collect())).toEqual(expected(4));
        expect(byKey(await rdd.groupWith(b).collect())).toEqual(expected(2));
        expect(byKey(await rdd.groupWith(b, c, d).collect())).toEqual(expected(4));
        expect(rdd.cogroup(b, c, new HashPartitioner(3)).numPartitions).toBe(3);
      }),
    );
    const pairs = newContext().parallelize([[1, 1] as const]);
    const wrong = expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining('cogroup') });
    const call = (...others: unknown[]) => (pairs.cogroup as (...args: unknown[]) => unknown).call(pairs, ...others);
    for (const others of [[], [3], [pairs, pairs, pairs, pairs], [pairs, 2, pairs]]) {
      expect(() => call(...others)).toThrowError(wrong);
    }
  });
});

describe('RDD sorting by key', () => {
  it('sortByKey is a stable total order of keys', async () => {
    await fc.assert(
      fc.asyncProperty(numbers, partitionCount, partitionCount, fc.boolean(), async (values, from, to, ascending) => {
        const rows = values.map((key, i) => [key, i] as const);
        const sorted = newContext().parallelize(rows, from).sortByKey(ascending, to);
        expect(await sorted.collect()).toEqual(rows.toSorted((a, b) => (ascending ? a[0] - b[0] : b[0] - a[0])));
        expect(sorted.numPartitions).toBe(to);
      }),
    );
  });

  it('repartitionAndSortWithinPartitions puts keys where the partitioner says, in order', async () => {
    const rows: [number, number][] = [
      [0, 5],
      [3, 8],
      [2, 6],
      [0, 8],
      [3, 8],
      [1, 3],
    ];
    const rdd = newContext().parallelize(rows, 2).repartitionAndSortWithinPartitions(new Modulo(2));
    const expected = [
      [
        [0, 5],
        [0, 8],
        [2, 6],
      ],
      [
        [1, 3],
        [3, 8],
        [3, 8],
      ],
    ];
    expect(await rdd.collectPartitions()).toEqual(expected);
    // The same again from a kept, already partitioned input, whose rows must not have been sorted in place.
    const placed = newContext().parallelize(rows, 2).partitionBy(new Modulo(2)).persist();
    await placed.count();
    expect(await placed.repartitionAndSortWithinPartitions(new Modulo(2), (a, b) => b - a).collectPartitions()).toEqual(
      expected.map((part) => part.toSorted((a, b) => b[0]! - a[0]!)),
    );
    expect((await placed.collect()).map(([key]) => key)).toEqual([0, 2, 0, 3, 3, 1]);
  });
});

describe('default partitioner', () => {
  it.each([
    { left: 2000, expected: 2000 },
    { left: 2, right: 2000, expected: 2000 },
    { left: 1000, rightPartitioner: 10, expected: 1000 },
    { left: 100, rightPartitioner: 10, expected: 100 },
    { left: 99, rightPartitioner: 10, expected: 10 },
    { left: 20, rightPartitioner: 10, expected: 10 },
    { left: 20, right: 10, parallelism: 4, expected: 4 },
    { left: 20, rightPartitioner: 10, parallelism: 4, expected: 10 },
    { left: 1000, rightPartitioner: 10, parallelism: 4, expected: 10 },
  ])('of $left and $right / $rightPartitioner with parallelism $parallelism is $expected', (row) => {
    const context = newContext(row.parallelism ?? null);
    const of = (n: number) => context.parallelize([[1, 1] as const], n);
    const left = of(row.left);
    const right =
      row.rightPartitioner === undefined
        ? of(row.right ?? 1)
        : of(3).partitionBy(new HashPartitioner(row.rightPartitioner));
    expect(left.cogroup(right).numPartitions).toBe(row.expected);
  });

  it('does not count RDDs without partitions in a union', () => {
    const context = newContext();
    const placed = context.parallelize([[1, 1] as const]).partitionBy(new HashPartitioner(4));
    const empty = context.emptyRDD<readonly [number, number]>();
    const union = context.union([empty, placed, placed, empty]);
    expect([union.partitioner, union.numPartitions]).toEqual([placed.partitioner, 4]);
    expect(context.union([empty, placed])).toBe(placed);
    expect(context.union([empty, empty]).numPartitions).toBe(0);
    expect(placed.union(context.parallelize([[1, 1] as const], 2)).partitioner).toBeUndefined();
  });
});
