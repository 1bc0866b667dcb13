import * as actions from './actions.ts';
import type { Aggregator } from './combine.ts';
import * as layout from './layout-operations.ts';
import { naturalOrder } from './natural-order.ts';
import { ownValue } from './own-value.ts';
import * as pairs from './pair-operations.ts';
import type { Partitioner } from './partitioner.ts';
import type { RddContext } from './rdd-context.ts';
import type { ShuffleDependency } from './shuffle-dependency.ts';
import {
  filterStage,
  flatMapStage,
  flatMapValuesStage,
  keyByStage,
  mapStage,
  mapValuesStage,
  type Stage,
} from './stages.ts';
import { andThen, rowsOf, type TaskContext } from './task.ts';
import { checkFunction } from './validation.ts';

/** What an RDD is computed from: another RDD, partition by partition, or a shuffle. */
export type Dependency = RDD<unknown> | ShuffleDependency;

/** The parts of an RDD made without a class of its own. */
export interface RddSpec<T> {
  readonly name: string;
  readonly numPartitions: number;
  readonly partitioner?: Partitioner | undefined;
  readonly dependencies: readonly Dependency[];
  readonly pipe: (partition: number, task: TaskContext, push: (row: T) => void) => void | Promise<void>;
}

/** Lets an array literal returned by a function infer as a tuple: `map((word) => [word, 1])` gives pairs. */
// biome-ignore lint/complexity/noBannedTypes: {} | null | undefined is every type; the [] is the hint.
export type Row = {} | null | undefined | [];

/** `1` -> `number`: what is combined from literals is no literal. A union of texts ('on' | 'off') stays as it is. */
export type Widen<V> = [V] extends [number]
  ? number
  : [V] extends [bigint]
    ? bigint
    : [V] extends [string]
      ? IsUnion<V> extends true
        ? V
        : string
      : [V] extends [boolean]
        ? boolean
        : V;
type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never;

type Pairs<K, V> = RDD<readonly [K, V]>;
/** Partitions of the result: how many, or by which partitioner. Default: the largest partitioner among the inputs, else the context's parallelism. */
export type Partitioning = number | Partitioner;
export type Comparator<T> = (a: T, b: T) => number;

/**
 * A partitioned collection that is computed when an action asks for it. Source: Spark's RDD.
 *
 * Building one is synchronous and computes nothing; actions return promises. Rows travel by reference: a function must
 * not change the rows or values it is given. Only the first argument of a reducing function (`reduce`, `reduceByKey`,
 * `fold`, `aggregateByKey`, `combineByKey` and so on) is its own and may be changed and returned.
 * Functions may run more than once for the same row: on a retry, and for every action unless the RDD is persisted.
 *
 * A subclass says how a partition is computed (`pipe`) and from what (`dependencies`). It must not cut off `push`
 * exceptions: an action that has enough rows stops a partition by throwing through `push`.
 */
export abstract class RDD<T> {
  readonly context: RddContext;
  readonly name: string;
  readonly partitioner: Partitioner | undefined;
  abstract readonly numPartitions: number;
  abstract readonly dependencies: readonly Dependency[];
  #kept: Map<number, readonly T[]> | undefined;

  constructor(context: RddContext, name: string, partitioner?: Partitioner | undefined) {
    this.context = context;
    this.name = name;
    this.partitioner = partitioner;
  }

  /**
   * Streams the rows of a partition into `push`, in order, one synchronous call per row; returns a promise only when it
   * had to wait. Every call streams all rows again, and calls for different partitions may overlap.
   */
  abstract pipe(partition: number, task: TaskContext, push: (row: T) => void): void | Promise<void>;

  /** A narrow operator around `push`: consecutive ones run fused, row by row, without a collection in between. */
  through<U>(name: string, stage: Stage<T, U>, preservesPartitioning = false): RDD<U> {
    return this.context.rdd({
      name,
      numPartitions: this.numPartitions,
      partitioner: preservesPartitioning ? this.partitioner : undefined,
      dependencies: [this],
      pipe: (partition, task, push) => this.pipe(partition, task, stage(push)),
    });
  }

  // Narrow transformations

  map<U extends Row>(f: (row: T) => U): RDD<U> {
    checkFunction('map: f', f);
    return this.through('map', (push) => mapStage(f, push));
  }

  /** @param f returns any iterable of rows. */
  flatMap<U extends Row>(f: (row: T) => Iterable<U>): RDD<U> {
    checkFunction('flatMap: f', f);
    return this.through('flatMap', (push) => flatMapStage(f, push));
  }

