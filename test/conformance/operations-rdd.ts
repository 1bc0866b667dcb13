import { expect } from 'vitest';
import { HashPartitioner } from '../../src/index.ts';
import type { RDD } from '../../src/rdd/rdd.ts';
import type { CaseFunctions, Row, SparkCase } from './support/cases.ts';
import { call, dataOf, expectBag, expectRefused, expectRows, rddContext, unknownRow } from './support/check.ts';

type Pair = readonly [unknown, unknown];
type Check = (row: Row, sparkCase: SparkCase, functions: CaseFunctions) => unknown;

const plus = (a: number, b: number): number => a + b;

function rows(data: unknown, partitions: unknown = 2): RDD<unknown> {
  return rddContext().parallelize(dataOf(data), partitions as number);
}

function pairs(data: unknown, partitions: unknown = 2): RDD<Pair> {
  return rows(data, partitions) as RDD<Pair>;
}

/** What a row says of an RDD, of whichever kind. */
async function expectResult(rdd: RDD<unknown>, row: Row): Promise<void> {
  if (!Object.keys(row).some((name) => name.startsWith('expected'))) unknownRow(row);
  if ('expected' in row) await expectRows(rdd, row.expected);
  if ('expectedSorted' in row) expectBag(await rdd.collect(), row.expectedSorted as unknown[]);
  if ('expectedSet' in row) expectBag(await rdd.collect(), row.expectedSet as unknown[]);
  if ('expectedBag' in row) expectBag(await rdd.collect(), row.expectedBag as unknown[]);
  if ('expectedCount' in row) expect(await rdd.count()).toBe(row.expectedCount);
  if ('expectedPartitions' in row) expect(rdd.getNumPartitions()).toBe(row.expectedPartitions);
}

async function basic(row: Row, { params }: SparkCase): Promise<unknown> {
  const data = rows(params!.data, params!.partitions) as RDD<number>;
  const { expected } = row;
  switch (row.call) {
    case 'getNumPartitions':
      return expect(data.getNumPartitions()).toBe(expected);
    case 'toLocalIterator':
      return expect(await arrayOf(call<AsyncIterable<number>>(data, 'toLocalIterator'))).toEqual(expected);
    case 'reduce':
      return expect(await data.reduce(plus)).toBe(expected);
    case 'fold':
      return expect(await data.fold(row.zero as number, plus)).toBe(expected);
    case 'collect':
      return expectRows(data, expected);
    case 'map':
      return expectRows(data.map(String), expected);
    case 'filter':
      return expectRows(
        data.filter((x) => x > 2),
        expected,
      );
    case 'flatMap':
      return expectRows(
        data.flatMap((x) => Array.from({ length: x }, (_, i) => i + 1)),
        expected,
      );
    case 'union(self)':
      return expectRows(data.union(data), expected);
    case 'glom':
      return expectRows(data.glom(), expected);
    case 'keyBy':
      return expectRows(data.keyBy(String), expected);
    case 'isEmpty':
      return expect(await data.isEmpty()).toBe(expected);
    case 'max':
      return expect(await data.max()).toBe(expected);
    case 'min':
      return expect(await data.min()).toBe(expected);
    case 'mapPartitions':
      return expectRows(
        data.mapPartitions((part) => [part.reduce(plus, 0)]),
        expected,
      );
    case 'mapPartitionsWithIndex': {
      const withIndex = (index: number, part: readonly number[]): unknown[] => [[index, part.reduce(plus, 0)]];
      return expectRows(call(data, 'mapPartitionsWithIndex', withIndex), expected);
    }
    case 'filter(> 5).reduce':
      return expectRefused(() => data.filter((x) => x > 5).reduce(plus));
    default:
      return unknownRow(row);
  }
}

async function arrayOf<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const array: T[] = [];
  for await (const row of rows) array.push(row);
  return array;
}

