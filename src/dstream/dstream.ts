import { describeKind } from '../base/data-path.ts';
import { TidemarkError } from '../base/errors.ts';
import { positiveInteger } from '../base/options.ts';
import { Duration, type Time } from '../base/time.ts';
import type { Aggregator } from '../rdd/combine.ts';
import { ownCopy } from '../rdd/own-copy.ts';
import { reduceByKey } from '../rdd/pair-operations.ts';
import { type Partitioning, RDD, type Row, type Widen } from '../rdd/rdd.ts';
import {
  filterStage,
  flatMapStage,
  flatMapValuesStage,
  makeCombineStage,
  mapStage,
  mapValuesStage,
} from '../rdd/stages.ts';
import type { Sink } from '../sinks/sink.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import { type AsyncOptions, concurrencyDefault, throughAsync } from './async-rows.ts';
import type { Batch } from './batch.ts';
import type { FileFormat, FilePlace } from './graph.ts';
import { KeyedWindowNode, type KeyedWindowOptions } from './keyed-window.ts';
import { MapWithStateNode, StateSnapshotNode, type StateSpec } from './map-with-state.ts';
import type { ForeachBody, PartitionBody } from './output.ts';
import { PerBatchNode } from './per-batch.ts';
import { RowWindowNode } from './row-window.ts';
import type { StatefulNode, StatefulOptions, UidOption } from './stateful-node.ts';
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
export class DStream<out T> {
  readonly node: StreamNode<T>;

