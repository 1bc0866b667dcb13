import { keyIdentity } from '../base/canonical-key.ts';
import { HashPartitioner } from './partitioner.ts';
import type { Comparator, RDD } from './rdd.ts';
import { ShuffleDependency, shuffleRows } from './shuffle-dependency.ts';
import { andThen, inOrder, rowsOf } from './task.ts';
import { checkFunction, checkInteger } from './validation.ts';

/** Operations on the partitions themselves: their number, their order, their rows as a whole. */

export function mapPartitions<T, U>(
  rdd: RDD<T>,
  f: (rows: readonly T[], partition: number) => Iterable<U>,
  preservesPartitioning: boolean,
): RDD<U> {
  return rdd.context.rdd<U>({
    name: 'mapPartitions',
    numPartitions: rdd.numPartitions,
    partitioner: preservesPartitioning ? rdd.partitioner : undefined,
    dependencies: [rdd],
    pipe: (partition, task, push) =>
      andThen(rowsOf(rdd, partition, task), (rows) => {
        for (const row of f(rows, partition)) push(row);
      }),
  });
}

export function coalesce<T>(rdd: RDD<T>, numPartitions: number): RDD<T> {
  checkInteger('coalesce: numPartitions', numPartitions, 1);
  if (numPartitions >= rdd.numPartitions) return rdd;
  const bound = (i: number): number => Math.floor((i * rdd.numPartitions) / numPartitions);
  return rdd.context.rdd<T>({
    name: 'coalesce',
    numPartitions,
    dependencies: [rdd],
    pipe: (partition, task, push) => {
      const start = bound(partition);
      return inOrder(bound(partition + 1) - start, (i) => rdd.pipe(start + i, task, push));
    },
  });
}

export function repartition<T>(rdd: RDD<T>, numPartitions: number): RDD<T> {
  checkInteger('repartition: numPartitions', numPartitions, 1);
  // Each map partition starts at another target, else many small ones would fill only the first targets.
  const shuffle = shuffleRows(
    rdd,
    'repartition',
    numPartitions,
    (_, i, mapPartition) => (mapPartition + i) % numPartitions,
  );
  return rdd.context.rdd<T>({
    name: 'repartition',
    numPartitions,
    dependencies: [shuffle],
    pipe: (partition, _, push) => {
      for (const block of shuffle.blocks(partition)) for (let i = 0; i < block.length; i++) push(block[i]!);
    },
  });
}

export function distinct<T>(rdd: RDD<T>, numPartitions: number): RDD<T> {
  checkInteger('distinct: numPartitions', numPartitions, 1);
  const partitioner = new HashPartitioner(numPartitions);
  const shuffle = new ShuffleDependency<T, T[]>(rdd, 'distinct', () => {
    const unique = new Map<unknown, T>();
    return {
      push: (row) => {
        const identity = keyIdentity(row);
        if (!unique.has(identity)) unique.set(identity, row);
      },
      finish: () => {
        const blocks: T[][] = Array.from({ length: numPartitions }, () => []);
        for (const row of unique.values()) blocks[partitioner.partition(row)]!.push(row);
        return blocks;
      },
    };
  });
  return rdd.context.rdd<T>({
    name: 'distinct',
    numPartitions,
    dependencies: [shuffle],
    pipe: (partition, _, push) => {
      const seen = new Set<unknown>();
      for (const block of shuffle.blocks(partition)) {
        for (const row of block) {
          const identity = keyIdentity(row);
          if (seen.has(identity)) continue;
          seen.add(identity);
          push(row);
        }
      }
    },
  });
}

interface SortRow<T, K> {
  readonly key: K;
  readonly row: T;
}

export function sortBy<T, K>(
  rdd: RDD<T>,
  f: (row: T) => K,
  ascending: boolean,
  numPartitions: number,
  compare: Comparator<K>,
): RDD<T> {
  checkFunction('sortBy: f', f);
  checkFunction('sortBy: compare', compare);
  checkInteger('sortBy: numPartitions', numPartitions, 1);
  const order: Comparator<SortRow<T, K>> = ascending
    ? (a, b) => compare(a.key, b.key)
    : (a, b) => compare(b.key, a.key);
  const shuffle = new ShuffleDependency<T, SortRow<T, K>[]>(rdd, 'sortBy', () => {
    const rows: SortRow<T, K>[] = [];
    return {
      push: (row) => {
        rows.push({ key: f(row), row });
      },
      // Sorted here already: merging sorted runs is what Array.sort is best at.
      finish: () => [rows.sort(order)],
    };
  });
  let sorted: readonly SortRow<T, K>[] = [];
  let sortedVersion = 0;
  return rdd.context.rdd<T>({
    name: 'sortBy',
    numPartitions,
    dependencies: [shuffle],
    pipe: (partition, _, push) => {
      if (sortedVersion !== shuffle.version) {
        sorted = shuffle.blocks(0).flat().sort(order);
        sortedVersion = shuffle.version;
      }
      const end = Math.floor(((partition + 1) * sorted.length) / numPartitions);
      for (let i = Math.floor((partition * sorted.length) / numPartitions); i < end; i++) push(sorted[i]!.row);
    },
  });
}

export function zipWithIndex<T>(rdd: RDD<T>): RDD<[T, number]> {
  const counts = new ShuffleDependency<T, number>(rdd, 'zipWithIndex: count', () => {
    let count = 0;
    return {
      push: () => {
        count++;
      },
      finish: () => [count],
    };
  });
  const isCounted = rdd.numPartitions > 1;
  return rdd.context.rdd<[T, number]>({
    name: 'zipWithIndex',
    numPartitions: rdd.numPartitions,
    dependencies: isCounted ? [rdd, counts] : [rdd],
    pipe: (partition, task, push) => {
      let index = 0;
      if (isCounted) for (const count of counts.blocks(0).slice(0, partition)) index += count;
      return rdd.pipe(partition, task, (row) => push([row, index++]));
    },
  });
}

export function debugString(rdd: RDD<unknown>, indent = ''): string {
  const lines = [`${indent}(${rdd.numPartitions}) ${rdd.name}${rdd.isPersisted ? ' [persisted]' : ''}`];
  for (const dependency of rdd.dependencies) {
    if (dependency instanceof ShuffleDependency)
      lines.push(debugString(dependency.rdd, `${indent.replace(/\S/g, ' ')} +-`));
    else lines.push(debugString(dependency, `${indent.replace(/\S/g, ' ')} | `));
  }
  return lines.join('\n');
}
