import { naturalOrder } from './natural-order.ts';
import { partitionBy } from './pair-operations.ts';
import type { Partitioner } from './partitioner.ts';
import { type KeySample, RangeBounds, sampleKeys } from './range-bounds.ts';
import type { RDD } from './rdd.ts';
import { inTurns, pushRows, sortInTurns } from './row-loops.ts';
import type { Comparator } from './row-types.ts';
import { ShuffleDependency, type ShuffleWriter, shuffleRows } from './shuffle-dependency.ts';
import { andThen, rowsOf } from './task.ts';
import { checkFunction, checkInteger } from './validation.ts';

interface SortRow<T, K> {
  readonly key: K;
  readonly row: T;
}

/**
 * A total order over all partitions, which are of about equal size but for equal keys: those stay together, in their order.
 *
 * Two shuffles: a sample of the keys goes to every reader, and the bounds of the partitions follow from it; then every row
 * goes to its partition, which sorts its own. Rows are computed once, for the sample, and kept where they are.
 */
export function sortBy<T, K>(
  rdd: RDD<T>,
  name: string,
  f: (row: T) => K,
  ascending: boolean,
  numPartitions: number = Math.max(rdd.numPartitions, 1),
  compare: Comparator<K> = naturalOrder,
): RDD<T> {
  checkFunction(`${name}: f`, f);
  checkFunction(`${name}: compare`, compare);
  checkInteger(`${name}: numPartitions`, numPartitions, 1);
  const keyOrder: Comparator<K> = ascending ? compare : (a, b) => compare(b, a);
  const order: Comparator<SortRow<T, K>> = (a, b) => keyOrder(a.key, b.key);
  const kept: (readonly SortRow<T, K>[])[] = [];
  const sampled = new ShuffleDependency<T, KeySample<K>>(
    rdd,
    name,
    (mapPartition): ShuffleWriter<T, KeySample<K>> => {
      const rows: SortRow<T, K>[] = [];
      return {
        push: (row) => {
          rows.push({ key: f(row), row });
        },
        finish: () => {
          kept[mapPartition] = rows;
          const of = { mapPartition, mapPartitions: rdd.numPartitions, partitions: numPartitions };
          return [sampleKeys(rows.length, (i) => rows[i]!.key, of)];
        },
      };
    },
    {
      readers: 'all',
      form: {
        pack: ({ keys, weight }) => [keys, [weight]],
        unpack: ([keys, weight]) => ({ keys: keys as readonly K[], weight: weight![0] as number }),
      },
    },
  );
  const keyed = rdd.context.rdd<SortRow<T, K>>({
    name,
    numPartitions: rdd.numPartitions,
    dependencies: [sampled],
    pipe: (partition, task, push) => pushRows(kept[partition]!, push, task),
  });
  let bounds: RangeBounds<K> | undefined;
  const partitionOf = ({ key }: SortRow<T, K>): number => {
    bounds ??= new RangeBounds(sampled.blocks(0), numPartitions, keyOrder);
    return bounds.partitionOf(key);
  };
  const placed = shuffleRows(keyed, name, numPartitions, partitionOf, {
    pack: (rows) => [rows.map(({ key }) => key), rows.map(({ row }) => row)],
    unpack: ([keys, rows]) => keys!.map((key, i) => ({ key: key as K, row: rows![i] as T })),
  });
  return rdd.context.rdd<T>({
    name,
    numPartitions,
    dependencies: [placed],
    pipe: (partition, task, push) =>
      andThen(sortInTurns(placed.blocks(partition).flat(), order, task), (rows) =>
        inTurns(task, 0, rows.length, (start, end) => {
          for (let i = start; i < end; i++) push(rows[i]!.row);
        }),
      ),
  });
}

/** Every key where the partitioner says, and within a partition in order of keys. */
export function repartitionAndSort<K, V>(
  rdd: RDD<readonly [K, V]>,
  partitioner: Partitioner,
  compare: Comparator<K> = naturalOrder,
): RDD<readonly [K, V]> {
  const name = 'repartitionAndSortWithinPartitions';
  checkFunction(`${name}: compare`, compare);
  const placed = partitionBy(rdd, partitioner, name);
  return rdd.context.rdd<readonly [K, V]>({
    name,
    numPartitions: partitioner.numPartitions,
    partitioner,
    dependencies: [placed],
    pipe: (partition, task, push) =>
      andThen(rowsOf(placed, partition, task), (rows) =>
        andThen(
          sortInTurns(rows, (a, b) => compare(a[0], b[0]), task),
          (sorted) => pushRows(sorted, push, task),
        ),
      ),
  });
}
