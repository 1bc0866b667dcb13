import { ActionMethods } from './action-methods.ts';
import { markForCheckpoint, type RddCheckpoint } from './checkpoint.ts';
import { type CommandOptions, pipeCommand } from './command.ts';
import { debugString } from './debug-string.ts';
import { type KeptRows, keeping } from './kept-rows.ts';
import * as layout from './layout-operations.ts';
import type { RddOrigin } from './loop-watch.ts';
import type { Partitioner } from './partitioner.ts';
import type { RddContext } from './rdd-context.ts';
import type { Comparator, Partitioning, Row } from './row-types.ts';
import { sample } from './sampling.ts';
import * as sets from './set-operations.ts';
import type { ShuffleDependency } from './shuffle-dependency.ts';
import { sortBy } from './sort-operations.ts';
import { filterStage, flatMapStage, keyByStage, mapStage, type Stage } from './stages.ts';
import type { TaskContext } from './task.ts';
import { checkFunction } from './validation.ts';
import * as zips from './zip-operations.ts';

export type { Comparator, Partitioning, Row, Widen } from './row-types.ts';

/** What an RDD is computed from: another RDD, partition by partition, or a shuffle. */
export type Dependency = RDD<unknown> | ShuffleDependency;

/** How the rows of a partition are streamed. */
export type Pipe<T> = (partition: number, task: TaskContext, push: (row: T) => void) => void | Promise<void>;

/** The parts of an RDD made without a class of its own. */
export interface RddSpec<T> {
  readonly name: string;
  readonly numPartitions: number;
  readonly partitioner?: Partitioner | undefined;
  readonly dependencies: readonly Dependency[];
  readonly timesItself?: boolean | undefined;
  readonly pipe: Pipe<T>;
}

/**
 * A partitioned collection that is computed when an action asks for it. Source: Spark's RDD.
 *
 * Building one is synchronous and computes nothing; actions return promises. Rows travel by reference: a function must
 * not change the rows or values it is given. Only the first argument of a reducing function (`reduce`, `reduceByKey`,
 * `fold`, `aggregateByKey`, `combineByKey` and so on) is its own and may be changed and returned.
 * Functions may run more than once for the same row: on a retry, and for every action unless the RDD is persisted.
 *
 * Here stand the transformations of any rows, and what is kept of an RDD. Actions are in action-methods.ts, what only
 * `[key, value]` rows have in pair-methods.ts. docs/rdd.md lists everything with its cost.
 *
 * A subclass says how a partition is computed (`pipe`) and from what (`dependencies`). It must not cut off `push`
 * exceptions: an action that has enough rows stops a partition by throwing through `push`.
 */
export abstract class RDD<T> extends ActionMethods<T> {
  readonly context: RddContext;
  /** Unique within the context, in order of creation. */
  readonly id: number;
  readonly partitioner: Partitioner | undefined;
  abstract readonly numPartitions: number;
  abstract readonly dependencies: readonly Dependency[];
  /** True: with worker threads, a partition can be computed only in the thread it belongs to, because what it reads is there. */
  readonly isAtHome: boolean = false;
  /** True: its functions of the program are not called within row loops, and it tells `TaskContext.watch` of them itself. */
  readonly timesItself: boolean = false;
  /** The operator of a graph that made it. */
  readonly origin: RddOrigin | undefined;
  #name: string;
  #kept: KeptRows<T> | undefined;
  #checkpoint: RddCheckpoint | undefined;
  #stored: Pipe<T> | undefined;

  constructor(context: RddContext, name: string, partitioner?: Partitioner | undefined) {
    super();
    this.context = context;
    this.id = context.nextId();
    this.partitioner = partitioner;
    this.origin = context.origin;
    this.#name = name;
  }

  /** The operator, or what setName said. Messages and the UI call a stage by the name of its last RDD. */
  get name(): string {
    return this.#name;
  }

  setName(name: string): this {
    this.#name = name;
    return this;
  }

  /**
   * Streams the rows of a partition into `push`, in order, one synchronous call per row; returns a promise only when it
   * had to wait. Every call streams all rows again, and calls for different partitions may overlap.
   */
  abstract pipe(partition: number, task: TaskContext, push: (row: T) => void): void | Promise<void>;

