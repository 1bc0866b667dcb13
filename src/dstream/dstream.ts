import { positiveInteger } from '../base/options.ts';
import { Duration, type Time } from '../base/time.ts';
import { ownCopy } from '../rdd/own-copy.ts';
import type { Partitioning, RDD, Row } from '../rdd/rdd.ts';
import { filterStage, flatMapStage, mapStage } from '../rdd/stages.ts';
import { type AsyncOptions, concurrencyDefault, throughAsync } from './async-rows.ts';
import { DataCheckpointNode } from './data-checkpoint.ts';
import { derive, reduceWindow, requireFunction, transformOf, unionOf, windowArguments } from './derived-nodes.ts';
import { KeyedWindowNode } from './keyed-window.ts';
import { type MapStateOptions, MapWithStateNode, StateSnapshotNode, type StateSpec } from './map-with-state.ts';
import { PairMethods } from './pair-methods.ts';
import { RowWindowNode, type RowWindowOptions } from './row-window.ts';
import { requireMultiple, StatefulNode, type StatefulOptions, type UidOption } from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';
import {
  type PartitionStateUpdate,
  type PartitionUpdateOptions,
  type StateUpdate,
  UpdateStateNode,
  type UpdateStateOptions,
} from './update-state.ts';

/**
 * A stream of batches: one RDD per batch time, described once and generated anew for each batch. Lazy: nothing runs
 * until an output operation asks for rows. Source: Spark's `DStream`, whose names and semantics it keeps.
 */
export class DStream<out T> extends PairMethods<T> {
  /** This stream has an RDD every so often: the batch interval, or the slide of the window it comes from. */
  get slideDuration(): Duration {
    return new Duration(this.node.slideMs);
  }

  /** What to call the stream in listings and user interfaces; changes nothing else. */
  name(label: string): this {
    this.node.graph.requireOpen();
    this.node.label = label;
    return this;
  }

  /**
   * Keeps the rows of every batch in memory when they are first computed, for streams that several outputs read. They go
   * with the batch. A windowed stream passes it on to the stream it windows.
   */
  persist(): this {
    this.node.graph.requireOpen();
    this.node.persist();
    return this;
  }

  /** The same as persist. */
  cache(): this {
    return this.persist();
  }

  /**
   * Keeps the rows of the batch at every `interval` in the checkpoint, for `slice` after a restart, and persists. Streams
   * with state and windows are durable with every batch: there it only checks the interval.
   *
   * @throws GRAPH_INVALID when the interval is no multiple of the slide, or the stream has one already
   */
  checkpoint(interval: Duration, options: UidOption = {}): this {
    requireMultiple('checkpoint', 'interval', interval.milliseconds, this.node.slideMs);
    this.node.graph.requireOpen();
    if (!(this.node instanceof StatefulNode)) {
      this.node.graph.remembered.keepCheckpoints(
        this.node,
        () => new DataCheckpointNode<T>(this.node, interval, options),
      );
    }
    return this.persist();
  }

  /**
   * The RDDs of the batches in [from, to], both ends included and floored to the slide. Only of batches that have run in
   * this process and that `StreamingContext.remember` covers, and of those that `checkpoint` keeps.
   *
   * @throws STATUS_INVALID
   */
  slice(from: Time, to: Time): RDD<T>[] {
    return this.node.graph.slice(this.node, from, to);
  }

  map<U extends Row>(f: (row: T) => U): DStream<U> {
    requireFunction('map', f);
    const stage = ownCopy(mapStage);
    return this.stream(
      derive('map', this.node, (rdd) =>
        rdd.through<U>(
          'map',
          (push) => stage(f, push),
          false,
          (push) => mapStage(f, push),
        ),
      ),
    );
  }

  flatMap<U extends Row>(f: (row: T) => Iterable<U>): DStream<U> {
    requireFunction('flatMap', f);
    const stage = ownCopy(flatMapStage);
    return this.stream(
      derive('flatMap', this.node, (rdd) =>
        rdd.through<U>(
          'flatMap',
          (push) => stage(f, push),
          false,
          (push) => flatMapStage(f, push),
        ),
      ),
    );
  }

  filter<S extends T>(f: (row: T) => row is S): DStream<S>;
  filter(f: (row: T) => boolean): DStream<T>;
  filter(f: (row: T) => boolean): DStream<T> {
    requireFunction('filter', f);
    const stage = ownCopy(filterStage);
    return this.stream(
      derive('filter', this.node, (rdd) =>
        rdd.through<T>(
          'filter',
          (push) => stage(f, push),
          true,
          (push) => filterStage(f, push),
        ),
      ),
    );
  }