async function empty(row: Row): Promise<unknown> {
  const none = rddContext().emptyRDD<never>();
  const both = none.context.parallelize([1, 2], 2);
  const keyed = both.keyBy((x) => x);
  const nothing = none as unknown as RDD<Pair>;
  switch (row.call) {
    case 'count':
      return expect(await none.count()).toBe(row.expected);
    case 'collect':
      return expectRows(none, row.expected);
    case 'reduce':
      return expectRefused(() => none.reduce((a) => a));
    case '[1,2 keyed by self].join(empty)':
      return expectResult(call(keyed, 'join', nothing), row);
    case 'union(empty)':
      return expectResult(both.union(none), row);
    case 'rightOuterJoin(empty)':
    case 'leftOuterJoin(empty)':
    case 'fullOuterJoin(empty)':
    case 'cogroup(empty)':
      return expectResult(call(keyed, String(row.call).split('(')[0]!, nothing), row);
    default:
      return unknownRow(row);
  }
}

async function aggregates(row: Row): Promise<unknown> {
  const data = dataOf(row.data);
  switch (row.call) {
    case 'fold':
      return expect(await (rows(data, row.partitions) as RDD<number>).fold(row.zero as number, plus)).toBe(
        row.expected,
      );
    case 'treeReduce':
    case 'treeAggregate': {
      const rdd = rows(data, row.partitions);
      for (let depth = 1; depth <= 9; depth++) {
        const result =
          row.call === 'treeReduce'
            ? await call<Promise<number>>(rdd, 'treeReduce', plus, depth)
            : await call<Promise<number>>(rdd, 'treeAggregate', 0, plus, plus, depth);
        expect(result).toBe(row.expected);
      }
      return;
    }
    case 'aggregate sum by key': {
      const merge = (sums: Record<string, number>, [key, value]: Pair): Record<string, number> => {
        sums[String(key)] = (sums[String(key)] ?? 0) + (value as number);
        return sums;
      };
      const combine = (a: Record<string, number>, b: Record<string, number>): Record<string, number> =>
        Object.entries(b).reduce(merge, a);
      return expect(await pairs(data).aggregate({}, merge, combine)).toEqual(row.expected);
    }
    default:
      return unknownRow(row);
  }
}

async function order(row: Row): Promise<void> {
  const data = rows(row.data, row.partitions);
  const compare =
    row.ordering === 'reverse'
      ? (a: unknown, b: unknown) => ((a as number) < (b as number) ? 1 : (a as number) > (b as number) ? -1 : 0)
      : undefined;
  const n = row.n as number;
  const found = row.call === 'top' ? await data.top(n, compare) : await data.takeOrdered(n, compare);
  if ('expected' in row) expect(found).toEqual(row.expected);
  else expectBag(found, row.expectedSet as unknown[]);
}

async function zipIds(row: Row): Promise<void> {
  const name = row.call as string;
  if (name !== 'zipWithIndex' && name !== 'zipWithUniqueId') unknownRow(row);
  await expectRows(call(rows(row.data, row.partitions), name), row.expected);
}

async function joins(row: Row): Promise<void> {
  const name = String(row.call);
  if (!['join', 'leftOuterJoin', 'rightOuterJoin', 'fullOuterJoin'].includes(name)) unknownRow(row);
  const left = pairs(row.a);
  const right = left.context.parallelize(dataOf(row.b), 2);
  const joined = call<RDD<unknown>>(left, name, right, row.numPartitions);
  await expectResult(joined, row);
  if (row.numPartitions !== undefined) expect(joined.getNumPartitions()).toBe(row.numPartitions);
}

async function cogroups(row: Row): Promise<void> {
  const [first, ...others] = row.inputs as unknown[][];
  const left = pairs(first);
  const sides = others.map((side) => left.context.parallelize(side, 2));
  const found = (await call<RDD<[unknown, unknown[][]]>>(left, 'cogroup', ...sides).collect()).map(([key, groups]) => [
    key,
    groups.map((group) => group.toSorted()),
  ]);
  expectBag(found, row.expected as unknown[]);
}

