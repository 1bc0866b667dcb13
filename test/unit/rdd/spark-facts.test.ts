import { describe, expect, it } from 'vitest';
import { newContext } from './fixture.ts';

/** What Spark's own suites say about RDDs, where no array oracle of another test covers it. */

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const sum = (a: number, b: number): number => a + b;

describe('facts of Spark about RDDs', () => {
  it('take gives the first n for any number of partitions', async () => {
    const rows = range(1, 999);
    for (const partitions of [1, 2, 100, 1000]) {
      const rdd = newContext().parallelize(rows, partitions);
      for (const n of [0, 1, 3, 500, 501, 999, 1000]) expect(await rdd.take(n)).toEqual(rows.slice(0, n));
    }
  });

  it('top and takeOrdered sort only what they need, in any order of rows', async () => {
    const rows = range(1, 99_999).map((x) => (x * 7919) % 100_000);
    expect(await newContext().parallelize(rows, 2).top(5)).toEqual([99_999, 99_998, 99_997, 99_996, 99_995]);
    const ten = newContext().parallelize(range(1, 10), 2);
    expect(await ten.takeOrdered(0)).toEqual([]);
    expect(await ten.takeOrdered(5, (a, b) => b - a)).toEqual([10, 9, 8, 7, 6]);
    await expect(ten.top(-1)).rejects.toMatchObject({ message: expect.stringContaining('top: n') });
  });

  it('an RDD without partitions counts, joins and unites as nothing', async () => {
    const context = newContext();
    const empty = context.emptyRDD<[number, number]>();
    expect([await empty.count(), await empty.collect(), await empty.isEmpty()]).toEqual([0, [], true]);
    await expect(empty.reduce((a) => a)).rejects.toMatchObject({ code: 'EMPTY_COLLECTION' });
    await expect(empty.treeReduce((a) => a)).rejects.toMatchObject({ code: 'EMPTY_COLLECTION' });
    expect(await context.emptyRDD<number>().fold(7, sum)).toBe(7);
    expect(await empty.takeSample(true, 3)).toEqual([]);
    const two = context.parallelize([1, 2]).keyBy((x) => x);
    const counts = [
      two.join(empty),
      two.rightOuterJoin(empty),
      two.leftOuterJoin(empty),
      two.fullOuterJoin(empty),
      two.cogroup(empty),
      two.union(empty),
      empty.union(two),
      empty.sortByKey(),
      empty.distinct(),
      empty.coalesce(3),
      empty.zipWithIndex(),
    ].map((rdd) => rdd.count());
    expect(await Promise.all(counts)).toEqual([0, 0, 2, 2, 2, 2, 2, 0, 0, 0, 0]);
  });

  it('fold, aggregate and their tree forms add up the same, whatever the depth', async () => {
    const rdd = newContext().parallelize(range(-1000, 999), 10);
    expect(await rdd.fold(0, sum)).toBe(-1000);
    for (let depth = 1; depth < 10; depth++) {
      expect(await rdd.treeReduce(sum, depth)).toBe(-1000);
      expect(await rdd.treeAggregate(0, sum, sum, depth)).toBe(-1000);
    }
    const zeros = newContext().parallelize([1], 4);
    // Once per partition and once for the result.
    expect(await zeros.fold(10, sum)).toBe(51);
    const invalid = { code: 'OPTION_INVALID', message: expect.stringContaining('depth') };
    await expect(rdd.treeReduce(sum, 0)).rejects.toMatchObject(invalid);
    await expect(rdd.treeAggregate(0, sum, sum, 0)).rejects.toMatchObject(invalid);
  });

  it('coalesce grows only with a shuffle, repartition leaves no partition empty', async () => {
    const rdd = newContext().parallelize(range(1, 10), 10);
    expect(rdd.coalesce(20).numPartitions).toBe(10);
    const grown = rdd.coalesce(20, true);
    expect([grown.numPartitions, grown.name]).toEqual([20, 'coalesce']);
    expect((await grown.collect()).sort((a, b) => a - b)).toEqual(range(1, 10));
    expect(() => rdd.coalesce(0, true)).toThrowError(
      expect.objectContaining({ message: expect.stringContaining('coalesce: numPartitions') }),
    );
    for (const n of [2, 20]) {
      const parts = await newContext().parallelize(range(1, 1000), 10).repartition(n).collectPartitions();
      expect(parts.filter((part) => Math.abs(part.length - 1000 / n) > 10 || part.length === 0)).toEqual([]);
    }
  });

  it('values of a key meet for any number of partitions, negative keys too', async () => {
    const rows = [
      [-1, 1],
      [-1, 2],
      [-1, 3],
      [2, 1],
    ] as const;
    const expected = new Map([
      [-1, [1, 2, 3]],
      [2, [1]],
    ]);
    for (const n of [1, 2, 10]) {
      expect(await newContext().parallelize(rows, 2).groupByKey(n).collectAsMap()).toEqual(expected);
    }
    const sets = newContext()
      .parallelize([[1, 1] as const, [1, 1] as const, [3, 2] as const, [5, 1] as const, [5, 3] as const], 2)
      .aggregateByKey(
        new Set<number>(),
        (set, v) => set.add(v),
        (a, b) => new Set([...a, ...b]),
      );
    expect(await sets.collectAsMap()).toEqual(
      new Map([
        [1, new Set([1])],
        [3, new Set([2])],
        [5, new Set([1, 3])],
      ]),
    );
  });

  it('collecting a distinct RDD twice gives the same order', async () => {
    const distinct = newContext().parallelize([1, 1, 2, 2, 3, 3, 4, 4], 2).distinct();
    const first = await distinct.collect();
    expect(first.length).toBe(4);
    expect(await distinct.collect()).toEqual(first);
  });
});
