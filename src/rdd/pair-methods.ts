import * as actions from './actions.ts';
import type { Aggregator } from './combine.ts';
import * as pairs from './pair-operations.ts';
import type { Partitioner } from './partitioner.ts';
import type { RDD } from './rdd.ts';
import type { Comparator, Pairs, Partitioning, Widen } from './row-types.ts';
import { sampleByKey } from './sampling.ts';
import * as sorting from './sort-operations.ts';
import { flatMapValuesStage, mapStage, mapValuesStage } from './stages.ts';
import { checkFunction } from './validation.ts';

/**
 * What an RDD of `[key, value]` rows can do besides. Every method type-checks only on such rows; keys are compared by value.
 *
 * `partitioning` says how many partitions the result has, or by which partitioner: see `choosePartitioner` for the default.
 * Source: Spark's PairRDDFunctions and OrderedRDDFunctions.
 */
export abstract class PairMethods {
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

  /** Each pair with the probability, or expected count, that `fractions` names for its key. Every key must be named. */
  sampleByKey<K, V>(
    this: Pairs<K, V>,
    withReplacement: boolean,
    fractions: ReadonlyMap<K, number>,
    seed?: number,
  ): RDD<readonly [K, V]> {
    return sampleByKey(this, withReplacement, fractions, seed);
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

  /** `partitionBy`, and the pairs of each partition in order of their keys (stable). */
  repartitionAndSortWithinPartitions<K, V>(
    this: Pairs<K, V>,
    partitioner: Partitioner,
    compare?: Comparator<K>,
  ): RDD<readonly [K, V]> {
    return sorting.repartitionAndSort(this, partitioner, compare);
  }

  /** Total order of keys over all partitions, stable. Equal keys are in one partition. */
  sortByKey<K, V>(
    this: Pairs<K, V>,
    ascending = true,
    numPartitions?: number,
    compare?: Comparator<K>,
  ): RDD<readonly [K, V]> {
    return sorting.sortBy(this, 'sortByKey', (row) => row[0], ascending, numPartitions, compare);
  }

  /** Per key of any side: all its values here and there. Up to three others. */
  cogroup<K, V, A>(this: Pairs<K, V>, a: Pairs<K, A>, partitioning?: Partitioning): RDD<[K, [V[], A[]]]>;
  cogroup<K, V, A, B>(
    this: Pairs<K, V>,
    a: Pairs<K, A>,
    b: Pairs<K, B>,
    partitioning?: Partitioning,
  ): RDD<[K, [V[], A[], B[]]]>;
  cogroup<K, V, A, B, C>(
    this: Pairs<K, V>,
    a: Pairs<K, A>,
    b: Pairs<K, B>,
    c: Pairs<K, C>,
    partitioning?: Partitioning,
  ): RDD<[K, [V[], A[], B[], C[]]]>;
  cogroup<K>(
    this: Pairs<K, unknown>,
    ...others: readonly (Pairs<K, unknown> | Partitioning | undefined)[]
  ): RDD<[K, never]> {
    return pairs.cogroupAll(this, others) as RDD<[K, never]>;
  }

  /** The same as cogroup. */
  groupWith<K, V, A>(this: Pairs<K, V>, a: Pairs<K, A>): RDD<[K, [V[], A[]]]>;
  groupWith<K, V, A, B>(this: Pairs<K, V>, a: Pairs<K, A>, b: Pairs<K, B>): RDD<[K, [V[], A[], B[]]]>;
  groupWith<K, V, A, B, C>(
    this: Pairs<K, V>,
    a: Pairs<K, A>,
    b: Pairs<K, B>,
    c: Pairs<K, C>,
  ): RDD<[K, [V[], A[], B[], C[]]]>;
  groupWith<K>(this: Pairs<K, unknown>, ...others: readonly Pairs<K, unknown>[]): RDD<[K, never]> {
    return pairs.cogroupAll(this, others) as RDD<[K, never]>;
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

  /** The pairs whose key does not occur in `other`. Default partitioning: as here. */
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
}
