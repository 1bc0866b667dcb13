import { naturalOrder } from './natural-order.ts';
import { partitionBy } from './pair-operations.ts';
import type { Partitioner } from './partitioner.ts';
import type { RDD } from './rdd.ts';
import { pushRows, sortInTurns } from './row-loops.ts';
import type { Comparator } from './row-types.ts';
import { ShuffleDependency, type ShuffleWriter } from './shuffle-dependency.ts';
import { andThen, isPromise, rowsOf, type TaskContext } from './task.ts';
import { checkFunction, checkInteger } from './validation.ts';

interface SortRow<T, K> {
  readonly key: K;
  readonly row: T;
}

interface Sorted<T, K> {
  readonly rows: readonly SortRow<T, K>[];
  /** Where partitions begin, and the end. */
  readonly bounds: readonly number[];
}

/** A total order over all partitions, which are of equal size but for equal keys: those stay together, in their order. */
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
  const order: Comparator<SortRow<T, K>> = ascending
    ? (a, b) => compare(a.key, b.key)
    : (a, b) => compare(b.key, a.key);
  const createWriter = (): ShuffleWriter<T, SortRow<T, K>[]> => {
    const rows: SortRow<T, K>[] = [];
    return {
      push: (row) => {
        rows.push({ key: f(row), row });
      },
      finish: () => [rows],
    };
  };
  const shuffle = new ShuffleDependency<T, SortRow<T, K>[]>(rdd, name, createWriter, {
    readers: 'all',
    form: {
      pack: (rows) => [rows.map(({ key }) => key), rows.map(({ row }) => row)],
      unpack: ([keys, rows]) => keys!.map((key, i) => ({ key: key as K, row: rows![i] as T })),
    },
  });
  let sorted: Sorted<T, K> | Promise<Sorted<T, K>> | undefined;
  let sortedVersion = 0;
  // Once for all partitions. A comparison that throws leaves nothing: the next try sorts again.
  const sortAll = (task: TaskContext): Sorted<T, K> | Promise<Sorted<T, K>> => {
    const done = andThen(sortInTurns(shuffle.blocks(0).flat(), order, task), (rows): Sorted<T, K> => {
      sorted = { rows, bounds: cut(rows, numPartitions, order) };
      return sorted;
    });
    if (isPromise(done)) {
      done.catch(() => {
        sorted = undefined;
      });
    }
    return done;
  };
  return rdd.context.rdd<T>({
    name,
    numPartitions,
    dependencies: [shuffle],
    pipe: (partition, task, push) => {
      if (sortedVersion !== shuffle.version) sorted = undefined;
      sortedVersion = shuffle.version;
      sorted ??= sortAll(task);
      return andThen(sorted, ({ rows, bounds }) =>
        pushRows(rows, ({ row }) => push(row), task, bounds[partition], bounds[partition + 1]),
      );
    },
  });
}

/** Where partitions begin: at equal distances, moved on to the next key, as a range partitioner would do. */
function cut<R>(sorted: readonly R[], numPartitions: number, order: Comparator<R>): number[] {
  const bounds: number[] = [0];
  for (let p = 1; p <= numPartitions; p++) {
    let bound = Math.max(bounds[p - 1]!, Math.floor((p * sorted.length) / numPartitions));
    while (bound > 0 && bound < sorted.length && order(sorted[bound - 1]!, sorted[bound]!) === 0) bound++;
    bounds.push(bound);
  }
  return bounds;
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
