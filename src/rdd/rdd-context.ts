import { TidemarkError } from '../base/errors.ts';
import { type Random, SystemRandom } from '../base/random.ts';
import { Turns } from '../base/turns.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import { parseStoreUrl } from '../storage/store-url.ts';
import {
  Accumulator,
  type AccumulatorSpec,
  CollectionAccumulator,
  DoubleAccumulator,
  LongAccumulator,
} from './accumulator.ts';
import { Broadcast } from './broadcast.ts';
import { completingCheckpoints } from './checkpoint.ts';
import { DerivedRDD } from './derived-rdd.ts';
import type { LoopWatch, RddOrigin } from './loop-watch.ts';
import { objectFile } from './object-file.ts';
import { samePartitioner } from './partitioner.ts';
import type { RDD, RddSpec } from './rdd.ts';
import { pushRows } from './row-loops.ts';
import { inOrder, type JobRunner, pipeOther, type UpdateReceiver } from './task.ts';
import { textFile, wholeFiles, wholeTextFiles } from './text-file.ts';
import { checkInteger } from './validation.ts';

export interface RddContextOptions {
  readonly runner: JobRunner;
  /**
   * Partitions of a shuffle when neither the call nor an existing partitioner says how many, and of parallelize.
   * Not set: as many as the largest input has, and 2 for parallelize.
   */
  readonly defaultParallelism?: number | undefined;
  /** Seeds of samples, names of checkpoints and commit ids. Default: the system's. */
  readonly random?: Random | undefined;
  /** The runner's, if it has them: turns of one event loop are counted in one place. Default: by the wall clock. */
  readonly turns?: Turns | undefined;
  /** The runner's, if it has one. */
  readonly watch?: LoopWatch | undefined;
}

/** Where RDD checkpoints go: in `folder` below `url`. */
interface CheckpointDir {
  /** Canonical. */
  readonly url: string;
  /** As it is opened, secrets included: a function, so that who prints the context does not print them. */
  readonly place: () => { readonly url: string; readonly options: StoreOptions };
  readonly folder: string;
}

/** What RDDs need from their engine, and the place where RDDs are made from nothing. */
export class RddContext {
  /** Also does the checkpoints that were asked for, after each job. */
  readonly runner: JobRunner;
  readonly defaultParallelism: number;
  /** False: `defaultParallelism` is nobody's wish, and shuffles look at their inputs. */
  readonly isParallelismSet: boolean;
  readonly random: Random;
  /** For long work within a task. */
  readonly turns: Turns;
  readonly watch: LoopWatch | undefined;
  /** The operator that makes RDDs just now: what it makes belongs to it. */
  origin: RddOrigin | undefined;
  #checkpointDir: CheckpointDir | undefined;
  readonly #accumulators: UpdateReceiver[] = [];
  #isProgramOpen = true;
  #pendingCheckpoints = 0;
  #lastId = -1;