async function reduceByKeys(row: Row): Promise<unknown> {
  const data = pairs(row.data) as RDD<readonly [unknown, number]>;
  const numPartitions = row.numPartitions as number | undefined;
  switch (row.call) {
    case 'reduceByKey': {
      const reduced = data.reduceByKey(plus, numPartitions);
      if (numPartitions !== undefined) expect(reduced.getNumPartitions()).toBe(numPartitions);
      return expectResult(reduced, row);
    }
    case 'foldByKey':
      return expectResult(data.foldByKey(row.zero as number, plus), row);
    case 'collectAsMap':
      return expect(Object.fromEntries(await data.reduceByKey(plus).collectAsMap())).toEqual(row.expected);
    default:
      return unknownRow(row);
  }
}

async function subtracts(row: Row): Promise<void> {
  const left = rows(row.a, row.aPartitions ?? 2);
  const right = left.context.parallelize(dataOf(row.b), (row.bPartitions as number | undefined) ?? 2);
  await expectResult(call(left, String(row.call), right), row);
}

async function defaultPartitions(row: Row): Promise<void> {
  const context = rddContext(row.defaultParallelism as number | undefined);
  const side = (count: unknown, partitioned: unknown): RDD<Pair> => {
    const rdd = context.parallelize<Pair>([[1, 1]], (count ?? partitioned ?? 1) as number);
    return partitioned === undefined ? rdd : (rdd.partitionBy(new HashPartitioner(partitioned as number)) as RDD<Pair>);
  };
  const left = side(row.leftPartitions, undefined);
  const right = side(row.rightPartitions, row.rightPartitioner);
  const result = {
    'map then groupByKey': () => left.groupByKey(),
    join: () => left.join(right),
    cogroup: () => left.cogroup(right),
  }[row.op as string];
  expect((result ?? (() => unknownRow(row)))().getNumPartitions()).toBe(row.expected);
}