  filter<S extends T>(keep: (row: T) => row is S): RDD<S>;
  filter(keep: (row: T) => unknown): RDD<T>;
  filter(keep: (row: T) => unknown): RDD<T> {
    checkFunction('filter: keep', keep);
    return this.through('filter', (push) => filterStage(keep, push), true);
  }

  /** @param f gets all rows of a partition and its number. */
  mapPartitions<U extends Row>(
    f: (rows: readonly T[], partition: number) => Iterable<U>,
    preservesPartitioning = false,
  ): RDD<U> {
    checkFunction('mapPartitions: f', f);
    return layout.mapPartitions(this, f, preservesPartitioning);
  }

  /** One row per partition: the array of its rows. */
  glom(): RDD<T[]> {
    return this.mapPartitions((rows) => [rows as T[]]);
  }

  keyBy<K>(f: (row: T) => K): RDD<[K, T]> {
    checkFunction('keyBy: f', f);
    return this.through('keyBy', (push) => keyByStage(f, push));
  }

  /** All rows of this, then all rows of the other. See RddContext.union. */
  union(other: RDD<T>): RDD<T> {
    return this.context.union([this, other]);
  }

  /** Fewer partitions by joining neighbours, without a shuffle; never more than there are. */
  coalesce(numPartitions: number): RDD<T> {
    return layout.coalesce(this, numPartitions);
  }

  /** Pairs every row with its index over all partitions. Runs the rows twice unless persisted or in one partition. */
  zipWithIndex(): RDD<[T, number]> {
    return layout.zipWithIndex(this);
  }

  // Wide transformations

  /** Exactly `numPartitions`, rows dealt out in turn. */
  repartition(numPartitions: number): RDD<T> {
    return layout.repartition(this, numPartitions);
  }

  /** One of each, compared as keys are (by value). */
  distinct(numPartitions: number = Math.max(this.numPartitions, 1)): RDD<T> {
    return layout.distinct(this, numPartitions);
  }

  groupBy<K>(f: (row: T) => K, partitioning?: Partitioning): RDD<[K, T[]]> {
    return this.keyBy(f).groupByKey(partitioning);
  }

  /** Total order over all partitions, stable. All rows are held in memory once. */
  sortBy<K>(
    f: (row: T) => K,
    ascending = true,
    numPartitions: number = Math.max(this.numPartitions, 1),
    compare: Comparator<K> = naturalOrder,
  ): RDD<T> {
    return layout.sortBy(this, f, ascending, numPartitions, compare);
  }

  // Keeping rows