  constructor(options: RddContextOptions) {
    this.runner = completingCheckpoints(options.runner, () => this.#pendingCheckpoints > 0);
    this.defaultParallelism = checkInteger('defaultParallelism', options.defaultParallelism ?? 2, 1);
    this.isParallelismSet = options.defaultParallelism !== undefined;
    this.random = options.random ?? new SystemRandom();
    this.turns = options.turns ?? new Turns();
    this.watch = options.watch;
  }

  /** The rows as an RDD; slice i holds rows [floor(i*len/n), floor((i+1)*len/n)). The array is not copied. */
  parallelize<T>(rows: readonly T[], numPartitions: number = this.defaultParallelism): RDD<T> {
    if (!Array.isArray(rows)) throw new TidemarkError('OPTION_INVALID', 'parallelize needs an array of rows.');
    checkInteger('numPartitions', numPartitions, 1);
    const bound = (i: number): number => Math.floor((i * rows.length) / numPartitions);
    return this.rdd({
      name: 'parallelize',
      numPartitions,
      dependencies: [],
      pipe: (partition, task, push) => pushRows(rows, push, task, bound(partition), bound(partition + 1)),
    });
  }

  /** One partition per array, in order. The arrays are not copied. */
  fromPartitions<T>(partitions: readonly (readonly T[])[]): RDD<T> {
    return this.rdd({
      name: 'fromPartitions',
      numPartitions: partitions.length,
      dependencies: [],
      pipe: (partition, task, push) => pushRows(partitions[partition]!, push, task),
    });
  }

  /** No rows, no partitions. */
  emptyRDD<T>(): RDD<T> {
    return this.rdd({ name: 'emptyRDD', numPartitions: 0, dependencies: [], pipe: () => {} });
  }

  /**
   * All rows of all RDDs: the partitions of the first, then those of the second, and so on. When all have the same
   * partitioner it is kept, and partition i is the concatenation of their partitions i. RDDs without partitions don't count.
   */
  union<T>(rdds: readonly RDD<T>[]): RDD<T> {
    for (const rdd of rdds) {
      if (rdd.context !== this) throw new TidemarkError('GRAPH_INVALID', 'union: an RDD belongs to another context.');
    }
    const parts = rdds.filter((rdd) => rdd.numPartitions > 0);
    const [first] = parts;
    if (first === undefined) return rdds[0] ?? this.emptyRDD();
    if (parts.length === 1) return first;
    if (parts.every((rdd) => samePartitioner(rdd.partitioner, first.partitioner))) {
      return this.rdd({
        name: 'union',
        numPartitions: first.numPartitions,
        partitioner: first.partitioner,
        dependencies: parts,
        pipe: (partition, task, push) => inOrder(parts.length, (i) => parts[i]!.pipe(partition, task, push)),
      });
    }
    const places = parts.flatMap((rdd) =>
      Array.from({ length: rdd.numPartitions }, (_, partition) => ({ rdd, partition })),
    );
    return this.rdd({
      name: 'union',
      numPartitions: places.length,
      dependencies: parts,
      pipe: (partition, task, push) => pipeOther(places[partition]!.rdd, places[partition]!.partition, task, push),
    });
  }

  // From files. The URL is looked at now (that takes a promise), the objects are read by each job.

  /** The lines of a text object, or of all objects in a folder, one partition each. @throws SOURCE_NOT_FOUND */
  textFile(url: string, options: StoreOptions = {}): Promise<RDD<string>> {
    return textFile(this, url, options);
  }

  /** What saveAsObjectFile wrote. @throws SOURCE_NOT_FOUND; a job: CHECKPOINT_CORRUPT */
  objectFile<T>(url: string, options: StoreOptions = {}): Promise<RDD<T>> {
    return objectFile(this, url, options);
  }

  /** One row per object of a folder: its URL and its text. @param numPartitions at most so many. @throws SOURCE_NOT_FOUND */
  wholeTextFiles(
    url: string,
    numPartitions: number = this.defaultParallelism,
    options: StoreOptions = {},
  ): Promise<RDD<[string, string]>> {
    return wholeTextFiles(this, url, numPartitions, options);
  }

  /** One row per object of a folder: its URL and its bytes. @param numPartitions at most so many. @throws SOURCE_NOT_FOUND */
  binaryFiles(
    url: string,
    numPartitions: number = this.defaultParallelism,
    options: StoreOptions = {},
  ): Promise<RDD<[string, Uint8Array]>> {
    return wholeFiles(this, 'binaryFiles', url, numPartitions, options);
  }

  // Shared with tasks

  /** A value for all tasks; see Broadcast. */
  broadcast<T>(value: T): Broadcast<T> {
    return new Broadcast(this.nextId(), value);
  }

  /** Of any values; see Accumulator for what counts. */
  accumulator<V, A, Out>(spec: AccumulatorSpec<V, A, Out>, name?: string): Accumulator<V, A, Out> {
    return this.#known(new Accumulator(spec, name));
  }

  longAccumulator(name?: string): LongAccumulator {
    return this.#known(new LongAccumulator(name));
  }

  doubleAccumulator(name?: string): DoubleAccumulator {
    return this.#known(new DoubleAccumulator(name));
  }

  collectionAccumulator<T>(name?: string): CollectionAccumulator<T> {
    return this.#known(new CollectionAccumulator<T>(name));
  }

  /** For worker threads: the accumulators of the program, in order of creation, which is the same on every thread. */
  get programAccumulators(): readonly UpdateReceiver[] {
    return this.#accumulators;
  }

  /** The program is defined: accumulators that are made from now on belong to a batch. */
  closeProgram(): void {
    this.#isProgramOpen = false;
  }

  #known<A extends { readonly receiver: UpdateReceiver }>(accumulator: A): A {
    if (this.#isProgramOpen) this.#accumulators.push(accumulator.receiver);
    return accumulator;
  }

  // Checkpoints of RDDs

  /** Where `RDD.checkpoint()` writes: in a new folder below `url`, which nobody deletes. @throws URL_INVALID */
  setCheckpointDir(url: string, options: StoreOptions = {}): void {
    this.#checkpointDir = { url: parseStoreUrl(url).url, place: () => ({ url, options }), folder: this.random.id() };
  }

  get checkpointDir(): CheckpointDir | undefined {
    return this.#checkpointDir;
  }

  /** For checkpoint.ts: while none is pending, jobs need not look for any. */
  notePendingCheckpoint(change: 1 | -1): void {
    this.#pendingCheckpoints += change;
  }

  /** For RDDs and broadcasts: ids in order of creation. */
  nextId(): number {
    return ++this.#lastId;
  }

  /** An RDD from its parts: how new kinds are made without a class of their own. */
  rdd<T>(spec: RddSpec<T>): RDD<T> {
    return new DerivedRDD(this, spec);
  }
}
