import { RDD } from '../rdd/rdd.ts';
import type { TaskContext } from '../rdd/task.ts';

/** Rows that worker threads compute; a partition is computed by the worker where it is at home. */
export class RemoteRDD<T> extends RDD<T> {
  readonly numPartitions: number;
  readonly dependencies = [];
  readonly #read: (partition: number, push: (row: T) => void) => Promise<void>;

  /** `local`: what this thread would compute. It never does. */
  constructor(local: RDD<T>, read: (partition: number, push: (row: T) => void) => Promise<void>) {
    super(local.context, local.name, local.partitioner);
    this.numPartitions = local.numPartitions;
    this.#read = read;
  }

  override pipe(partition: number, _task: TaskContext, push: (row: T) => void): Promise<void> {
    return this.#read(partition, push);
  }
}