  /**
   * A narrow operator around `push`: consecutive ones run fused, row by row, without a collection in between.
   * @param shared when `stage` is an own copy: the same, which a profile may run instead
   */
  through<U>(name: string, stage: Stage<T, U>, preservesPartitioning = false, shared: Stage<T, U> = stage): RDD<U> {
    const rdd: RDD<U> = this.context.rdd({
      name,
      numPartitions: this.numPartitions,
      partitioner: preservesPartitioning ? this.partitioner : undefined,
      dependencies: [this],
      pipe: (partition, task, push) => {
        const profile = task.watch?.profile;
        return this.pipe(partition, task, profile === undefined ? stage(push) : profile.around(rdd, shared(push)));
      },
    });
    return rdd;
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
    return layout.mapPartitions(this, 'mapPartitions', f, preservesPartitioning);
  }

  /** mapPartitions with Spark's order of arguments. */
  mapPartitionsWithIndex<U extends Row>(
    f: (partition: number, rows: readonly T[]) => Iterable<U>,
    preservesPartitioning = false,
  ): RDD<U> {
    checkFunction('mapPartitionsWithIndex: f', f);
    return layout.mapPartitions(this, 'mapPartitionsWithIndex', (rows, i) => f(i, rows), preservesPartitioning);
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

  /** Fewer partitions by joining neighbours, without a shuffle; never more than there are. `shuffle`: as repartition. */
  coalesce(numPartitions: number, shuffle = false): RDD<T> {
    return shuffle ? layout.repartition(this, numPartitions, 'coalesce') : layout.coalesce(this, numPartitions);
  }

  /**
   * Each row with probability `fraction`; with replacement, each row as often as a Poisson draw of that mean says.
   * The same seed on the same partitions gives the same rows. Default: from the context's random, once for this RDD.
   */
  sample(withReplacement: boolean, fraction: number, seed?: number): RDD<T> {
    return sample(this, withReplacement, fraction, seed);
  }

  /** Rows side by side. @throws OPTION_INVALID for another number of partitions; the job: ZIP_MISMATCH for another number of rows. */
  zip<U>(other: RDD<U>): RDD<[T, U]> {
    return zips.zip(this, other);
  }

  /** Partitions side by side: `f` gets the rows of partition i of each. @throws OPTION_INVALID for another number of partitions */
  zipPartitions<A, U extends Row>(a: RDD<A>, f: (rows: readonly T[], a: readonly A[]) => Iterable<U>): RDD<U>;
  zipPartitions<A, B, U extends Row>(
    a: RDD<A>,
    b: RDD<B>,
    f: (rows: readonly T[], a: readonly A[], b: readonly B[]) => Iterable<U>,
  ): RDD<U>;
  zipPartitions<A, B, C, U extends Row>(
    a: RDD<A>,
    b: RDD<B>,
    c: RDD<C>,
    f: (rows: readonly T[], a: readonly A[], b: readonly B[], c: readonly C[]) => Iterable<U>,
  ): RDD<U>;
  zipPartitions<U>(...args: readonly unknown[]): RDD<U> {
    return zips.zipPartitions<U>(this, args);
  }

  /** Pairs every row with its index over all partitions. Runs the rows twice unless persisted or in one partition. */
  zipWithIndex(): RDD<[T, number]> {
    return zips.zipWithIndex(this);
  }

  /** Row k of partition p of n gets k * n + p: unique, with gaps, and without a job. */
  zipWithUniqueId(): RDD<[T, number]> {
    return zips.zipWithUniqueId(this);
  }

  /** Every row here with every row there: partition i * m + j holds partition i here with partition j of m there. */
  cartesian<U>(other: RDD<U>): RDD<[T, U]> {
    return zips.cartesian(this, other);
  }

  /**
   * The lines an external program prints when it is given the rows of a partition as lines. One process per partition.
   * Spark's `pipe`. No shell: a text is cut at white space. @param command program and arguments
   */
  pipeCommand(command: string | readonly string[], options: CommandOptions = {}): RDD<string> {
    return pipeCommand(this, command, options);
  }

  // Wide transformations

  /** Exactly `numPartitions`, rows dealt out in turn. */
  repartition(numPartitions: number): RDD<T> {
    return layout.repartition(this, numPartitions, 'repartition');
  }

  /** One of each, compared as keys are (by value). */
  distinct(numPartitions: number = Math.max(this.numPartitions, 1)): RDD<T> {
    return sets.distinct(this, numPartitions);
  }

  /** One of each row that is in both. Rows are compared as keys are. */
  intersection(other: RDD<T>, partitioning?: Partitioning): RDD<T> {
    return sets.intersection(this, other, partitioning);
  }

  /** The rows that are not in `other`, repeated ones too. Rows are compared as keys are. Default: as many partitions as here. */
  subtract(other: RDD<T>, partitioning?: Partitioning): RDD<T> {
    return sets.subtract(this, other, partitioning);
  }

  groupBy<K>(f: (row: T) => K, partitioning?: Partitioning): RDD<[K, T[]]> {
    return this.keyBy(f).groupByKey(partitioning);
  }

  /** Total order over all partitions, stable, equal keys in one partition. All rows are held in memory once. Default: as many partitions as here. */
  sortBy<K>(f: (row: T) => K, ascending = true, numPartitions?: number, compare?: Comparator<K>): RDD<T> {
    return sortBy(this, 'sortBy', f, ascending, numPartitions, compare);
  }

  // What is kept of it

  /** Keeps the rows of every partition in this object when they are first computed completely. */
  persist(): this {
    if (this.#kept !== undefined) return this;
    this.#kept = new Map();
    this.#chooseReader();
    return this;
  }

  /** The same as persist. */
  cache(): this {
    return this.persist();
  }

  /** Forgets kept rows; they are computed again when needed. What a checkpoint holds stays. */
  unpersist(): this {
    this.#kept = undefined;
    this.#chooseReader();
    return this;
  }

  get isPersisted(): boolean {
    return this.#kept !== undefined;
  }

  /** True when the rows of all partitions are kept: nothing behind this RDD will be computed. */
  get isFullyKept(): boolean {
    return this.#kept !== undefined && this.#kept.size === this.numPartitions;
  }

  /**
   * Marks this RDD: after the next job that needs it, its rows are written to the context's checkpoint directory (rows must
   * be plain data), and from then on it is read from there; what it was computed from is let go. Writing is a job of its
   * own: persist first, or the rows are computed twice. @throws OPTION_INVALID when the context has no directory
   */
  checkpoint(): void {
    if (!this.isCheckpointed) this.#checkpoint ??= markForCheckpoint(this, 'store');
  }

  /** The same in memory: persists, and lets the lineage go after the next job. Nothing is written, any rows will do. */
  localCheckpoint(): this {
    if (this.isCheckpointed) return this;
    this.#checkpoint = markForCheckpoint(this, 'memory');
    return this.persist();
  }

  /** True once the rows have been written and the lineage is cut. */
  get isCheckpointed(): boolean {
    return this.#stored !== undefined;
  }

  /** Where the rows are stored; undefined before that, and for a local checkpoint. */
  getCheckpointFile(): string | undefined {
    return this.isCheckpointed ? this.#checkpoint?.url : undefined;
  }

  /** For checkpoint.ts: what is to be done after a job, if anything. */
  get pendingCheckpoint(): RddCheckpoint | undefined {
    return this.isCheckpointed ? undefined : this.#checkpoint;
  }

  /** For checkpoint.ts: from now on rows come from `read`, and nothing holds what this was computed from. */
  cutLineage(read: Pipe<unknown>): void {
    this.#stored = read as Pipe<T>;
    Object.defineProperty(this, 'dependencies', { value: [], enumerable: true, configurable: true });
    this.releaseLineage();
    this.#chooseReader();
  }

  /** A subclass that holds parents otherwise than in `dependencies` lets them go. `pipe` is not called any more. */
  protected releaseLineage(): void {}

  getNumPartitions(): number {
    return this.numPartitions;
  }

  /** The lineage as a tree; a shuffle is drawn as `+-`. */
  toDebugString(): string {
    return debugString(this);
  }

  /** An own property in front of the method: every reader meets the kept rows, and others pay nothing for the choice. */
  #chooseReader(): void {
    // Uncovers the method of the class.
    delete (this as { pipe?: unknown }).pipe;
    const compute: Pipe<T> = this.#stored ?? this.pipe.bind(this);
    const kept = this.#kept;
    if (kept !== undefined) this.pipe = keeping(kept, compute);
    else if (this.#stored !== undefined) this.pipe = compute;
  }
}