  /**
   * `map` with a function that may wait for I/O: at most `concurrency` calls per partition at the same time, rows in order.
   * Like every function it may run again for the same row.
   */
  mapAsync<U extends Row>(f: (row: T) => U | Promise<U>, options: AsyncOptions = {}): DStream<U> {
    requireFunction('mapAsync', f);
    const concurrency = positiveInteger('mapAsync: concurrency', options.concurrency ?? concurrencyDefault);
    return this.stream(
      derive('mapAsync', this.node, (rdd) =>
        throughAsync<T, U, U>(rdd, 'mapAsync', f, concurrency, (_row, result, push) => push(result), false),
      ),
    );
  }

  /** `filter` with a function that may wait for I/O; see mapAsync. */
  filterAsync(f: (row: T) => boolean | Promise<boolean>, options: AsyncOptions = {}): DStream<T> {
    requireFunction('filterAsync', f);
    const concurrency = positiveInteger('filterAsync: concurrency', options.concurrency ?? concurrencyDefault);
    const emit = (row: T, keep: boolean, push: (row: T) => void): void => {
      if (keep) push(row);
    };
    return this.stream(
      derive('filterAsync', this.node, (rdd) => throughAsync(rdd, 'filterAsync', f, concurrency, emit, true)),
    );
  }

  /** `f` gets the rows of one partition of one batch. */
  mapPartitions<U>(f: (rows: readonly T[]) => Iterable<U>): DStream<U> {
    requireFunction('mapPartitions', f);
    return this.stream(derive('mapPartitions', this.node, (rdd) => rdd.mapPartitions(f)));
  }

  /** One array per partition. */
  glom(): DStream<T[]> {
    return this.stream(derive('glom', this.node, (rdd) => rdd.glom()));
  }

  repartition(numPartitions: number): DStream<T> {
    return this.stream(derive('repartition', this.node, (rdd) => rdd.repartition(numPartitions)));
  }

  /** Rows of both streams, this one's partitions first. Both must have the same slide. */
  union<U>(other: DStream<U>): DStream<T | U> {
    return this.stream(unionOf<T | U>([this.node, other.node]));
  }

  /** One row: how many rows the batch has; 0 for an empty batch. */
  count(): DStream<number> {
    return this.stream(
      derive('count', this.node, (rdd, batch) => {
        const ones = rdd.map((): [null, number] => [null, 1]);
        const zero = batch.rdds.parallelize<[null, number]>([[null, 0]], 1);
        return batch.rdds
          .union([ones, zero])
          .reduceByKey((a, b) => a + b, 1)
          .values();
      }),
    );
  }

  /** How often each row occurs, compared by value. */
  countByValue(partitions?: Partitioning): DStream<[T, number]> {
    return this.map((row): [T, number] => [row, 1]).reduceByKey<T, number>(add, partitions);
  }

  /** One row; none for an empty batch. */
  reduce(f: (a: T, b: T) => T): DStream<T> {
    requireFunction('reduce', f);
    return this.stream(
      derive('reduce', this.node, (rdd) =>
        rdd
          .map((row) => [null, row] as const)
          .reduceByKey(f, 1)
          .map((pair) => pair[1]),
      ),
    );
  }

  /** `f` turns the RDD of each batch into another, at generation time. */
  transform<U>(f: (rdd: RDD<T>, time: Time) => RDD<U>): DStream<U> {
    requireFunction('transform', f);
    return this.stream(transformOf('transform', [this.node], ([rdd], time) => f(rdd as RDD<T>, time)));
  }

  transformWith<U, R>(other: DStream<U>, f: (rdd: RDD<T>, other: RDD<U>, time: Time) => RDD<R>): DStream<R> {
    requireFunction('transformWith', f);
    return this.stream(
      transformOf('transformWith', [this.node, other.node], ([left, right], time) =>
        f(left as RDD<T>, right as RDD<U>, time),
      ),
    );
  }

  /**
   * Rows of the last `length`, every `slide` (default: every batch of this stream). Starts partial. Both must be
   * multiples of this stream's slide. The rows are kept in the checkpoint, so they must be storable.
   */
  window(length: Duration, slide?: Duration, options: RowWindowOptions<T> = {}): DStream<T> {
    return this.stream(new RowWindowNode<T>(this.node, length, slide, options));
  }