  constructor(node: StreamNode<T>) {
    this.node = node;
  }

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
   * The RDDs of the batches in [from, to], both ends included and floored to the slide. Only of batches that have run in
   * this process and that `StreamingContext.remember` covers.
   *
   * @throws STATUS_INVALID
   */
  slice(from: Time, to: Time): RDD<T>[] {
    return this.node.graph.slice(this.node, from, to);
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

  /**
   * `map` with a function that may wait for I/O: at most `concurrency` calls per partition at the same time, rows in order.
   * Like every function it may run again for the same row.
   */
  mapAsync<U extends Row>(f: (row: T) => U | Promise<U>, options: AsyncOptions = {}): DStream<U> {
    requireFunction('mapAsync', f);
    const concurrency = positiveInteger('mapAsync: concurrency', options.concurrency ?? concurrencyDefault);
    return derive('mapAsync', this, (rdd) =>
      throughAsync<T, U, U>(rdd, 'mapAsync', f, concurrency, (_row, result, push) => push(result), false),
    );
  }

  /** `filter` with a function that may wait for I/O; see mapAsync. */
  filterAsync(f: (row: T) => boolean | Promise<boolean>, options: AsyncOptions = {}): DStream<T> {
    requireFunction('filterAsync', f);
    const concurrency = positiveInteger('filterAsync: concurrency', options.concurrency ?? concurrencyDefault);
    const emit = (row: T, keep: boolean, push: (row: T) => void): void => {
      if (keep) push(row);
    };
    return derive('filterAsync', this, (rdd) => throughAsync(rdd, 'filterAsync', f, concurrency, emit, true));
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
    return unionStreams<T | U>([this, other]);
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

  /** How often each row occurs, compared by value. */
  countByValue(partitions?: Partitioning): DStream<[T, number]> {
    return this.map((row): [T, number] => [row, 1]).reduceByKey<T, number>(add, partitions);
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
    return transformStreams('transform', [this], ([rdd], time) => f(rdd as RDD<T>, time));
  }

  transformWith<U, R>(other: DStream<U>, f: (rdd: RDD<T>, other: RDD<U>, time: Time) => RDD<R>): DStream<R> {
    requireFunction('transformWith', f);
    return transformStreams('transformWith', [this, other], ([left, right], time) =>
      f(left as RDD<T>, right as RDD<U>, time),
    );
  }

  /**
   * Rows of the last `length`, every `slide` (default: every batch of this stream). Starts partial. Both must be
   * multiples of this stream's slide. The rows are kept in the checkpoint, so they must be storable.
   */
  window(length: Duration, slide?: Duration, options: UidOption = {}): DStream<T> {
    return new DStream(new RowWindowNode<T>(this.node, length, slide, options));
  }

  /**
   * One row: the rows of the last `length` reduced, oldest first; none while there are none. With `inverse` the value is
   * updated from the window before, and once there was a row it never vanishes.
   */
  reduceByWindow(f: (a: T, b: T) => T, length: Duration, slide?: Duration, options?: UidOption): DStream<T>;
  reduceByWindow(
    f: (a: T, b: T) => T,
    inverse: (a: T, b: T) => T,
    length: Duration,
    slide?: Duration,
    options?: UidOption,
  ): DStream<T>;
  reduceByWindow(f: (a: T, b: T) => T, ...rest: readonly unknown[]): DStream<T> {
    requireFunction('reduceByWindow', f);
    const window = windowArguments<null, T>(rest);
    return reduceWindow('reduceByWindow', this, f, window);
  }

  /** One row: how many rows the last `length` has. None before the first row ever, 0 when the window is empty later. */
  countByWindow(length: Duration, slide?: Duration, options?: UidOption): DStream<number> {
    const ones = this.map(() => 1);
    return reduceWindow<number>('countByWindow', ones, add, { inverse: subtract, length, slide, options });
  }

  /** How often each row occurs in the last `length`; rows that left are gone. */
  countByValueAndWindow(length: Duration, slide?: Duration, options: StatefulOptions = {}): DStream<[T, number]> {
    const ones = this.map((row): [T, number] => [row, 1]);
    return new DStream(
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

  /** Runs `body` on the RDD of every batch, in order of registration. At least once: see {@link BatchInfo} for what to key a write with. */
  foreachRDD(body: ForeachBody<T>, options: UidOption = {}): void {
    requireFunction('foreachRDD', body);
    const uid = this.node.graph.assignUid('foreachRDD', options.uid);
    this.node.graph.addOutput({ kind: 'foreach', uid, stream: this.node, body: body as ForeachBody<unknown> });
  }

  /** Runs `body` on the rows of every partition of every batch. At least once, and again for each try of a task. */
  foreachPartition(body: PartitionBody<T>, options: UidOption = {}): void {
    requireFunction('foreachPartition', body);
    const uid = this.node.graph.assignUid('foreachPartition', options.uid);
    const run: ForeachBody<T> = (rdd, _time, batch) =>
      rdd.foreachPartition((rows, partition) => body(rows, { ...batch, partition }));
    this.node.graph.addOutput({ kind: 'foreach', uid, stream: this.node, body: run as ForeachBody<unknown> });
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

  /**
   * Writes every batch that has rows as lines of text, exactly once, to `prefix-<batch time in ms>[.suffix]`. The prefix is a
   * storage URL or path; its last part begins the names.
   */
  saveAsTextFiles(prefix: string, suffix?: string, options: StoreOptions & UidOption = {}): void {
    this.#saveFiles('saveAsTextFiles', 'text', { prefix, suffix }, options);
  }

  /** The same with rows of any plain data, as object files: `rdd.context.objectFile(url)` reads them. */
  saveAsObjectFiles(prefix: string, suffix?: string, options: StoreOptions & UidOption = {}): void {
    this.#saveFiles('saveAsObjectFiles', 'objects', { prefix, suffix }, options);
  }

  #saveFiles(operator: string, format: FileFormat, place: FilePlace, options: StoreOptions & UidOption): void {
    const { uid: given, ...rest } = options;
    const { graph } = this.node;
    const sink = graph.fileSink(format, place, rest);
    graph.addOutput({ kind: 'sink', uid: graph.assignUid(operator, given), stream: this.node, sink });
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
    partitions?: Partitioning,
  ): DStream<[K, Widen<V>]>;
  reduceByKey<K, V>(this: DStream<readonly [K, V]>, f: (a: V, b: V) => V, partitions?: Partitioning): DStream<[K, V]>;
  reduceByKey<K, V>(this: DStream<readonly [K, V]>, f: (a: V, b: V) => V, partitions?: Partitioning): DStream<[K, V]> {
    requireFunction('reduceByKey', f);
    const stage = ownCopy(makeCombineStage)();
    return derive('reduceByKey', this, (rdd) => reduceByKey(rdd, f, partitions, stage));
  }

  /** All values of each key within a batch, in arrival order. Moves every value: prefer reduceByKey. */
  groupByKey<K, V>(this: DStream<readonly [K, V]>, partitions?: Partitioning): DStream<[K, V[]]> {
    return derive('groupByKey', this, (rdd) => rdd.groupByKey(partitions));
  }

  /** Combines the values of each key within a batch, before the shuffle too unless `mapSideCombine` is false. */
  combineByKey<K, V, C>(
    this: DStream<readonly [K, V]>,
    aggregator: Aggregator<V, C>,
    partitions?: Partitioning,
  ): DStream<[K, C]> {
    return derive('combineByKey', this, (rdd) => rdd.combineByKey(aggregator, partitions));
  }

  /** Pairs of values of keys that both batches have. Both streams must have the same slide. */
  join<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V, W]]> {
    return combine('join', this, other, (left, right) => left.join(right, partitions));
  }

  /** Every key of this stream; undefined where the other has no value. */
  leftOuterJoin<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V, W | undefined]]> {
    return combine('leftOuterJoin', this, other, (left, right) => left.leftOuterJoin(right, partitions));
  }

