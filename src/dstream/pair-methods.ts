import type { Duration } from '../base/time.ts';
import type { Aggregator } from '../rdd/combine.ts';
import { ownCopy } from '../rdd/own-copy.ts';
import { groupByKey, reduceByKey } from '../rdd/pair-operations.ts';
import type { Partitioning, Widen } from '../rdd/rdd.ts';
import { flatMapValuesStage, makeCombineStage, mapValuesStage } from '../rdd/stages.ts';
import { combine, derive, requireFunction, windowArguments } from './derived-nodes.ts';
import type { DStream } from './dstream.ts';
import { KeyedWindowNode, type KeyedWindowOptions, type WindowStateOptions } from './keyed-window.ts';
import { OutputMethods } from './output-methods.ts';
import type { StreamNode } from './stream-node.ts';

/** What a DStream of pairs can do besides; the compiler refuses it on other rows. State by key stands with DStream. */
export abstract class PairMethods<out T> extends OutputMethods<T> {
  /** The stream of a node. */
  protected abstract stream<U>(node: StreamNode<U>): DStream<U>;

  mapValues<K, V, U>(this: DStream<readonly [K, V]>, f: (value: V) => U): DStream<[K, U]> {
    requireFunction('mapValues', f);
    const stage = ownCopy(mapValuesStage);
    return this.stream(
      derive('mapValues', this.node, (rdd) =>
        rdd.through<[K, U]>(
          'mapValues',
          (push) => stage(f, push),
          true,
          (push) => mapValuesStage(f, push),
        ),
      ),
    );
  }

  flatMapValues<K, V, U>(this: DStream<readonly [K, V]>, f: (value: V) => Iterable<U>): DStream<[K, U]> {
    requireFunction('flatMapValues', f);
    const stage = ownCopy(flatMapValuesStage);
    return this.stream(
      derive('flatMapValues', this.node, (rdd) =>
        rdd.through<[K, U]>(
          'flatMapValues',
          (push) => stage(f, push),
          true,
          (push) => flatMapValuesStage(f, push),
        ),
      ),
    );
  }

  /** Combines the values of each key within a batch; `f` must be associative and commutative. */
  reduceByKey<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: Widen<V>, b: Widen<V>) => Widen<V>,
    partitions?: Partitioning,
  ): DStream<[K, Widen<V>]>;
  reduceByKey<K, V>(this: DStream<readonly [K, V]>, f: (a: V, b: V) => V, partitions?: Partitioning): DStream<[K, V]>;
  reduceByKey<K, V>(this: DStream<readonly [K, V]>, f: (a: V, b: V) => V, partitions?: Partitioning): DStream<[K, V]> {
    requireFunction('reduceByKey', f);
    const stage = ownCopy(makeCombineStage)();
    return this.stream(derive('reduceByKey', this.node, (rdd) => reduceByKey(rdd, f, partitions, stage)));
  }

  /** All values of each key within a batch, in arrival order. Moves every value: prefer reduceByKey. */
  groupByKey<K, V>(this: DStream<readonly [K, V]>, partitions?: Partitioning): DStream<[K, V[]]> {
    const stage = ownCopy(makeCombineStage)();
    return this.stream(derive('groupByKey', this.node, (rdd) => groupByKey(rdd, partitions, stage)));
  }

  /** Combines the values of each key within a batch, before the shuffle too unless `mapSideCombine` is false. */
  combineByKey<K, V, C>(
    this: DStream<readonly [K, V]>,
    aggregator: Aggregator<V, C>,
    partitions?: Partitioning,
  ): DStream<[K, C]> {
    const own: Aggregator<V, C> = { stage: ownCopy(makeCombineStage)(), ...aggregator };
    return this.stream(derive('combineByKey', this.node, (rdd) => rdd.combineByKey(own, partitions)));
  }

  /** Pairs of values of keys that both batches have. Both streams must have the same slide. */
  join<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V, W]]> {
    return this.stream(combine('join', this.node, other.node, (left, right) => left.join(right, partitions)));
  }

  /** Every key of this stream; undefined where the other has no value. */
  leftOuterJoin<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V, W | undefined]]> {
    return this.stream(
      combine('leftOuterJoin', this.node, other.node, (left, right) => left.leftOuterJoin(right, partitions)),
    );
  }

  /** Every key of the other stream; undefined where this one has no value. */
  rightOuterJoin<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V | undefined, W]]> {
    return this.stream(
      combine('rightOuterJoin', this.node, other.node, (left, right) => left.rightOuterJoin(right, partitions)),
    );
  }

  /** Every key that either has; undefined where one has no value. */
  fullOuterJoin<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V | undefined, W | undefined]]> {
    return this.stream(
      combine('fullOuterJoin', this.node, other.node, (left, right) => left.fullOuterJoin(right, partitions)),
    );
  }

  /** The values of both streams for every key that either has. */
  cogroup<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V[], W[]]]> {
    return this.stream(combine('cogroup', this.node, other.node, (left, right) => left.cogroup(right, partitions)));
  }

  /** All values of each key in the last `length`, batch after batch. Keeps every value: prefer reduceByKeyAndWindow. */
  groupByKeyAndWindow<K, V>(
    this: DStream<readonly [K, V]>,
    length: Duration,
    slide?: Duration,
    options: WindowStateOptions<V> = {},
  ): DStream<[K, V[]]> {
    const { partitioner, numPartitions } = options;
    const grouped = this.groupByKey(partitioner ?? numPartitions);
    return this.stream(
      new KeyedWindowNode<K, V[]>(grouped.node, {
        operator: 'groupByKeyAndWindow',
        reduce: (a, b) => a.concat(b),
        inverse: undefined,
        length,
        slide,
        isGrouping: true,
        ...options,
      }),
    );
  }

  /**
   * Reduces each key over a sliding window of `length`, every `slide`.
   *
   * With `inverse`, the window is updated from the one before: `f(inverse(previous, left), entered)`. Then keys stay,
   * with a neutral value, until `options.filter` refuses them. Without it, keys vanish when they leave the window.
   */
  reduceByKeyAndWindow<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: Widen<V>, b: Widen<V>) => Widen<V>,
    length: Duration,
    slide?: Duration,
    options?: WindowStateOptions<Widen<V>>,
  ): DStream<[K, Widen<V>]>;
  reduceByKeyAndWindow<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: V, b: V) => V,
    length: Duration,
    slide?: Duration,
    options?: WindowStateOptions<V>,
  ): DStream<[K, V]>;
  reduceByKeyAndWindow<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: Widen<V>, b: Widen<V>) => Widen<V>,
    inverse: (a: Widen<V>, b: Widen<V>) => Widen<V>,
    length: Duration,
    slide?: Duration,
    options?: KeyedWindowOptions<K, Widen<V>>,
  ): DStream<[K, Widen<V>]>;
  reduceByKeyAndWindow<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: V, b: V) => V,
    inverse: (a: V, b: V) => V,
    length: Duration,
    slide?: Duration,
    options?: KeyedWindowOptions<K, V>,
  ): DStream<[K, V]>;
  reduceByKeyAndWindow<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: V, b: V) => V,
    ...rest: readonly unknown[]
  ): DStream<[K, V]> {
    requireFunction('reduceByKeyAndWindow', f);
    const { options, ...window } = windowArguments<K, V>(rest);
    const operator = 'reduceByKeyAndWindow';
    return this.stream(new KeyedWindowNode<K, V>(this.node, { operator, reduce: f, ...window, ...options }));
  }
}
