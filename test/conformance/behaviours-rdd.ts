import { expect } from 'vitest';
import { HashPartitioner } from '../../src/index.ts';
import type { RDD } from '../../src/rdd/rdd.ts';
import { call, expectBag, rddContext } from './support/check.ts';

async function unionKeepsPartitioner(): Promise<void> {
  const context = rddContext();
  const partitioner = new HashPartitioner(3);
  const side = (from: number): RDD<readonly [number, number]> =>
    context
      .parallelize(
        Array.from({ length: 6 }, (_, i): readonly [number, number] => [from + i, i]),
        2,
      )
      .partitionBy(partitioner);
  const [a, b] = [side(0), side(6)];
  const union = context.union([a, b]);
  expect(union.partitioner).toBe(partitioner);
  const parts = await union.collectPartitions();
  const [left, right] = [await a.collectPartitions(), await b.collectPartitions()];
  expect(parts).toEqual(left.map((rows, i) => [...rows, ...right[i]!]));

  const plain = context.parallelize<readonly [number, number]>([[99, 99]], 1);
  const mixed = context.union([a, plain]);
  expect(mixed.partitioner).toBeUndefined();
  expect(await mixed.collectPartitions()).toEqual([...left, [[99, 99]]]);
  expect(context.union([a, context.emptyRDD<readonly [number, number]>(), b]).partitioner).toBe(partitioner);
}

async function takesSamples(): Promise<void> {
  const data = rddContext().parallelize(
    Array.from({ length: 100 }, (_, i) => i),
    4,
  );
  const without = await call<Promise<number[]>>(data, 'takeSample', false, 20, 7);
  expect(new Set(without).size).toBe(20);
  expect(await call<Promise<number[]>>(data, 'takeSample', false, 1000, 7)).toHaveLength(100);
  expect(await call<Promise<number[]>>(data, 'takeSample', true, 300, 7)).toHaveLength(300);
}

async function reducesWithoutShuffle(): Promise<void> {
  const partitioner = new HashPartitioner(2);
  const data = rddContext().parallelize<readonly [number, number]>(
    [
      [1, 1],
      [1, 2],
      [1, 1],
      [0, 1],
    ],
    2,
  );
  const partitioned = data.partitionBy(partitioner);
  const reduced = partitioned.reduceByKey((a, b) => a + b);
  expect(reduced.partitioner).toBe(partitioner);
  expect(reduced.dependencies).toEqual([partitioned]);
  expectBag(await reduced.collect(), [
    [1, 4],
    [0, 1],
  ]);
}

/** Expectations in words about RDDs alone. */
export const rddBehaviours: Readonly<Record<string, () => Promise<void>>> = {
  'rdd.partitioner-aware-union': unionKeepsPartitioner,
  'rdd.takesample': takesSamples,
  'pairrdd.reducebykey-with-partitioner': reducesWithoutShuffle,
};