  /** Every key of the other stream; undefined where this one has no value. */
  rightOuterJoin<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V | undefined, W]]> {
    return combine('rightOuterJoin', this, other, (left, right) => left.rightOuterJoin(right, partitions));
  }

  /** Every key that either has; undefined where one has no value. */
  fullOuterJoin<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V | undefined, W | undefined]]> {
    return combine('fullOuterJoin', this, other, (left, right) => left.fullOuterJoin(right, partitions));
  }

  /** The values of both streams for every key that either has. */
  cogroup<K, V, W>(
    this: DStream<readonly [K, V]>,
    other: DStream<readonly [K, W]>,
    partitions?: Partitioning,
  ): DStream<[K, [V[], W[]]]> {
    return combine('cogroup', this, other, (left, right) => left.cogroup(right, partitions));
  }

  /** All values of each key in the last `length`, batch after batch. Keeps every value: prefer reduceByKeyAndWindow. */
  groupByKeyAndWindow<K, V>(
    this: DStream<readonly [K, V]>,
    length: Duration,
    slide?: Duration,
    options: StatefulOptions = {},
  ): DStream<[K, V[]]> {
    const { partitioner, numPartitions } = options;
    const grouped = this.groupByKey(partitioner ?? numPartitions);
    return new DStream(
      new KeyedWindowNode<K, V[]>(grouped.node, {
        operator: 'groupByKeyAndWindow',
        reduce: (a, b) => a.concat(b),
        inverse: undefined,
        length,
        slide,
        foldsAfresh: true,
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
    const { options, ...window } = windowArguments<K, V>(rest);
    const operator = 'reduceByKeyAndWindow';
    return new DStream(new KeyedWindowNode<K, V>(this.node, { operator, reduce: f, ...window, ...options }));
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
    return new DStream(
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
    options: UidOption = {},
  ): MapWithStateDStream<K, S, Exclude<M, undefined>> {
    return new MapWithStateDStream(new MapWithStateNode<K, V, S, M>(this.node, spec, options));
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
    return new DStream(new StateSnapshotNode<K, S>(this.#states));
  }
}

/** Rows of all streams, in the order of the streams. They must have one context and one slide. */
export function unionStreams<T>(streams: readonly DStream<T>[]): DStream<T> {
  const nodes = streams.map(({ node }) => node);
  return new DStream(
    new PerBatchNode<T>('union', nodes, (rdds, batch) => batch.rdds.union(rdds as readonly RDD<T>[]), true),
  );
}

/** The RDDs of a list of streams, in their order. */
export type RddsOf<S extends readonly DStream<unknown>[]> = {
  [I in keyof S]: S[I] extends DStream<infer T> ? RDD<T> : never;
};

/** `f` makes one RDD per batch from those of all streams. */
export function transformStreams<U>(
  operator: string,
  streams: readonly DStream<unknown>[],
  f: (rdds: readonly RDD<unknown>[], time: Time) => RDD<U>,
): DStream<U> {
  requireFunction(operator, f);
  const nodes = streams.map(({ node }) => node);
  return new DStream(
    new PerBatchNode<U>(operator, nodes, (rdds, batch) => requireRdd(operator, f(rdds, batch.time)), true),
  );
}

interface WindowArguments<K, V> {
  readonly inverse: ((a: V, b: V) => V) | undefined;
  readonly length: Duration;
  readonly slide: Duration | undefined;
  readonly options: KeyedWindowOptions<K, V> | undefined;
}

/** `[inverse], length, [slide], [options]`. */
function windowArguments<K, V>(rest: readonly unknown[]): WindowArguments<K, V> {
  const inverse = typeof rest[0] === 'function' ? (rest[0] as (a: V, b: V) => V) : undefined;
  const [length, slide, options] = inverse === undefined ? rest : rest.slice(1);
  return { inverse, length, slide, options } as WindowArguments<K, V>;
}

/** A window over a single key. */
function reduceWindow<T>(
  operator: string,
  stream: DStream<T>,
  reduce: (a: T, b: T) => T,
  { inverse, length, slide, options }: WindowArguments<null, T>,
): DStream<T> {
  const keyed = derive(operator, stream, (rdd) => rdd.map((row): [null, T] => [null, row]));
  const window = { operator, reduce, inverse, length, slide, uid: options?.uid, numPartitions: 1 };
  return derive(operator, new DStream(new KeyedWindowNode<null, T>(keyed.node, window)), (rdd) => rdd.values());
}

function add(a: number, b: number): number {
  return a + b;
}

function subtract(a: number, b: number): number {
  return a - b;
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
  return new DStream(
    new PerBatchNode<U>(operator, nodes, ([a, b], batch) => build(a as RDD<A>, b as RDD<B>, batch), true),
  );
}

function requireFunction(operator: string, f: unknown): void {
  if (typeof f === 'function') return;
  throw new TidemarkError('OPTION_INVALID', `${operator}(${String(f)}): the argument must be a function.`);
}

function requireRdd<T>(operator: string, rdd: unknown): RDD<T> {
  if (rdd instanceof RDD) return rdd;
  throw new TidemarkError(
    'GRAPH_INVALID',
    `The function of ${operator} must return an RDD, at once, not ${describeKind(rdd)}.`,
  );
}