  /**
   * One row: the rows of the last `length` reduced, oldest first; none while there are none. With `inverse` the value is
   * updated from the window before, and once there was a row it never vanishes.
   */
  reduceByWindow(f: (a: T, b: T) => T, length: Duration, slide?: Duration, options?: RowWindowOptions<T>): DStream<T>;
  reduceByWindow(
    f: (a: T, b: T) => T,
    inverse: (a: T, b: T) => T,
    length: Duration,
    slide?: Duration,
    options?: RowWindowOptions<T>,
  ): DStream<T>;
  reduceByWindow(f: (a: T, b: T) => T, ...rest: readonly unknown[]): DStream<T> {
    requireFunction('reduceByWindow', f);
    const window = windowArguments<null, T>(rest);
    return this.stream(reduceWindow('reduceByWindow', this.node, f, window));
  }

  /** One row: how many rows the last `length` has. None before the first row ever, 0 when the window is empty later. */
  countByWindow(length: Duration, slide?: Duration, options?: UidOption): DStream<number> {
    const ones = this.map(() => 1);
    return this.stream(
      reduceWindow<number>('countByWindow', ones.node, add, { inverse: subtract, length, slide, options }),
    );
  }

  /** How often each row occurs in the last `length`; rows that left are gone. */
  countByValueAndWindow(length: Duration, slide?: Duration, options: StatefulOptions = {}): DStream<[T, number]> {
    const ones = this.map((row): [T, number] => [row, 1]);
    return this.stream(
      new KeyedWindowNode<T, number>(ones.node, {
        operator: 'countByValueAndWindow',
        reduce: add,
        inverse: subtract,
        length,
        slide,
        filter: ([, count]) => count !== 0,
        ...options,
      }),
    );
  }

  /**
   * Keeps a state per key. Every batch, for every key with state or values: the new state; undefined removes the key.
   * Emits the whole state. Costs a call per key and batch: prefer mapWithState beyond about a million keys.
   *
   * With `perPartition` the function is given all keys of a partition at once, and leaves out those it removes.
   */
  updateStateByKey<K, V, S>(
    this: DStream<readonly [K, V]>,
    update: PartitionStateUpdate<K, V, S>,
    options: PartitionUpdateOptions<K, S>,
  ): DStream<[K, S]>;
  updateStateByKey<K, V, S>(
    this: DStream<readonly [K, V]>,
    update: StateUpdate<K, V, S>,
    options?: UpdateStateOptions<K, S>,
  ): DStream<[K, S]>;
  updateStateByKey<K, V, S>(
    this: DStream<readonly [K, V]>,
    update: StateUpdate<K, V, S> | PartitionStateUpdate<K, V, S>,
    options: UpdateStateOptions<K, S> | PartitionUpdateOptions<K, S> = {},
  ): DStream<[K, S]> {
    requireFunction('updateStateByKey', update);
    const isPartitioned = 'perPartition' in options && options.perPartition;
    return this.stream(
      new UpdateStateNode<K, V, S>(this.node, {
        ...options,
        byKey: isPartitioned ? undefined : (update as StateUpdate<K, V, S>),
        byPartition: isPartitioned ? (update as PartitionStateUpdate<K, V, S>) : undefined,
      }),
    );
  }

  /** Keeps a state per key, touched only by keys with data (or that time out); emits what the function returns. */
  mapWithState<K, V, S, M>(
    this: DStream<readonly [K, V]>,
    spec: StateSpec<K, V, S, M>,
    options: MapStateOptions<S> = {},
  ): MapWithStateDStream<K, S, Exclude<M, undefined>> {
    return new MapWithStateDStream(new MapWithStateNode<K, V, S, M>(this.node, spec, options));
  }

  protected override stream<U>(node: StreamNode<U>): DStream<U> {
    return new DStream(node);
  }
}

/** What `mapWithState` gives: the mapped rows, and on request the states behind them. */
export class MapWithStateDStream<out K, out S, out M> extends DStream<M> {
  readonly #states: StatefulNode<M>;

  constructor(node: StatefulNode<M>) {
    super(node);
    this.#states = node;
  }

  /** Every key with its state, in every batch: costs as much as there are keys. */
  stateSnapshots(): DStream<[K, S]> {
    return this.stream(new StateSnapshotNode<K, S>(this.#states));
  }
}

/** The RDDs of a list of streams, in their order. */
export type RddsOf<S extends readonly DStream<unknown>[]> = {
  [I in keyof S]: S[I] extends DStream<infer T> ? RDD<T> : never;
};

function add(a: number, b: number): number {
  return a + b;
}

function subtract(a: number, b: number): number {
  return a - b;
}
