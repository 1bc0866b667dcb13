import { invariant } from '../base/errors.ts';
import { type Dependency, RDD, type RddSpec } from './rdd.ts';
import type { RddContext } from './rdd-context.ts';
import type { TaskContext } from './task.ts';

/** An RDD made from an RddSpec. */
export class DerivedRDD<T> extends RDD<T> {
  readonly numPartitions: number;
  readonly dependencies: readonly Dependency[];
  override readonly timesItself: boolean;
  #pipe: RddSpec<T>['pipe'] | undefined;

  constructor(context: RddContext, spec: RddSpec<T>) {
    super(context, spec.name, spec.partitioner);
    this.numPartitions = spec.numPartitions;
    this.dependencies = spec.dependencies;
    this.timesItself = spec.timesItself ?? false;
    this.#pipe = spec.pipe;
  }

  pipe(partition: number, task: TaskContext, push: (row: T) => void): void | Promise<void> {
    const pipe = this.#pipe;
    invariant(pipe !== undefined, `The lineage of ${this.name} was cut, and its rows are read through it.`);
    return pipe(partition, task, push);
  }

  protected override releaseLineage(): void {
    this.#pipe = undefined;
  }
}
