import fc from 'fast-check';
import type { RDD } from '../../../src/rdd/rdd.ts';
import type { RddContext } from '../../../src/rdd/rdd-context.ts';

type Pair = readonly [string, number];
type Pairs = RDD<Pair>;

const add = (a: number, b: number): number => a + b;

/** By name: how one RDD is made of one or two others. `n` is a number of partitions. */
const operations = {
  map: (rdd: Pairs) => rdd.map(([key, value]): Pair => [key, value + 1]),
  filter: (rdd: Pairs) => rdd.filter(([, value]) => value % 3 !== 0),
  flatMap: (rdd: Pairs) =>
    rdd.flatMap(([key, value]): Pair[] => [
      [key, value],
      [`${key}'`.slice(0, 3), -value],
    ]),
  mapPartitions: (rdd: Pairs) =>
    rdd.mapPartitions((rows, partition): Pair[] => [...rows, [`p${partition}`, rows.length]]),
  reduceByKey: (rdd: Pairs, _: Pairs, n: number) => rdd.reduceByKey<string, number>(add, n),
  groupByKey: (rdd: Pairs, _: Pairs, n: number) =>
    rdd.groupByKey(n).map(([key, values]): Pair => [key, Number(values.join('').slice(0, 6).replaceAll('-', ''))]),
  repartition: (rdd: Pairs, _: Pairs, n: number) => rdd.repartition(n),
  coalesce: (rdd: Pairs, _: Pairs, n: number) => rdd.coalesce(n),
  partitionBy: (rdd: Pairs, _: Pairs, n: number) => rdd.groupBy(([key]) => key, n).flatMap(([, rows]) => rows),
  sortBy: (rdd: Pairs, _: Pairs, n: number) => rdd.sortBy(([key, value]) => `${key}/${value}`, true, n),
  distinct: (rdd: Pairs, _: Pairs, n: number) => rdd.distinct(n),
  union: (rdd: Pairs, other: Pairs) => rdd.union(other),
  join: (rdd: Pairs, other: Pairs, n: number) => rdd.join(other, n).mapValues(([a, b]) => a * 3 + b),
  subtract: (rdd: Pairs, other: Pairs, n: number) => rdd.subtract(other, n),
  intersection: (rdd: Pairs, other: Pairs, n: number) => rdd.intersection(other, n),
  cartesian: (rdd: Pairs, other: Pairs) =>
    rdd
      .filter(([, value]) => value % 4 === 0)
      .cartesian(other.filter(([, value]) => value % 4 === 1))
      .map(([[key], [, value]]): Pair => [key, value]),
  zipWithIndex: (rdd: Pairs) => rdd.zipWithIndex().map(([[key, value], index]): Pair => [key, value * 10 + index]),
  sample: (rdd: Pairs) => rdd.sample(false, 0.7),
  persist: (rdd: Pairs) => rdd.persist(),
} satisfies Record<string, (rdd: Pairs, other: Pairs, n: number) => RDD<Pair>>;

interface Step {
  readonly op: keyof typeof operations;
  /** Which of the RDDs so far, counted from the last. */
  readonly on: number;
  readonly other: number;
  readonly partitions: number;
}

export interface Lineage {
  readonly inputs: readonly (readonly (readonly Pair[])[])[];
  readonly steps: readonly Step[];
}

const somePair = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', ''), fc.integer({ min: -20, max: 20 }));

export const someLineage: fc.Arbitrary<Lineage> = fc.record({
  inputs: fc.array(fc.array(fc.array(somePair, { maxLength: 6 }), { maxLength: 5 }), { minLength: 1, maxLength: 2 }),
  steps: fc.array(
    fc.record({
      op: fc.constantFrom(...(Object.keys(operations) as (keyof typeof operations)[])),
      on: fc.nat(2),
      other: fc.nat(3),
      partitions: fc.integer({ min: 1, max: 5 }),
    }),
    { maxLength: 6 },
  ),
});

export function buildLineage(rdds: RddContext, { inputs, steps }: Lineage): RDD<Pair> {
  const built: Pairs[] = inputs.map((partitions) => rdds.fromPartitions(partitions));
  for (const { op, on, other, partitions } of steps) {
    const pick = (back: number): Pairs => built[Math.max(0, built.length - 1 - back)]!;
    built.push(operations[op](pick(on), pick(other), partitions) as Pairs);
  }
  return built.at(-1)!;
}
