import { TidemarkError } from '../base/errors.ts';
import type { Duration, Time } from '../base/time.ts';
import { ownCopy } from '../rdd/own-copy.ts';
import { reduceByKey } from '../rdd/pair-operations.ts';
import type { Partitioner } from '../rdd/partitioner.ts';
import type { RDD, Row, Widen } from '../rdd/rdd.ts';
import {
  filterStage,
  flatMapStage,
  flatMapValuesStage,
  makeCombineStage,
  mapStage,
  mapValuesStage,
} from '../rdd/stages.ts';
import type { Sink } from '../sinks/sink.ts';
import type { Batch } from './batch.ts';
import { KeyedWindowNode, type KeyedWindowOptions } from './keyed-window.ts';
import { MapWithStateNode, type StateSpec } from './map-with-state.ts';
import type { ForeachBody } from './output.ts';
import { PerBatchNode } from './per-batch.ts';
import { RowWindowNode } from './row-window.ts';
import type { StatefulOptions, UidOption } from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';
import { UpdateStateNode } from './update-state.ts';

/**
 * A stream of batches: one RDD per batch time, described once and generated anew for each batch. Lazy: nothing runs
 * until an output operation asks for rows. Source: Spark's `DStream`, whose names and semantics it keeps.
 */
export class DStream<out T> {
  readonly node: StreamNode<T>;

  constructor(node: StreamNode<T>) {
    this.node = node;
  }

  map<U extends Row>(f: (row: T) => U): DStream<U> {
    requireFunction('map', f);
    const stage = ownCopy(mapStage);
    return derive('map', this, (rdd) => rdd.through<U>('map', (push) => stage(f, push)));
  }

  flatMap<U extends Row>(f: (row: T) => Iterable<U>): DStream<U> {
    requireFunction('flatMap', f);
    const stage = ownCopy(flatMapStage);
    return derive('flatMap', this, (rdd) => rdd.through<U>('flatMap', (push) => stage(f, push)));
  }

  filter<S extends T>(f: (row: T) => row is S): DStream<S>;
  filter(f: (row: T) => boolean): DStream<T>;
  filter(f: (row: T) => boolean): DStream<T> {
    requireFunction('filter', f);
    const stage = ownCopy(filterStage);
    return derive('filter', this, (rdd) => rdd.through<T>('filter', (push) => stage(f, push), true));
  }

  /** `f` gets the rows of one partition of one batch. */
  mapPartitions<U>(f: (rows: readonly T[]) => Iterable<U>): DStream<U> {
    requireFunction('mapPartitions', f);
    return derive('mapPartitions', this, (rdd) => rdd.mapPartitions(f));
  }

  /** One array per partition. */
  glom(): DStream<T[]> {
    return derive('glom', this, (rdd) => rdd.glom());
  }

  repartition(numPartitions: number): DStream<T> {
    return derive('repartition', this, (rdd) => rdd.repartition(numPartitions));
  }

  /** Rows of both streams, this one's partitions first. Both must have the same slide. */
  union<U>(other: DStream<U>): DStream<T | U> {
    return combine('union', this, other, (left, right, batch) => batch.rdds.union<T | U>([left, right]));
  }

  /** One row: how many rows the batch has; 0 for an empty batch. */
  count(): DStream<number> {
    return derive('count', this, (rdd, batch) => {
      const ones = rdd.map((): [null, number] => [null, 1]);
      const zero = batch.rdds.parallelize<[null, number]>([[null, 0]], 1);
      return batch.rdds
        .union([ones, zero])
        .reduceByKey((a, b) => a + b, 1)
        .values();
    });
  }

  /** One row; none for an empty batch. */
  reduce(f: (a: T, b: T) => T): DStream<T> {
    requireFunction('reduce', f);
    return derive('reduce', this, (rdd) =>
      rdd
        .map((row) => [null, row] as const)
        .reduceByKey(f, 1)
        .map((pair) => pair[1]),
    );
  }

  /** `f` turns the RDD of each batch into another, at generation time. */
  transform<U>(f: (rdd: RDD<T>, time: Time) => RDD<U>): DStream<U> {
    requireFunction('transform', f);
    return derive('transform', this, (rdd, batch) => requireRdd('transform', f(rdd, batch.time)));
  }

  transformWith<U, R>(other: DStream<U>, f: (rdd: RDD<T>, other: RDD<U>, time: Time) => RDD<R>): DStream<R> {
    requireFunction('transformWith', f);
    return combine('transformWith', this, other, (left, right, batch) =>
      requireRdd('transformWith', f(left, right, batch.time)),
    );
  }

  /**
   * Rows of the last `length`, every `slide` (default: every batch of this stream). Starts partial. Both must be
   * multiples of this stream's slide. The rows are kept in the checkpoint, so they must be storable.
   */
  window(length: Duration, slide?: Duration, options: UidOption = {}): DStream<T> {
    return new DStream(new RowWindowNode<T>(this.node, length, slide, options));
  }

  /** Runs `body` on the RDD of every batch, in order of registration. At least once: see {@link BatchInfo} for what to key a write with. */
  foreachRDD(body: ForeachBody<T>, options: UidOption = {}): void {
    requireFunction('foreachRDD', body);
    const uid = this.node.graph.assignUid('foreachRDD', options.uid);
    this.node.graph.addOutput({ kind: 'foreach', uid, stream: this.node, body: body as ForeachBody<unknown> });
  }

  /** Shows the first rows of every batch once it is committed, in Spark's layout. */
  print(rowsMax = 10): void {
    if (!Number.isInteger(rowsMax) || rowsMax < 1) {
      throw new TidemarkError('OPTION_INVALID', `print(${rowsMax}): the number of rows must be a positive integer.`);
    }
    const uid = this.node.graph.assignUid('print', undefined);
    this.node.graph.addOutput({ kind: 'print', uid, stream: this.node, rowsMax });
  }

