/** Checked by the compiler only: what must infer, and what must not compile. */
import { HashPartitioner } from '../../src/rdd/partitioner.ts';
import type { RDD } from '../../src/rdd/rdd.ts';
import type { RddContext } from '../../src/rdd/rdd-context.ts';

type Equal<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;

function same<A, B>(_: Equal<A, B>): void {}

interface Reading {
  readonly device: string;
  readonly value: number;
}

export function infersThroughChains(context: RddContext, readings: RDD<Reading>): void {
  const words = context.parallelize(['a b', 'c']).flatMap((line) => line.split(' '));
  same<typeof words, RDD<string>>(true);

  const counts = words.map((word) => [word, 1]).reduceByKey((a, b) => a + b);
  same<typeof counts, RDD<[string, number]>>(true);

  const constCounts = words.map((word) => [word, 1] as const).reduceByKey((a, b) => a + b);
  same<typeof constCounts, RDD<[string, number]>>(true);

  const sums = readings
    .map((r) => [r.device, { sum: r.value, n: 1 }])
    .reduceByKey((a, b) => ({ sum: a.sum + b.sum, n: a.n + b.n }))
    .mapValues((a) => a.sum / a.n);
  same<typeof sums, RDD<[string, number]>>(true);

  const folded = words.map((word) => [word, 1] as const).foldByKey(0, (a, b) => a + b);
  same<typeof folded, RDD<[string, number]>>(true);

  const aggregated = readings
    .keyBy((r) => r.device)
    .aggregateByKey(
      { n: 0, max: 0 },
      (a, r) => ({ n: a.n + 1, max: Math.max(a.max, r.value) }),
      (a, b) => ({ n: a.n + b.n, max: Math.max(a.max, b.max) }),
    );
  same<typeof aggregated, RDD<[string, { n: number; max: number }]>>(true);

  const combined = readings
    .keyBy((r) => r.device)
    .combineByKey({
      create: (r) => new Set([r.value]),
      mergeValue: (set, r) => set.add(r.value),
      mergeCombiners: (a, b) => new Set([...a, ...b]),
    });
  same<typeof combined, RDD<[string, Set<number>]>>(true);

  const joined = counts.join(sums);
  same<typeof joined, RDD<[string, [number, number]]>>(true);
  const left = counts.leftOuterJoin(readings.keyBy((r) => r.device));
  same<typeof left, RDD<[string, [number, Reading | undefined]]>>(true);
  const full = counts.fullOuterJoin(sums);
  same<typeof full, RDD<[string, [number | undefined, number | undefined]]>>(true);
  const grouped = counts.cogroup(readings.keyBy((r) => r.device));
  same<typeof grouped, RDD<[string, [number[], Reading[]]]>>(true);
  const asMap = counts.collectAsMap();
  same<typeof asMap, Promise<Map<string, number>>>(true);
  const levels = words.map((word) => [word, word === 'x' ? 'on' : 'off'] as const).reduceByKey((a) => a);
  same<typeof levels, RDD<[string, 'on' | 'off']>>(true);
  const add = (a: { readonly n: number }, b: { readonly n: number }): { readonly n: number } => ({ n: a.n + b.n });
  const typed = words.map((word) => [word, { n: 1 }] as const).reduceByKey(add);
  same<typeof typed, RDD<[string, { readonly n: number }]>>(true);

  const texts = context.parallelize<string | number>(['a', 1]).filter((x) => typeof x === 'string');
  same<typeof texts, RDD<string>>(true);
  const kept = words.filter((word) => word.length > 1);
  same<typeof kept, RDD<string>>(true);
  const partitioned = counts.partitionBy(new HashPartitioner(4));
  same<typeof partitioned, RDD<readonly [string, number]>>(true);
}

