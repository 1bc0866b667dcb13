import { invariant } from '../base/errors.ts';
import type { RDD } from './rdd.ts';
import { andThen, type TaskContext } from './task.ts';

/** Takes the rows of one map partition and cuts them into blocks, one per reduce partition. */
export interface ShuffleWriter<T, B> {
  readonly push: (row: T) => void;
  finish(): B[];
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
  readonly name: string;
  // Any row type: a dependency on special rows must be usable where one on unknown rows is expected.
  readonly #createWriter: (mapPartition: number) => ShuffleWriter<never, B>;
  #outputs: readonly B[][] | undefined;
  #pending: Promise<void> | undefined;
  #version = 0;
  #isStale = false;

  constructor(rdd: RDD<T>, name: string, createWriter: (mapPartition: number) => ShuffleWriter<T, B>) {
    this.rdd = rdd;
    this.name = name;
    this.#createWriter = createWriter;
  }

  get isMaterialised(): boolean {
    return this.#outputs !== undefined && !this.#isStale;
  }

  /** Changes whenever the outputs are computed anew: whoever keeps something derived from them compares it. */
  get version(): number {
    return this.#version;
  }

  /** For the job runner: computes the outputs unless they are there. `runStage` runs `mapTask` for every partition of `rdd`. */
  materialise(runStage: () => Promise<readonly unknown[]>): Promise<void> {
    if (this.isMaterialised) return Promise.resolve();
    this.#pending ??= runStage()
      .then((outputs) => {
        this.#outputs = outputs as readonly B[][];
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
    return andThen(this.rdd.pipe(mapPartition, task, writer.push), () => writer.finish());
  }

  /** One block per map partition, in their order. */
  blocks(reducePartition: number): B[] {
    const outputs = this.#outputs;
    invariant(outputs !== undefined, `The shuffle ${this.name} is read before its map side ran.`);
    return outputs.map((blocks) => blocks[reducePartition]!);
  }

  /** The outputs stay readable for the other reduce partitions: blocks of different partitions share nothing. */
  invalidate(): void {
    this.#isStale = true;
  }
}

/** Any row to any partition: `partitionOf` sees the row and its index within the map partition. */
export function shuffleRows<T>(
  rdd: RDD<T>,
  name: string,
  numPartitions: number,
  partitionOf: (row: T, index: number, mapPartition: number) => number,
): ShuffleDependency<T, T[]> {
  return new ShuffleDependency(rdd, name, (mapPartition) => {
    const blocks: T[][] = Array.from({ length: numPartitions }, () => []);
    let index = 0;
    return {
      push: (row) => {
        blocks[partitionOf(row, index++, mapPartition)]!.push(row);
      },
      finish: () => blocks,
    };
  });
}
