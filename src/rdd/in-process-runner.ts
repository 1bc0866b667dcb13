import type { RDD } from './rdd.ts';
import { ShuffleDependency } from './shuffle-dependency.ts';
import { StageRunner, type StageRunnerOptions } from './stage-runner.ts';
import type { JobRunner, TaskContext } from './task.ts';

export type InProcessRunnerOptions = StageRunnerOptions;

/** Runs jobs in this thread. */
export class InProcessRunner implements JobRunner {
  readonly #stages: StageRunner;

  constructor(options: InProcessRunnerOptions = {}) {
    this.#stages = new StageRunner(options);
  }

  async run<T, R>(
    rdd: RDD<T>,
    task: (partition: number, context: TaskContext) => R | Promise<R>,
    partitions: readonly number[] = Array.from({ length: rdd.numPartitions }, (_, i) => i),
  ): Promise<R[]> {
    await this.#materialise(rdd);
    return this.#stages.run(rdd, partitions, { task, beforeRetry: () => this.#materialise(rdd) });
  }

  async #materialise(rdd: RDD<unknown>): Promise<void> {
    for (const shuffle of shufflesOf(rdd)) {
      if (shuffle.isMaterialised) continue;
      await shuffle.materialise(async () => {
        const outputs = await this.run(shuffle.rdd, (partition, context) => shuffle.mapTask(partition, context));
        return { isWhole: true, blocks: (reducePartition) => outputs.map((blocks) => blocks[reducePartition]!) };
      });
    }
  }
}

/**
 * The shuffles a job on `rdd` reads from, in lineage order; nothing behind rows that are kept whole. Those behind a
 * shuffle are found when its map side runs.
 */
export function shufflesOf(
  rdd: RDD<unknown>,
  isKept: (rdd: RDD<unknown>) => boolean = isFullyKept,
): ShuffleDependency[] {
  const found = new Set<ShuffleDependency>();
  const seen = new Set<RDD<unknown>>();
  const pending: RDD<unknown>[] = [rdd];
  for (let current = pending.pop(); current !== undefined; current = pending.pop()) {
    if (seen.has(current) || isKept(current)) continue;
    seen.add(current);
    for (const dependency of current.dependencies) {
      if (dependency instanceof ShuffleDependency) found.add(dependency);
      else pending.push(dependency);
    }
  }
  return [...found];
}

function isFullyKept(rdd: RDD<unknown>): boolean {
  return rdd.isFullyKept;
}