export function infersTheRest(context: RddContext, pairs: RDD<[string, number]>, readings: RDD<Reading>): void {
  const byDevice = readings.keyBy((r) => r.device);
  const two = pairs.cogroup(byDevice);
  same<typeof two, RDD<[string, [number[], Reading[]]]>>(true);
  const three = pairs.cogroup(byDevice, pairs, 3);
  same<typeof three, RDD<[string, [number[], Reading[], number[]]]>>(true);
  const four = pairs.groupWith(byDevice, pairs, byDevice);
  same<typeof four, RDD<[string, [number[], Reading[], number[], Reading[]]]>>(true);
  const zipped = pairs.zip(readings);
  same<typeof zipped, RDD<[[string, number], Reading]>>(true);
  const partitions = pairs.zipPartitions(readings, (a, b) => a.map(([key]) => [key, b.length]));
  same<typeof partitions, RDD<[string, number]>>(true);
  const threeSides = pairs.zipPartitions(readings, pairs, (a, b, c) => [a.length + b.length + c.length]);
  same<typeof threeSides, RDD<number>>(true);
  const crossed = pairs.keys().cartesian(readings);
  same<typeof crossed, RDD<[string, Reading]>>(true);
  const indexed = pairs.mapPartitionsWithIndex((i, rows) => rows.map(([key]) => [i, key]));
  same<typeof indexed, RDD<[number, string]>>(true);
  const sampled = pairs.sampleByKey(false, new Map([['a', 0.5]]));
  same<typeof sampled, RDD<readonly [string, number]>>(true);
  const sorted = pairs.sortByKey(false).repartitionAndSortWithinPartitions(new HashPartitioner(2));
  same<typeof sorted, RDD<readonly [string, number]>>(true);
  const common = pairs.keys().intersection(readings.map((r) => r.device));
  same<typeof common, RDD<string>>(true);
  const sum = pairs.values().treeAggregate(
    '',
    (a, b) => a + b,
    (a, b) => a + b,
  );
  same<typeof sum, Promise<string>>(true);
  const local = pairs.toLocalIterator();
  same<typeof local, AsyncIterableIterator<[string, number]>>(true);
  const lines = context.textFile('memory:x');
  same<typeof lines, Promise<RDD<string>>>(true);
  const stored = context.objectFile<Reading>('memory:x');
  same<typeof stored, Promise<RDD<Reading>>>(true);
  const names = context.broadcast(new Map([[1, 'one']])).value;
  same<typeof names, Map<number, string>>(true);
  const gathered = context.collectionAccumulator<Reading>().value;
  same<typeof gathered, readonly Reading[]>(true);
  // @ts-expect-error the fractions are by the key's type
  pairs.sampleByKey(false, new Map([[1, 0.5]]));
  // @ts-expect-error rows are no pairs
  readings.sortByKey();
  const byValue = readings.keyBy((r) => r.value);
  // @ts-expect-error the key types differ
  pairs.cogroup(byDevice, byValue);
  // @ts-expect-error other rows
  pairs.subtract(readings);
  // @ts-expect-error adds up numbers
  context.longAccumulator().add('1');
}

export function isCovariant(pairs: RDD<[string, number]>): RDD<readonly [string, number]> {
  const wide: RDD<readonly [string, number | undefined]> = pairs;
  const unknowns: RDD<unknown> = wide;
  void unknowns;
  return pairs;
}

export function worksOnTypeParameters<T, K, V>(rows: RDD<T>, pairs: RDD<readonly [K, V]>, f: (a: V, b: V) => V): void {
  same<Equal<RDD<T>, RDD<T>>, true>(true);
  rows.map((row) => row).filter((row) => row !== undefined);
  const reduced: RDD<[K, V]> = pairs.reduceByKey(f);
  const mapped: RDD<[V, K]> = reduced.map(([key, value]) => [value, key] as [V, K]);
  void mapped;
  const unknowns: RDD<unknown> = rows.map((row): unknown => row);
  void unknowns;
}

export function refusesPairOperationsOnOtherRows(words: RDD<string>, pairs: RDD<[string, number]>): void {
  // @ts-expect-error rows are no pairs
  words.reduceByKey((a, b) => a + b);
  // @ts-expect-error rows are no pairs
  words.mapValues((value) => value);
  // @ts-expect-error rows are no pairs
  words.groupByKey();
  // @ts-expect-error rows are no pairs
  words.collectAsMap();
  // @ts-expect-error the other side has no pairs
  pairs.join(words);
  // @ts-expect-error the key types differ
  pairs.join(words.keyBy((word) => word.length));
  // @ts-expect-error a row of another type
  pairs.union(words);
  // @ts-expect-error the result of f has another type
  pairs.reduceByKey((a, b) => `${a}${b}`);
}