export const rddOperations: Readonly<Record<string, Check>> = {
  rdd: basic,
  'rdd.distinct': async (row) => {
    const distinct = rows(row.data, row.partitions).distinct((row.numPartitions as number | null) ?? undefined);
    await expectResult(distinct, row);
    expect(distinct.getNumPartitions()).toBe(row.numPartitions ?? row.partitions);
    expect(await distinct.collect()).toEqual(await distinct.collect());
  },
  'rdd.parallelize': (row) => expectRows(rows(row.data, row.partitions).glom(), row.expected),
  'rdd.coalesce': async (row, { params }) => {
    const data = rows(params!.data, params!.partitions);
    if (row.throws) return expectRefused(() => data.coalesce(row.n as number));
    const coalesced = call<RDD<unknown>>(data, 'coalesce', row.n, row.shuffle ?? false);
    await expectResult(row.shuffle ? coalesced : coalesced.glom(), row);
  },
  'rdd.repartition': async (row, { params }) => {
    const data = rows(params!.data, params!.partitions);
    if (row.throws) return expectRefused(() => data.repartition(row.n as number));
    const partitions = await data.repartition(row.n as number).collectPartitions();
    expect(partitions).toHaveLength(row.expectedPartitions as number);
    const average = dataOf(params!.data).length / partitions.length;
    for (const part of partitions) {
      expect(part.length).toBeGreaterThan(0);
      expect(Math.abs(part.length - average)).toBeLessThanOrEqual(params!.partitions as number);
    }
    expectBag(partitions.flat(), dataOf(params!.data));
  },
  'rdd.zip': async (row, { params }) => {
    const data = rows(params!.data, params!.partitions);
    const other = data.context.parallelize(row.other as unknown[], row.otherPartitions as number);
    const zip = (): RDD<unknown> => call<RDD<unknown>>(data, 'zip', other);
    if (row.throws) return expectRefused(() => zip().collect());
    await expectRows(zip().glom(), row.expected);
  },
  'rdd.take': async (row, { params }) => {
    const data = dataOf(params!.data);
    const count = Number(/^first (\d+) of/.exec(row.expected as string)![1]);
    expect(await rows(data, row.partitions).take(row.n as number)).toEqual(data.slice(0, count));
  },
  'rdd.order': order,
  'rdd.isEmpty': async (row) => {
    const data = rows(row.data, row.partitions ?? 1) as RDD<number>;
    const filters: Readonly<Record<string, (x: number) => boolean>> = { '< 0': (x) => x < 0, '> 1': (x) => x > 1 };
    const filter = row.filter === undefined ? () => true : filters[row.filter as string];
    expect(await data.filter(filter ?? (() => unknownRow(row))).isEmpty()).toBe(row.expected);
  },
  'rdd.empty': empty,
  'rdd.aggregate': aggregates,
  'rdd.sortBy': async (row, { params }) => {
    const data = rows(row.data ?? params!.data, 2) as RDD<string>;
    const field = Number(/^field (\d)$/.exec((row.key as string | undefined) ?? 'field 0')![1]);
    const sorted = data.sortBy((text) => text.split('|')[field]!, (row.ascending as boolean | undefined) ?? true);
    await expectRows(sorted, row.expected);
  },
  'rdd.repartitionAndSort': async (row) => {
    if (row.partitioner !== 'key mod 2') unknownRow(row);
    const partitioner = {
      numPartitions: row.partitions as number,
      partition: (key: unknown) => (key as number) % 2,
      equals: (other: unknown) => other === partitioner,
    };
    const sorted = call<RDD<unknown>>(pairs(row.data), 'repartitionAndSortWithinPartitions', partitioner);
    await expectRows(sorted.glom(), row.expected);
  },
  'rdd.cartesian': (row) => {
    const left = rows(row.a);
    return expectResult(call(left, 'cartesian', left.context.parallelize(dataOf(row.b), 2)), row);
  },
  'rdd.intersection': async (row) => {
    const left = rows(row.a);
    const right = left.context.parallelize(dataOf(row.b), 2);
    await expectResult(call(left, 'intersection', right), row);
    await expectResult(call(right, 'intersection', left), row);
  },
  'rdd.zipIds': zipIds,
  'rdd.union': async (row, { params }) => {
    const data = rows(params!.data, params!.partitions);
    await expectRows(data.context.union(Array.from({ length: row.rdds as number }, () => data)), row.expected);
  },
  'pairRdd.reduceByKey': reduceByKeys,
  'pairRdd.aggregateByKey': async (row) => {
    if (row.zero !== 'empty set') unknownRow(row);
    const sets = pairs(row.data, row.partitions).aggregateByKey(
      new Set<unknown>(),
      (set, value) => set.add(value),
      (a, b) => new Set([...a, ...b]),
    );
    const found = (await sets.collect()).map(([key, set]) => [key, [...set].toSorted()]);
    expectBag(found, row.expected as unknown[]);
  },
  'pairRdd.groupByKey': async (row) => {
    const grouped = pairs(row.data).groupByKey(row.numPartitions as number | undefined);
    const found = (await grouped.collect()).map(([key, values]) => [key, values.toSorted()]);
    expectBag(found, row.expected as unknown[]);
    if (row.numPartitions !== undefined) expect(grouped.getNumPartitions()).toBe(row.numPartitions);
  },
  'pairRdd.join': joins,
  'pairRdd.cogroup': cogroups,
  'pairRdd.subtract': subtracts,
  'pairRdd.defaultPartitioner': defaultPartitions,
  'pairRdd.keysValues': async (row) => {
    await expectRows(pairs(row.data).keys(), row.keys);
    await expectRows(pairs(row.data).values(), row.values);
  },
};