  /** Keeps the rows of every partition in this object when they are first computed completely. */
  persist(): this {
    if (this.#kept !== undefined) return this;
    const kept = new Map<number, readonly T[]>();
    this.#kept = kept;
    const compute = this.pipe;
    // An own property in front of the method: every reader meets the kept rows, and others pay nothing for the choice.
    this.pipe = (partition, task, push) => {
      const replay = (rows: readonly T[]): void => {
        if (this.#kept === kept) kept.set(partition, rows);
        for (let i = 0; i < rows.length; i++) push(rows[i]!);
      };
      const rows = kept.get(partition);
      if (rows !== undefined) return replay(rows);
      const collected: T[] = [];
      const done = compute.call(this, partition, task, (row: T) => {
        collected.push(row);
      });
      return andThen(done, () => replay(collected));
    };
    return this;
  }

  /** The same as persist. */
  cache(): this {
    return this.persist();
  }

  /** Forgets kept rows; they are computed again when needed. */
  unpersist(): this {
    if (this.#kept === undefined) return this;
    this.#kept = undefined;
    // Uncovers the method of the class.
    delete (this as { pipe?: unknown }).pipe;
    return this;
  }

  get isPersisted(): boolean {
    return this.#kept !== undefined;
  }

  /** True when the rows of all partitions are kept: nothing behind this RDD will be computed. */
  get isFullyKept(): boolean {
    return this.#kept !== undefined && this.#kept.size === this.numPartitions;
  }

  getNumPartitions(): number {
    return this.numPartitions;
  }

  /** The lineage as a tree; a shuffle is drawn as `+-`. */
  toDebugString(): string {
    return layout.debugString(this);
  }

  // Pair transformations

  mapValues<K, V, W>(this: Pairs<K, V>, f: (value: V) => W): RDD<[K, W]> {
    checkFunction('mapValues: f', f);
    return this.through('mapValues', (push) => mapValuesStage(f, push), true);
  }

  flatMapValues<K, V, W>(this: Pairs<K, V>, f: (value: V) => Iterable<W>): RDD<[K, W]> {
    checkFunction('flatMapValues: f', f);
    return this.through('flatMapValues', (push) => flatMapValuesStage(f, push), true);
  }

  keys<K, V>(this: Pairs<K, V>): RDD<K> {
    return this.through('keys', (push) => mapStage((row: readonly [K, V]) => row[0], push));
  }

  values<K, V>(this: Pairs<K, V>): RDD<V> {
    return this.through('values', (push) => mapStage((row: readonly [K, V]) => row[1], push));
  }

  /** Groups rows by key: first-seen order of keys per partition. @param aggregator its accumulators may be changed in place. */
  combineByKey<K, V, C>(this: Pairs<K, V>, aggregator: Aggregator<V, C>, partitioning?: Partitioning): RDD<[K, C]> {
    return pairs.combineByKey(this, 'combineByKey', aggregator, partitioning);
  }

  /** @param f must be associative; it may change and return its first argument, never its second. */
  reduceByKey<K, V>(
    this: Pairs<K, V>,
    f: (a: Widen<V>, b: Widen<V>) => Widen<V>,
    partitioning?: Partitioning,
  ): RDD<[K, Widen<V>]>;
  reduceByKey<K, V>(this: Pairs<K, V>, f: (a: V, b: V) => V, partitioning?: Partitioning): RDD<[K, V]>;
  reduceByKey<K, V>(this: Pairs<K, V>, f: (a: V, b: V) => V, partitioning?: Partitioning): RDD<[K, V]> {
    return pairs.reduceByKey(this, f, partitioning);
  }

  /** @param zero copied for every key and map partition. */
  foldByKey<K, V>(
    this: Pairs<K, V>,
    zero: Widen<V>,
    f: (a: Widen<V>, b: Widen<V>) => Widen<V>,
    partitioning?: Partitioning,
  ): RDD<[K, Widen<V>]>;
  foldByKey<K, V>(this: Pairs<K, V>, zero: V, f: (a: V, b: V) => V, partitioning?: Partitioning): RDD<[K, V]>;
  foldByKey<K, V>(this: Pairs<K, V>, zero: V, f: (a: V, b: V) => V, partitioning?: Partitioning): RDD<[K, V]> {
    return pairs.aggregateByKey(this, 'foldByKey', zero, f, f, partitioning);
  }

  /** @param zero plain data, copied for every key and map partition; `merge` and `combine` may change their first argument. */
  aggregateByKey<K, V, C>(
    this: Pairs<K, V>,
    zero: C,
    merge: (combined: C, value: V) => C,
    combine: (a: C, b: C) => C,
    partitioning?: Partitioning,
  ): RDD<[K, C]> {
    return pairs.aggregateByKey(this, 'aggregateByKey', zero, merge, combine, partitioning);
  }

  /** All values of a key in one array. Prefer reduceByKey or aggregateByKey: they combine before the shuffle. */
  groupByKey<K, V>(this: Pairs<K, V>, partitioning?: Partitioning): RDD<[K, V[]]> {
    return pairs.groupByKey(this, partitioning);
  }

  partitionBy<K, V>(this: Pairs<K, V>, partitioner: Partitioner): RDD<readonly [K, V]> {
    return pairs.partitionBy(this, partitioner);
  }

  /** Per key of either side: all its values here and there. */
  cogroup<K, V, W>(this: Pairs<K, V>, other: Pairs<K, W>, partitioning?: Partitioning): RDD<[K, [V[], W[]]]> {
    return pairs.cogroup([this, other], partitioning) as RDD<[K, [V[], W[]]]>;
  }

  join<K, V, W>(this: Pairs<K, V>, other: Pairs<K, W>, partitioning?: Partitioning): RDD<[K, [V, W]]> {
    return pairs.join(this, other, 'join', partitioning) as RDD<[K, [V, W]]>;
  }

  /** The absent side is undefined. */
  leftOuterJoin<K, V, W>(
    this: Pairs<K, V>,
    other: Pairs<K, W>,
    partitioning?: Partitioning,
  ): RDD<[K, [V, W | undefined]]> {
    return pairs.join(this, other, 'leftOuterJoin', partitioning) as RDD<[K, [V, W | undefined]]>;
  }

  /** The absent side is undefined. */
  rightOuterJoin<K, V, W>(
    this: Pairs<K, V>,
    other: Pairs<K, W>,
    partitioning?: Partitioning,
  ): RDD<[K, [V | undefined, W]]> {
    return pairs.join(this, other, 'rightOuterJoin', partitioning) as RDD<[K, [V | undefined, W]]>;
  }

  /** The absent side is undefined. */
  fullOuterJoin<K, V, W>(
    this: Pairs<K, V>,
    other: Pairs<K, W>,
    partitioning?: Partitioning,
  ): RDD<[K, [V | undefined, W | undefined]]> {
    return pairs.join(this, other, 'fullOuterJoin', partitioning);
  }

  /** The pairs whose key does not occur in `other`. */
  subtractByKey<K, V, W>(this: Pairs<K, V>, other: Pairs<K, W>, partitioning?: Partitioning): RDD<[K, V]> {
    return pairs.subtractByKey(this, other, partitioning);
  }

  // Pair actions

  /** Composite keys are the objects of their first row; look them up by iterating. */
  countByKey<K, V>(this: Pairs<K, V>): Promise<Map<K, number>> {
    return actions.countByValue(this.keys());
  }

  /** One value per key, the last. */
  collectAsMap<K, V>(this: Pairs<K, V>): Promise<Map<K, V>> {
    return actions.collectAsMap(this);
  }

  /** All values of a key, compared by value. Reads one partition only when a partitioner is known. */
  lookup<K, V>(this: Pairs<K, V>, key: K): Promise<V[]> {
    return actions.lookup(this, key);
  }

  // Actions

  /** All rows, in the order of partitions. */
  collect(): Promise<T[]> {
    return actions.collect(this);
  }

  collectPartitions(): Promise<T[][]> {
    return this.context.runner.run(this, (partition, task) => rowsOf(this, partition, task));
  }

  count(): Promise<number> {
    return actions.count(this);
  }

  /** The first `n` rows; partitions are computed only as far as needed. */
  take(n: number): Promise<T[]> {
    return actions.take(this, n);
  }

  /** @throws EMPTY_COLLECTION */
  first(): Promise<T> {
    return actions.first(this);
  }

  /** The `n` largest rows, largest first. */
  top(n: number, compare: Comparator<T> = naturalOrder): Promise<T[]> {
    return actions.takeOrdered(this, n, (a, b) => compare(b, a));
  }

  /** The `n` smallest rows, smallest first. */
  takeOrdered(n: number, compare: Comparator<T> = naturalOrder): Promise<T[]> {
    return actions.takeOrdered(this, n, compare);
  }

  /** @param f may change and return its first argument. @throws EMPTY_COLLECTION */
  reduce(f: (a: T, b: T) => T): Promise<T> {
    return actions.reduce(this, 'reduce', f, ownValue);
  }

  /** @param zero copied for every partition and once more for the result. */
  fold(zero: T, f: (a: T, b: T) => T): Promise<T> {
    return actions.aggregate(this, zero, f, f);
  }

  /** @param zero plain data, copied for every partition and once more for the result. */
  aggregate<A>(zero: A, merge: (result: A, row: T) => A, combine: (a: A, b: A) => A): Promise<A> {
    return actions.aggregate(this, zero, merge, combine);
  }

  isEmpty(): Promise<boolean> {
    return actions.isEmpty(this);
  }

  /** @throws EMPTY_COLLECTION */
  min(compare: Comparator<T> = naturalOrder): Promise<T> {
    return actions.reduce(this, 'min', (a, b) => (compare(b, a) < 0 ? b : a));
  }

  /** @throws EMPTY_COLLECTION */
  max(compare: Comparator<T> = naturalOrder): Promise<T> {
    return actions.reduce(this, 'max', (a, b) => (compare(b, a) > 0 ? b : a));
  }

  /** A promise returned by `f` is awaited before the next row of the partition. */
  foreach(f: (row: T) => void | Promise<void>): Promise<void> {
    return actions.foreach(this, f);
  }

  foreachPartition(f: (rows: readonly T[], partition: number) => void | Promise<void>): Promise<void> {
    return actions.foreachPartition(this, f);
  }

  /** How often every row occurs, compared as keys are (by value). */
  countByValue(): Promise<Map<T, number>> {
    return actions.countByValue(this);
  }
}

/** An RDD made from an RddSpec. */
export class DerivedRDD<T> extends RDD<T> {
  readonly numPartitions: number;
  readonly dependencies: readonly Dependency[];
  readonly #pipe: RddSpec<T>['pipe'];

  constructor(context: RddContext, spec: RddSpec<T>) {
    super(context, spec.name, spec.partitioner);
    this.numPartitions = spec.numPartitions;
    this.dependencies = spec.dependencies;
    this.#pipe = spec.pipe;
  }

  pipe(partition: number, task: TaskContext, push: (row: T) => void): void | Promise<void> {
    return this.#pipe(partition, task, push);
  }
}
