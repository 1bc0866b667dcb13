import { invariant } from '../base/errors.ts';
import type { RddOrigin } from './loop-watch.ts';
import type { RDD } from './rdd.ts';
import { pushRows } from './row-loops.ts';
import { andThen, inOrder, type TaskContext } from './task.ts';

/** Takes the rows of one map partition and cuts them into blocks, one per reduce partition. */
export interface ShuffleWriter<T, B> {
  readonly push: (row: T) => void;
  finish(): B[];
}

/** A block as columns of plain values, to leave the thread that made it, and back: a block of its own. */
export interface BlockForm<B> {
  pack(block: B): readonly (readonly unknown[])[];
  unpack(columns: readonly (readonly unknown[])[]): B;
}

/** What a shuffle's map side has left in this thread. */
export interface ShuffleOutputs<B> {
  /** True: every block can be read here; else only those of the reduce partitions that are at home in this thread. */
  readonly isWhole: boolean;
  /** One block per map partition, in their order. */
  blocks(reducePartition: number): B[];
}

interface ShuffleOptions<B> {
  /** `all`: there is one block per map partition, which every reduce partition reads. Default `one`: block i is read by partition i. */
  readonly readers?: 'one' | 'all' | undefined;
  /** Default: blocks are arrays of rows. */
  readonly form?: BlockForm<B> | undefined;
}

/**
 * A place in a lineage where rows change partitions: all map partitions are computed, once, before any reduce partition.
 *
 * The job runner materialises it (once, also for jobs that overlap); the RDD behind it reads `blocks`. Outputs are kept
 * by reference as long as this object lives, in the order of map partitions. A reader that may have changed a block and
 * then failed calls `invalidate`, and the next try computes the map side again.
 */
export class ShuffleDependency<T = unknown, B = unknown> {
  readonly rdd: RDD<T>;
  /** The operator. */
  readonly name: string;
  /** Where several threads run the program: what they know it by. */
  readonly key: string;
  readonly readers: 'one' | 'all';
  /** The operator of a graph that made it. */
  readonly origin: RddOrigin | undefined;
  // Any row and block type: a dependency on special rows must be usable where one on unknown rows is expected.
  readonly #form: BlockForm<never>;
  readonly #createWriter: (mapPartition: number) => ShuffleWriter<never, B>;
  #outputs: ShuffleOutputs<B> | undefined;
  #pending: Promise<void> | undefined;
  #version = 0;
  #isStale = false;

  constructor(
    rdd: RDD<T>,
    name: string,
    createWriter: (mapPartition: number) => ShuffleWriter<T, B>,
    { readers = 'one', form }: ShuffleOptions<B> = {},
  ) {
    this.rdd = rdd;
    this.name = name;
    this.key = rdd.context.runner.nameShuffle?.() ?? name;
    this.readers = readers;
    this.origin = rdd.context.origin;
    this.#form = (form ?? rowsForm) as BlockForm<never>;
    this.#createWriter = createWriter;
  }

  get isMaterialised(): boolean {
    return this.#outputs !== undefined && !this.#isStale;
  }

  /** True from the first time it was materialised on, also when a reader has invalidated the outputs since. */
  get hasOutputs(): boolean {
    return this.#outputs !== undefined;
  }

  /** See {@link ShuffleOutputs}. */
  get isWhole(): boolean {
    return this.#outputs?.isWhole ?? this.readers === 'all';
  }

  /** Changes whenever the outputs are computed anew: whoever keeps something derived from them compares it. */
  get version(): number {
    return this.#version;
  }

  /** For the job runner: takes the outputs from `compute` unless they are there. It runs `mapTask` for partitions of `rdd`. */
  materialise(compute: () => Promise<ShuffleOutputs<unknown>>): Promise<void> {
    if (this.isMaterialised) return Promise.resolve();
    this.#pending ??= compute()
      .then((outputs) => {
        this.#outputs = outputs as ShuffleOutputs<B>;
        this.#isStale = false;
        this.#version++;
      })
      .finally(() => {
        this.#pending = undefined;
      });
    return this.#pending;
  }

  /** For the job runner: the blocks of one map partition. */
  mapTask(mapPartition: number, task: TaskContext): B[] | Promise<B[]> {
    const writer = this.#createWriter(mapPartition) as ShuffleWriter<T, B>;
    const push = task.watch?.into(this, writer.push) ?? writer.push;
    return andThen(this.rdd.pipe(mapPartition, task, push), () => writer.finish());
  }

  /** For the job runner: see {@link BlockForm}. */
  pack(block: B): readonly (readonly unknown[])[] {
    return this.#form.pack(block as never);
  }

  unpack(columns: readonly (readonly unknown[])[]): B {
    return this.#form.unpack(columns);
  }

  /** One block per map partition, in their order. */
  blocks(reducePartition: number): B[] {
    const outputs = this.#outputs;
    invariant(outputs !== undefined, `The shuffle ${this.name} is read before its map side ran.`);
    return outputs.blocks(reducePartition);
  }

  /** The outputs stay readable for the other reduce partitions: blocks of different partitions share nothing. */
  invalidate(): void {
    this.#isStale = true;
  }
}

/** Pairs cross in two columns: half the arrays, and columns of numbers or texts need no check of every row. */
const rowsForm: BlockForm<readonly unknown[]> = {
  pack: (rows) => (rows.every(isPair) ? [rows.map((row) => row[0]), rows.map((row) => row[1])] : [rows]),
  unpack: ([first, second]) => (second === undefined ? first! : first!.map((key, i) => [key, second[i]])),
};

function isPair(row: unknown): row is readonly [unknown, unknown] {
  // A hole is not undefined: such a row crosses as it is.
  return Array.isArray(row) && row.length === 2 && 0 in row && 1 in row;
}

/** Rows for people who move them between threads: see {@link BlockForm}. */
export function packRows(rows: readonly unknown[]): readonly (readonly unknown[])[] {
  return rowsForm.pack(rows);
}

export function unpackRows(columns: readonly (readonly unknown[])[]): readonly unknown[] {
  return rowsForm.unpack(columns);
}

/** The rows of all blocks, in their order. */
export function pushBlocks<T>(
  blocks: readonly (readonly T[])[],
  push: (row: T) => void,
  task: TaskContext,
): void | Promise<void> {
  return inOrder(blocks.length, (i) => pushRows(blocks[i]!, push, task));
}

/** Any row to any partition: `partitionOf` sees the row and its index within the map partition. `form`: of rows that are made for the shuffle. */
export function shuffleRows<T>(
  rdd: RDD<T>,
  name: string,
  numPartitions: number,
  partitionOf: (row: T, index: number, mapPartition: number) => number,
  form?: BlockForm<T[]>,
): ShuffleDependency<T, T[]> {
  const createWriter = (mapPartition: number): ShuffleWriter<T, T[]> => {
    const blocks: T[][] = Array.from({ length: numPartitions }, () => []);
    let index = 0;
    return {
      push: (row) => {
        blocks[partitionOf(row, index++, mapPartition)]!.push(row);
      },
      finish: () => blocks,
    };
  };
  return new ShuffleDependency(rdd, name, createWriter, { form });
}
