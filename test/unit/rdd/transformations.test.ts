import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HashPartitioner } from '../../../src/rdd/partitioner.ts';
import { grouped, newContext, partitionCount, someKey } from './fixture.ts';

const numbers = fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 40 });

describe('RDD transformations', () => {
  it('parallelize cuts slices at floor(i * length / n)', async () => {
    const context = newContext();
    expect(await context.parallelize([1, 2, 3, 4, 5, 6, 7], 3).collectPartitions()).toEqual([
      [1, 2],
      [3, 4],
      [5, 6, 7],
    ]);
    expect(await context.parallelize([1], 3).collectPartitions()).toEqual([[], [], [1]]);
    expect(context.parallelize([]).numPartitions).toBe(3);
    expect(context.emptyRDD().numPartitions).toBe(0);
    expect(await context.emptyRDD().collect()).toEqual([]);
  });

  it('narrow operators give what arrays give, partition by partition', async () => {
    await fc.assert(
      fc.asyncProperty(numbers, partitionCount, async (rows, n) => {
        const rdd = newContext().parallelize(rows, n);
        const parts = await rdd.collectPartitions();
        const each = <U>(f: (part: number[]) => U[]): U[][] => parts.map(f);
        const map = (x: number): number => x * 2;
        const flat = (x: number): Iterable<number> => (x % 2 ? [x, x] : new Set([x]));
        expect(await rdd.map(map).collectPartitions()).toEqual(each((p) => p.map(map)));
        expect(await rdd.filter((x) => x > 0).collectPartitions()).toEqual(each((p) => p.filter((x) => x > 0)));
        expect(await rdd.flatMap(flat).collectPartitions()).toEqual(each((p) => p.flatMap((x) => [...flat(x)])));
        expect(await rdd.glom().collect()).toEqual(parts);
        expect(await rdd.keyBy((x) => x % 3).collect()).toEqual(rows.map((x) => [x % 3, x]));
        expect(await rdd.mapPartitions((p, i) => [i, p.length]).collectPartitions()).toEqual(
          parts.map((p, i) => [i, p.length]),
        );
        expect(await rdd.zipWithIndex().collect()).toEqual(rows.map((x, i) => [x, i]));
        const chain = rdd
          .map(map)
          .filter((x) => x !== 4)
          .flatMap((x) => [x, 1])
          .map((x) => [x, 'v']);
        const expected = rows
          .map(map)
          .filter((x) => x !== 4)
          .flatMap((x) => [x, 1]);
        expect(await chain.keys().collect()).toEqual(expected);
        expect(
          await chain
            .mapValues((v) => v.length)
            .values()
            .collect(),
        ).toEqual(expected.map(() => 1));
        expect(await chain.flatMapValues((v) => new Set([v, 'w'])).collect()).toEqual(
          expected.flatMap((x) => [
            [x, 'v'],
            [x, 'w'],
          ]),
        );
      }),
    );
  });

  it('union is the partitions of the first, then those of the second', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(numbers, partitionCount), { maxLength: 4 }), async (inputs) => {
        const context = newContext();
        const rdds = inputs.map(([rows, n]) => context.parallelize(rows, n));
        const expected = (await Promise.all(rdds.map((rdd) => rdd.collectPartitions()))).flat();
        expect(await context.union(rdds).collectPartitions()).toEqual(expected);
      }),
    );
  });

  it('coalesce joins neighbours and never makes more partitions', async () => {
    await fc.assert(
      fc.asyncProperty(numbers, partitionCount, partitionCount, async (rows, from, to) => {
        const rdd = newContext().parallelize(rows, from);
        const coalesced = rdd.coalesce(to);
        expect(coalesced.numPartitions).toBe(Math.min(from, to));
        expect(await coalesced.collect()).toEqual(rows);
        const parts = await rdd.collectPartitions();
        const bound = (i: number): number => Math.floor((i * from) / coalesced.numPartitions);
        expect(await coalesced.collectPartitions()).toEqual(
          Array.from({ length: coalesced.numPartitions }, (_, i) => parts.slice(bound(i), bound(i + 1)).flat()),
        );
      }),
    );
    const coalesced = newContext().parallelize([1, 2, 3, 4, 5], 5).coalesce(2);
    expect(await coalesced.collectPartitions()).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
  });

  it('repartition deals rows out evenly into exactly n partitions', async () => {
    await fc.assert(
      fc.asyncProperty(numbers, partitionCount, partitionCount, async (rows, from, to) => {
        const parts = await newContext().parallelize(rows, from).repartition(to).collectPartitions();
        expect(parts.length).toBe(to);
        expect(parts.flat().sort()).toEqual([...rows].sort());
        const sizes = parts.map((part) => part.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(from);
      }),
    );
  });

  it('distinct keeps the first of each row that is equal by value', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(someKey, { maxLength: 30 }), partitionCount, partitionCount, async (rows, from, to) => {
        const unique = await newContext().parallelize(rows, from).distinct(to).collect();
        const expected = grouped(rows.map((row) => [row, 0])).map(([row]) => row);
        expect(new Set(unique)).toEqual(new Set(expected));
        expect(unique.length).toBe(expected.length);
      }),
    );
    expect(newContext().parallelize([1, 1], 4).distinct().numPartitions).toBe(4);
  });

  it('sortBy gives a stable total order, equal keys in one partition', async () => {
    await fc.assert(
      fc.asyncProperty(numbers, partitionCount, partitionCount, fc.boolean(), async (values, from, to, ascending) => {
        const rows = values.map((key, i) => ({ key, i }));
        const sorted = newContext()
          .parallelize(rows, from)
          .sortBy((row) => row.key, ascending, to);
        const expected = [...rows].sort((a, b) => (ascending ? a.key - b.key : b.key - a.key));
        const parts = await sorted.collectPartitions();
        expect(parts.flat()).toEqual(expected);
        expect(parts.length).toBe(to);
        const borders = parts.filter((part) => part.length > 0).map((part) => [part[0]!.key, part.at(-1)!.key]);
        for (let i = 1; i < borders.length; i++) expect(borders[i]![0]).not.toBe(borders[i - 1]![1]);
        const largestRun = Math.max(0, ...grouped(rows.map((row) => [row.key, 0])).map(([, run]) => run.length));
        for (const part of parts) expect(part.length).toBeLessThanOrEqual(Math.ceil(values.length / to) + largestRun);
        expect(await sorted.collectPartitions()).toEqual(parts);
      }),
    );
  });

  it('sortBy orders every type that has a natural order and refuses the rest', async () => {
    const sort = (rows: readonly unknown[]): Promise<unknown[]> =>
      newContext(2)
        .parallelize(rows, 2)
        .sortBy((row) => row)
        .collect();
    expect(await sort([3, NaN, -1, Infinity, 0])).toEqual([-1, 0, 3, Infinity, NaN]);
    expect(await sort(['b', 'a', '', 'B'])).toEqual(['', 'B', 'a', 'b']);
    expect(await sort([2n, 1n])).toEqual([1n, 2n]);
    expect(await sort([true, null, false, undefined])).toEqual([undefined, null, false, true]);
    expect(await sort([['b', 1], ['a', 2], ['a', 1], ['a']])).toEqual([['a'], ['a', 1], ['a', 2], ['b', 1]]);
    expect(await sort([new Date(2), new Date(1)])).toEqual([new Date(1), new Date(2)]);
    await expect(sort([1, 'a'])).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    await expect(sort([{}, {}])).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  it('computes nothing before an action', () => {
    const rdd = newContext()
      .parallelize([1])
      .map(() => {
        throw new Error('computed');
      });
    expect(
      rdd
        .map((x) => x)
        .distinct()
        .keyBy((x) => x)
        .groupByKey().numPartitions,
    ).toBe(3);
  });

  it('persist computes every partition once and unpersist forgets it', async () => {
    const seen: number[] = [];
    const rdd = newContext(2)
      .parallelize([1, 2, 3, 4], 2)
      .map((x) => {
        seen.push(x);
        return x;
      });
    await rdd.count();
    await rdd.count();
    expect(seen.length).toBe(8);
    expect(rdd.persist()).toBe(rdd);
    expect(await rdd.take(1)).toEqual([1]);
    expect(seen.length).toBe(10);
    expect(rdd.isFullyKept).toBe(false);
    expect(await rdd.map((x) => x + 1).collect()).toEqual([2, 3, 4, 5]);
    expect(await rdd.collect()).toEqual([1, 2, 3, 4]);
    expect(seen.length).toBe(12);
    expect(rdd.isFullyKept).toBe(true);
    rdd.unpersist();
    expect(await rdd.collect()).toEqual([1, 2, 3, 4]);
    expect(seen.length).toBe(16);
  });

  it('a kept RDD hides the shuffles behind it', async () => {
    let mapped = 0;
    const base = newContext(2)
      .parallelize([1, 2, 3], 2)
      .map((x) => {
        mapped++;
        return [x, x];
      });
    const reduced = base
      .mapValues((x) => x as number)
      .reduceByKey((a, b) => a + b)
      .cache();
    await reduced.count();
    expect(mapped).toBe(3);
    await reduced.repartition(3).collect();
    await reduced.filter(() => true).collect();
    expect(mapped).toBe(3);
  });

  it('a shuffle is computed once for several actions, also when they overlap', async () => {
    let mapped = 0;
    const grouped = newContext(2)
      .parallelize(['a', 'b', 'a'], 2)
      .map((x) => {
        mapped++;
        return [x, 1];
      })
      .groupByKey();
    const results = await Promise.all([
      grouped.count(),
      grouped.collect(),
      grouped.mapValues((v) => v.length).collect(),
    ]);
    expect(results[0]).toBe(2);
    expect(mapped).toBe(3);
  });

  it('filter and mapValues keep the partitioner, map drops it', () => {
    const rdd = newContext()
      .parallelize([1])
      .keyBy((x) => x)
      .partitionBy(new HashPartitioner(4));
    expect(
      rdd
        .filter(() => true)
        .mapValues((v) => v)
        .flatMapValues((v) => [v]).partitioner,
    ).toBe(rdd.partitioner);
    expect(rdd.map((x) => x).partitioner).toBeUndefined();
    expect(rdd.mapPartitions((p) => p).partitioner).toBeUndefined();
    expect(rdd.mapPartitions((p) => p, true).partitioner).toBe(rdd.partitioner);
  });

  it('draws its lineage', () => {
    const rdd = newContext(2)
      .parallelize(['a'], 1)
      .map((x) => [x, 1])
      .reduceByKey((a, b) => a + b)
      .mapValues((v) => v);
    expect(rdd.persist().toDebugString().split('\n')).toEqual([
      '(2) mapValues [persisted]',
      ' | (2) reduceByKey',
      '    +-(1) map',
      '       | (1) parallelize',
    ]);
  });

  it('names the field of a wrong argument', () => {
    const context = newContext();
    const rdd = context.parallelize([1]);
    const wrong = (message: RegExp): unknown =>
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringMatching(message) });
    expect(() => context.parallelize([1], 0)).toThrowError(
      wrong(/^numPartitions must be an integer of at least 1, not 0/),
    );
    expect(() => context.parallelize('ab' as never)).toThrowError(wrong(/array/));
    expect(() => rdd.repartition(1.5)).toThrowError(wrong(/repartition: numPartitions/));
    expect(() => rdd.coalesce(0)).toThrowError(wrong(/coalesce: numPartitions/));
    expect(() => rdd.distinct(Number.NaN)).toThrowError(wrong(/numPartitions/));
    expect(() => rdd.map(undefined as never)).toThrowError(wrong(/map: f must be a function, not undefined/));
    expect(() => rdd.filter('x' as never)).toThrowError(wrong(/filter: keep must be a function, not "x"/));
    expect(() => rdd.sortBy(1 as never)).toThrowError(wrong(/sortBy: f/));
    expect(() => rdd.keyBy((x) => x).reduceByKey(undefined as never)).toThrowError(wrong(/reduceByKey: f/));
    expect(() => rdd.keyBy((x) => x).groupByKey(0)).toThrowError(wrong(/numPartitions/));
    expect(() => rdd.keyBy((x) => x).partitionBy(3 as never)).toThrowError(wrong(/partitionBy: partitioner/));
    expect(() => newContext(0)).toThrowError(wrong(/defaultParallelism/));
    expect(() => rdd.union(newContext().parallelize([1]))).toThrowError(
      expect.objectContaining({ code: 'GRAPH_INVALID' }),
    );
  });

  it('refuses unsupported keys at the first record, in one partition too', async () => {
    for (const n of [1, 3]) {
      const pairs = newContext(n).parallelize([[new Date(0), 1] as const], 1);
      for (const job of [pairs.reduceByKey((a) => a), pairs.groupByKey(), pairs.partitionBy(new HashPartitioner(n))]) {
        await expect(job.collect()).rejects.toMatchObject({ code: 'KEY_UNSUPPORTED' });
      }
    }
  });
});
