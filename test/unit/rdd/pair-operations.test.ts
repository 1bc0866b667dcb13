import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashKey, keyIdentity } from '../../../src/base/canonical-key.ts';
import { copyPlain } from '../../../src/base/plain-data.ts';
import { HashPartitioner } from '../../../src/rdd/partitioner.ts';
import type { RDD } from '../../../src/rdd/rdd.ts';
import { byKey, grouped, newContext, partitionCount, somePairs } from './fixture.ts';

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

describe('RDD pair operations', () => {
  it('combine by key as a grouped array does, in order of map partitions and rows', async () => {
    await fc.assert(
      fc.asyncProperty(somePairs, partitionCount, partitionCount, async (pairs, from, to) => {
        const rdd = newContext(to).parallelize(pairs, from);
        const expected = grouped(pairs);
        const want = <C>(f: (values: number[]) => C): Map<unknown, C[]> =>
          byKey(expected.map(([k, v]) => [k, f(v)] as const));
        expect(byKey(await rdd.groupByKey().collect())).toEqual(want((v) => v));
        expect(byKey(await rdd.reduceByKey((a, b) => a + b).collect())).toEqual(want(sum));
        expect(byKey(await rdd.foldByKey(0, (a, b) => a + b).collect())).toEqual(want(sum));
        const list = rdd.aggregateByKey<unknown, number, number[]>(
          [],
          (a, v) => {
            a.push(v);
            return a;
          },
          (a, b) => {
            a.push(...b);
            return a;
          },
        );
        expect(byKey(await list.collect())).toEqual(want((v) => v));
        // Merging changed accumulators in place: a second job must not see them changed again.
        expect(byKey(await list.collect())).toEqual(want((v) => v));
        for (const mapSideCombine of [true, false]) {
          const text = rdd.combineByKey({
            create: (v) => `${v}`,
            mergeValue: (a, v) => `${a},${v}`,
            mergeCombiners: (a, b) => `${a},${b}`,
            mapSideCombine,
          });
          expect(byKey(await text.collect())).toEqual(want((v) => v.join()));
        }
        expect(new Map(Array.from(await rdd.countByKey(), ([k, n]) => [keyIdentity(k), n]))).toEqual(
          new Map(expected.map(([k, v]) => [keyIdentity(k), v.length])),
        );
        expect(new Map(Array.from(await rdd.collectAsMap(), ([k, v]) => [keyIdentity(k), v]))).toEqual(
          new Map(expected.map(([k, v]) => [keyIdentity(k), v.at(-1)])),
        );
        for (const [key, values] of expected) {
          expect(await rdd.lookup(key)).toEqual(values);
          expect(await rdd.groupByKey().lookup(key)).toEqual([values]);
        }
      }),
    );
  });

  it('give the same partitions, keys and values in the same order every time', async () => {
    await fc.assert(
      fc.asyncProperty(somePairs, partitionCount, partitionCount, async (pairs, from, to) => {
        const build = (): Promise<[unknown, number[]][][]> =>
          newContext(to).parallelize(pairs, from).groupByKey().collectPartitions();
        const parts = await build();
        expect(await build()).toEqual(parts);
        const expected = grouped(pairs);
        parts.forEach((part, i) => {
          expect(part).toEqual(expected.filter(([key]) => hashKey(key) % to === i));
        });
        const reduced = await newContext(to)
          .parallelize(pairs, from)
          .reduceByKey((a, b) => a + b)
          .collectPartitions();
        expect(reduced).toEqual(parts.map((part) => part.map(([key, values]) => [key, sum(values)])));
      }),
    );
  });

  it('join as nested loops do', async () => {
    await fc.assert(
      fc.asyncProperty(somePairs, somePairs, partitionCount, partitionCount, async (left, right, n, m) => {
        const context = newContext(m);
        const [a, b] = [context.parallelize(left, n), context.parallelize(right, m)];
        const equal = (x: unknown, y: unknown): boolean =>
          Object.is(keyIdentity(x), keyIdentity(y)) || keyIdentity(x) === keyIdentity(y);
        const match = (key: unknown, rows: [unknown, number][]): number[] =>
          rows.filter(([k]) => equal(k, key)).map(([, v]) => v);
        const keys = grouped([...left, ...right]).map(([key]) => key);
        const product = (orLeft: undefined[], orRight: undefined[]): Map<unknown, unknown[]> =>
          byKey(
            keys.flatMap((key) => {
              const [ours, theirs] = [match(key, left), match(key, right)];
              return (ours.length > 0 ? ours : orLeft).flatMap((v) =>
                (theirs.length > 0 ? theirs : orRight).map((w) => [key, [v, w]] as const),
              );
            }),
          );
        const none = [undefined];
        const check = async <V>(rdd: RDD<[unknown, V]>, expected: Map<unknown, unknown[]>): Promise<void> =>
          expect(byKey(await rdd.collect())).toEqual(expected);
        await check(a.join(b), product([], []));
        await check(a.leftOuterJoin(b), product([], none));
        await check(a.rightOuterJoin(b), product(none, []));
        await check(a.fullOuterJoin(b), product(none, none));
        await check(a.cogroup(b), byKey(keys.map((key) => [key, [match(key, left), match(key, right)]])));
        await check(a.subtractByKey(b), byKey(left.filter(([key]) => match(key, right).length === 0)));
        const copartitioned = a.partitionBy(new HashPartitioner(2)).join(b.partitionBy(new HashPartitioner(2)));
        await check(copartitioned, product([], []));
      }),
    );
  });

  it('partitionBy puts every row where its key belongs and keeps the order of rows', async () => {
    await fc.assert(
      fc.asyncProperty(somePairs, partitionCount, partitionCount, async (pairs, from, to) => {
        const parts = await newContext()
          .parallelize(pairs, from)
          .partitionBy(new HashPartitioner(to))
          .collectPartitions();
        expect(parts).toEqual(parts.map((_, i) => pairs.filter(([key]) => hashKey(key) % to === i)));
      }),
    );
  });

  it('do not shuffle again what has the right partitioner', async () => {
    const partitioner = new HashPartitioner(3);
    const context = newContext(8);
    const pairs = context
      .parallelize(['a', 'b', 'c', 'a'], 2)
      .map((word) => [word, 1])
      .partitionBy(partitioner);
    expect(pairs.partitionBy(new HashPartitioner(3))).toBe(pairs);
    const shuffles = (rdd: RDD<unknown>): number => rdd.toDebugString().split('+-').length - 1;
    const reduced = pairs.reduceByKey((a, b) => a + b);
    expect(reduced.partitioner).toBe(partitioner);
    for (const rdd of [reduced, pairs.groupByKey(), pairs.groupByKey(new HashPartitioner(3)), pairs.groupByKey(3)]) {
      expect(shuffles(rdd)).toBe(1);
    }
    expect(shuffles(pairs.groupByKey(4))).toBe(2);
    expect(shuffles(reduced.join(reduced.mapValues((n) => n * 2)))).toBe(2);
    expect(byKey(await reduced.join(reduced).collect())).toEqual(
      byKey([
        ['a', [2, 2]],
        ['b', [1, 1]],
        ['c', [1, 1]],
      ]),
    );
    const union = context.union([reduced, reduced]);
    expect(union.partitioner).toBe(partitioner);
    expect(union.numPartitions).toBe(3);
    expect(byKey(await union.reduceByKey((a, b) => a + b).collect())).toEqual(
      byKey([
        ['a', 4],
        ['b', 2],
        ['c', 2],
      ]),
    );
    expect(shuffles(union.reduceByKey((a, b) => a + b))).toBe(2);
  });

  it('use the largest existing partitioner, else the parallelism of the context', () => {
    const context = newContext(7);
    const pairs = context.parallelize([[1, 1]], 2).map(([k, v]) => [k, v] as [number, number]);
    expect(pairs.groupByKey().numPartitions).toBe(7);
    expect(pairs.groupByKey(2).numPartitions).toBe(2);
    const [small, large] = [pairs.partitionBy(new HashPartitioner(2)), pairs.partitionBy(new HashPartitioner(5))];
    expect(small.join(large).partitioner).toBe(large.partitioner);
    expect(pairs.join(small).partitioner).toBe(small.partitioner);
  });

  it('copy the zero value for every key, now and for every run', async () => {
    const zero = { values: [] as number[] };
    const rdd = newContext(2)
      .parallelize([1, 2, 3, 4], 2)
      .keyBy((x) => x % 2)
      .aggregateByKey(
        zero,
        (a, v) => {
          a.values.push(v);
          return a;
        },
        (a, b) => ({ values: [...a.values, ...b.values] }),
      );
    zero.values.push(99);
    const expected = byKey([
      [1, { values: [1, 3] }],
      [0, { values: [2, 4] }],
    ]);
    expect(byKey(await rdd.collect())).toEqual(expected);
    expect(byKey(await rdd.collect())).toEqual(expected);
    const fails = (): unknown => rdd.foldByKey(new (class Zero {})() as never, (a) => a);
    expect(fails).toThrowError(expect.objectContaining({ code: 'VALUE_UNSUPPORTED' }));
  });

  it('reducing functions may change and return their first argument, and no row notices', async () => {
    const add = (a: { n: number; all: number[] }, b: { n: number; all: number[] }): { n: number; all: number[] } => {
      a.n += b.n;
      a.all.push(...b.all);
      return a;
    };
    await fc.assert(
      fc.asyncProperty(somePairs, partitionCount, partitionCount, async (pairs, from, to) => {
        const rows = pairs.map(([key, n]): [unknown, { n: number; all: number[] }] => [key, { n, all: [n] }]);
        const before = copyPlain(rows);
        const context = newContext(to);
        const rdd = context.parallelize(rows, from);
        const expected = byKey(grouped(pairs).map(([key, all]) => [key, { n: sum(all), all }] as const));
        for (const input of [rdd, rdd.partitionBy(new HashPartitioner(to))]) {
          const reduced = input.reduceByKey(add);
          expect(byKey(await reduced.collect())).toEqual(expected);
          expect(byKey(await reduced.collect())).toEqual(expected);
          expect(byKey(await input.foldByKey({ n: 0, all: [] }, add).collect())).toEqual(expected);
          if (rows.length > 0) expect((await input.values().reduce(add)).n).toBe(sum(pairs.map(([, n]) => n)));
          await input.values().fold({ n: 0, all: [] }, add);
        }
        expect(rows).toEqual(before);
      }),
    );
  });

  it('reduceByKey shares what it cannot copy and never copies a value that stands alone', async () => {
    class Box {
      n = 1;
    }
    const [box, single] = [new Box(), { body: Buffer.from('x') }];
    const rdd = newContext(1).parallelize<readonly [string, unknown]>(
      [
        ['a', box],
        ['a', new Box()],
        ['b', single],
      ],
      1,
    );
    const reduced = await rdd.reduceByKey((a) => a).collectAsMap();
    expect(reduced.get('a')).toBe(box);
    expect(reduced.get('b')).toBe(single);
  });

  it('start again from the rows when merging accumulators fails half-way', async () => {
    let failures = 2;
    const rdd = newContext(2)
      .parallelize(['a', 'b', 'a', 'b', 'a', 'b'], 3)
      .map((word) => [word, 1])
      .aggregateByKey(
        { n: 0 },
        (a, v) => {
          a.n += v;
          return a;
        },
        (a, b) => {
          a.n += b.n;
          if (failures-- > 0) throw new Error('in the middle');
          return a;
        },
      );
    expect(byKey(await rdd.collect())).toEqual(
      byKey([
        ['a', { n: 3 }],
        ['b', { n: 3 }],
      ]),
    );
  });
});