  /** Writes every batch to `sink`, with the guarantee the sink states. */
  saveTo(sink: Sink<T>, options: UidOption = {}): void {
    const uid = this.node.graph.assignUid('saveTo', options.uid);
    this.node.graph.addOutput({ kind: 'sink', uid, stream: this.node, sink: sink as Sink<unknown> });
  }

  mapValues<K, V, U>(this: DStream<readonly [K, V]>, f: (value: V) => U): DStream<[K, U]> {
    requireFunction('mapValues', f);
    const stage = ownCopy(mapValuesStage);
    return derive('mapValues', this, (rdd) => rdd.through<[K, U]>('mapValues', (push) => stage(f, push), true));
  }

  flatMapValues<K, V, U>(this: DStream<readonly [K, V]>, f: (value: V) => Iterable<U>): DStream<[K, U]> {
    requireFunction('flatMapValues', f);
    const stage = ownCopy(flatMapValuesStage);
    return derive('flatMapValues', this, (rdd) => rdd.through<[K, U]>('flatMapValues', (push) => stage(f, push), true));
  }

  /** Combines the values of each key within a batch; `f` must be associative and commutative. */
  reduceByKey<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: Widen<V>, b: Widen<V>) => Widen<V>,
    partitions?: number | Partitioner,
  ): DStream<[K, Widen<V>]>;
  reduceByKey<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: V, b: V) => V,
    partitions?: number | Partitioner,
  ): DStream<[K, V]>;
  reduceByKey<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: V, b: V) => V,
    partitions?: number | Partitioner,
  ): DStream<[K, V]> {
    requireFunction('reduceByKey', f);
    const stage = ownCopy(makeCombineStage)();
    return derive('reduceByKey', this, (rdd) => reduceByKey(rdd, f, partitions, stage));
  }

  /** All values of each key within a batch, in arrival order. Moves every value: prefer reduceByKey. */
  groupByKey<K, V>(this: DStream<readonly [K, V]>, partitions?: number | Partitioner): DStream<[K, V[]]> {
    return derive('groupByKey', this, (rdd) => rdd.groupByKey(partitions));
  }

  /** Pairs of values of keys that both batches have. Both streams must have the same slide. */
  join<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: number | Partitioner,
  ): DStream<[K, [V, W]]> {
    return combine('join', this, other, (left, right) => left.join(right, partitions));
  }

  /** The values of both streams for every key that either has. */
  cogroup<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: number | Partitioner,
  ): DStream<[K, [V[], W[]]]> {
    return combine('cogroup', this, other, (left, right) => left.cogroup(right, partitions));
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
    options?: StatefulOptions,
  ): DStream<[K, Widen<V>]>;
  reduceByKeyAndWindow<K, V>(
    this: DStream<readonly [K, V]>,
    f: (a: V, b: V) => V,
    length: Duration,
    slide?: Duration,
    options?: StatefulOptions,
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
    const inverse = typeof rest[0] === 'function' ? (rest[0] as (a: V, b: V) => V) : undefined;
    const [length, slide, options] = (inverse === undefined ? rest : rest.slice(1)) as [
      Duration,
      Duration | undefined,
      KeyedWindowOptions<K, V> | undefined,
    ];
    return new DStream(new KeyedWindowNode<K, V>(this.node, { reduce: f, inverse, length, slide, ...options }));
  }

  /**
   * Keeps a state per key. Every batch, for every key with state or values: the new state; undefined removes the key.
   * Emits the whole state. Costs a call per key and batch: prefer mapWithState beyond about a million keys.
   */
  updateStateByKey<K, V, S>(
    this: DStream<readonly [K, V]>,
    update: (values: readonly V[], state: S | undefined) => S | undefined,
    options: StatefulOptions = {},
  ): DStream<[K, S]> {
    requireFunction('updateStateByKey', update);
    return new DStream(new UpdateStateNode<K, V, S>(this.node, update, options));
  }

  /** Keeps a state per key, touched only by keys with data (or that time out); emits what the function returns. */
  mapWithState<K, V, S, M>(
    this: DStream<readonly [K, V]>,
    spec: StateSpec<K, V, S, M>,
    options: StatefulOptions = {},
  ): DStream<Exclude<M, undefined>> {
    return new DStream(new MapWithStateNode<K, V, S, M>(this.node, spec, options));
  }
}

/** A stream whose RDD is built from the RDD of one other in the same batch. */
function derive<T, U>(operator: string, parent: DStream<T>, build: (rdd: RDD<T>, batch: Batch) => RDD<U>): DStream<U> {
  return new DStream(new PerBatchNode<U>(operator, [parent.node], ([rdd], batch) => build(rdd as RDD<T>, batch)));
}

/** The same from the RDDs of two. */
function combine<A, B, U>(
  operator: string,
  left: DStream<A>,
  right: DStream<B>,
  build: (left: RDD<A>, right: RDD<B>, batch: Batch) => RDD<U>,
): DStream<U> {
  const nodes = [left.node, right.node];
  return new DStream(new PerBatchNode<U>(operator, nodes, ([a, b], batch) => build(a as RDD<A>, b as RDD<B>, batch)));
}

function requireFunction(operator: string, f: unknown): void {
  if (typeof f === 'function') return;
  throw new TidemarkError('OPTION_INVALID', `${operator}(${String(f)}): the argument must be a function.`);
}

function requireRdd<T>(operator: string, rdd: RDD<T> | undefined): RDD<T> {
  if (rdd !== undefined) return rdd;
  throw new TidemarkError('GRAPH_INVALID', `The function of ${operator} must return an RDD, not undefined.`);
}
