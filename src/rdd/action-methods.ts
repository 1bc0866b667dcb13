import * as actions from './actions.ts';
import { naturalOrder } from './natural-order.ts';
import { saveAsObjectFile } from './object-file.ts';
import { ownValue } from './own-value.ts';
import { PairMethods } from './pair-methods.ts';
import type { SaveOptions } from './part-files.ts';
import type { RDD } from './rdd.ts';
import type { Comparator } from './row-types.ts';
import { takeSample } from './sampling.ts';
import { rowsOf } from './task.ts';
import { saveAsTextFile } from './text-file.ts';
import { checkInteger } from './validation.ts';

/** What makes an RDD be computed. Each action is one job unless it says more, and its promise brings the job's error. */
export abstract class ActionMethods<T> extends PairMethods {
  /** All rows, in the order of partitions. */
  collect(): Promise<T[]> {
    return actions.collect(rddOf(this));
  }

  collectPartitions(): Promise<T[][]> {
    const rdd = rddOf(this);
    return rdd.context.runner.run(rdd, (partition, task) => rowsOf(rdd, partition, task));
  }

  /** Row by row, holding one partition at a time. One job per partition that is reached. */
  toLocalIterator(): AsyncIterableIterator<T> {
    return actions.toLocalIterator(rddOf(this));
  }

  count(): Promise<number> {
    return actions.count(rddOf(this));
  }

  /** How often every row occurs, compared as keys are (by value). */
  countByValue(): Promise<Map<T, number>> {
    return actions.countByValue(rddOf(this));
  }

  isEmpty(): Promise<boolean> {
    return actions.isEmpty(rddOf(this));
  }

  /** The first `n` rows; partitions are computed only as far as needed: one, then four times as many, and so on. */
  take(n: number): Promise<T[]> {
    return actions.take(rddOf(this), n);
  }

  /** @throws EMPTY_COLLECTION */
  first(): Promise<T> {
    return actions.first(rddOf(this));
  }

  /** The `n` largest rows, largest first. */
  top(n: number, compare: Comparator<T> = naturalOrder): Promise<T[]> {
    return actions.takeOrdered(rddOf(this), n, (a, b) => compare(b, a), 'top');
  }

  /** The `n` smallest rows, smallest first. */
  takeOrdered(n: number, compare: Comparator<T> = naturalOrder): Promise<T[]> {
    return actions.takeOrdered(rddOf(this), n, compare);
  }

  /**
   * Exactly `n` rows in random order; without replacement no row twice, so at most as many as there are.
   * Two jobs: the first counts. @param seed default: from the context's random.
   */
  takeSample(withReplacement: boolean, n: number, seed?: number): Promise<T[]> {
    return takeSample(rddOf(this), withReplacement, n, seed);
  }

  /** @throws EMPTY_COLLECTION */
  min(compare: Comparator<T> = naturalOrder): Promise<T> {
    return actions.reduce(rddOf(this), 'min', (a, b) => (compare(b, a) < 0 ? b : a));
  }

  /** @throws EMPTY_COLLECTION */
  max(compare: Comparator<T> = naturalOrder): Promise<T> {
    return actions.reduce(rddOf(this), 'max', (a, b) => (compare(b, a) > 0 ? b : a));
  }

  /** @param f may change and return its first argument. @throws EMPTY_COLLECTION */
  reduce(f: (a: T, b: T) => T): Promise<T> {
    return actions.reduce(rddOf(this), 'reduce', f, ownValue);
  }

  /** @param zero copied for every partition and once more for the result. */
  fold(zero: T, f: (a: T, b: T) => T): Promise<T> {
    return actions.aggregate(rddOf(this), 'fold', zero, f, f);
  }

  /** @param zero plain data, copied for every partition and once more for the result. */
  aggregate<A>(zero: A, merge: (result: A, row: T) => A, combine: (a: A, b: A) => A): Promise<A> {
    return actions.aggregate(rddOf(this), 'aggregate', zero, merge, combine);
  }

  /** Reduce. The results of partitions are in this process already: a tree of depth `depth` would save nothing. */
  async treeReduce(f: (a: T, b: T) => T, depth = 2): Promise<T> {
    checkInteger('treeReduce: depth', depth, 1);
    return actions.reduce(rddOf(this), 'treeReduce', f, ownValue);
  }

  /** Aggregate; see treeReduce for `depth`. */
  async treeAggregate<A>(zero: A, merge: (result: A, row: T) => A, combine: (a: A, b: A) => A, depth = 2): Promise<A> {
    checkInteger('treeAggregate: depth', depth, 1);
    return actions.aggregate(rddOf(this), 'treeAggregate', zero, merge, combine);
  }

  /** A promise returned by `f` is awaited before the next row of the partition. */
  foreach(f: (row: T) => void | Promise<void>): Promise<void> {
    return actions.foreach(rddOf(this), f);
  }

  foreachPartition(f: (rows: readonly T[], partition: number) => void | Promise<void>): Promise<void> {
    return actions.foreachPartition(rddOf(this), f);
  }

  /**
   * One object `part-00000` per partition, one line per row (see rowText), and `_SUCCESS` when all are there.
   * @param url a folder of a store. @throws OUTPUT_EXISTS; VALUE_UNSUPPORTED for a null row
   */
  saveAsTextFile(url: string, options: SaveOptions = {}): Promise<void> {
    return saveAsTextFile(rddOf(this), url, options);
  }

  /** The same with rows as stored values: `context.objectFile` gives equal ones back. @throws OUTPUT_EXISTS, VALUE_UNSUPPORTED */
  saveAsObjectFile(url: string, options: SaveOptions = {}): Promise<void> {
    return saveAsObjectFile(rddOf(this), url, options);
  }
}

/** Only RDD extends this class. A `this: RDD<T>` parameter would say so, but make the class invariant in T. */
function rddOf<T>(methods: ActionMethods<T>): RDD<T> {
  return methods as RDD<T>;
}
