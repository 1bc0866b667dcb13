import { TidemarkError, toError } from '../base/errors.ts';
import { Turns } from '../base/turns.ts';
import type { RDD } from './rdd.ts';
import { ShuffleDependency } from './shuffle-dependency.ts';
import { type JobRunner, runAttempt, type TaskContext } from './task.ts';
import { checkInteger } from './validation.ts';

export interface InProcessRunnerOptions {
  /** Tries of a task before its job fails. Default 4, as in Spark. */
  readonly taskAttemptsMax?: number | undefined;
  /** Tasks that may wait for I/O at the same time. Tasks without I/O run one after the other in any case. Default 8. */
  readonly concurrentTasksMax?: number | undefined;
  /** Cancels every job of this runner. */
  readonly signal?: AbortSignal | undefined;
  /** Between tasks others have their turn when it is time. Default: by the wall clock. */
  readonly turns?: Turns | undefined;
}

type Task<R> = (partition: number, context: TaskContext) => R | Promise<R>;

/**
 * Runs jobs in this thread.
 *
 * Tasks start in the order of their partitions. When one has failed for good no further one starts, those that are under
 * way are awaited, and the error of the lowest partition is thrown: no task goes on behind the back of a failed job.
 */
export class InProcessRunner implements JobRunner {
  readonly #attemptsMax: number;
  readonly #concurrentMax: number;
  readonly #signal: AbortSignal;
  readonly #turns: Turns;

  constructor(options: InProcessRunnerOptions = {}) {
    this.#attemptsMax = checkInteger('taskAttemptsMax', options.taskAttemptsMax ?? 4, 1);
    this.#concurrentMax = checkInteger('concurrentTasksMax', options.concurrentTasksMax ?? 8, 1);
    this.#signal = options.signal ?? new AbortController().signal;
    this.#turns = options.turns ?? new Turns();
  }

  async run<T, R>(rdd: RDD<T>, task: Task<R>, partitions?: readonly number[]): Promise<R[]> {
    await this.#materialise(rdd);
    return this.#runStage(rdd, task, partitions ?? Array.from({ length: rdd.numPartitions }, (_, i) => i));
  }

  async #materialise(rdd: RDD<unknown>): Promise<void> {
    for (const shuffle of shufflesOf(rdd)) {
      await shuffle.materialise(() =>
        this.run(shuffle.rdd, (partition, context) => shuffle.mapTask(partition, context)),
      );
    }
  }

  async #runStage<R>(rdd: RDD<unknown>, task: Task<R>, partitions: readonly number[]): Promise<R[]> {
    const results: R[] = new Array(partitions.length);
    const failures = new Map<number, unknown>();
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < partitions.length && failures.size === 0) {
        const index = next++;
        try {
          results[index] = await this.#runTask(rdd, task, partitions[index]!);
          if (this.#turns.isOver) await this.#turns.give();
        } catch (error) {
          failures.set(index, error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#concurrentMax, partitions.length) }, lane));
    if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
    return results;
  }

  async #runTask<R>(rdd: RDD<unknown>, task: Task<R>, partition: number): Promise<R> {
    for (let attempt = 0; ; attempt++) {
      if (this.#signal.aborted) throw this.#cancelled(rdd);
      try {
        // A failed reader may have invalidated a shuffle it reads from.
        if (attempt > 0) await this.#materialise(rdd);
        const context: TaskContext = { partition, attempt, signal: this.#signal, stageName: rdd.name };
        return await runAttempt(context, () => task(partition, context));
      } catch (error) {
        if (this.#signal.aborted) throw this.#cancelled(rdd);
        if (error instanceof TidemarkError && error.kind !== 'unavailable') throw error;
        if (attempt + 1 < this.#attemptsMax) continue;
        if (error instanceof TidemarkError) throw error;
        throw new TidemarkError(
          'TASK_FAILED',
          `A function of the program threw in all ${this.#attemptsMax} tries of partition ${partition} of stage ` +
            `"${rdd.name}": ${toError(error).message}`,
          { cause: error, context: { stageName: rdd.name, partition, attempts: this.#attemptsMax } },
        );
      }
    }
  }

  #cancelled(rdd: RDD<unknown>): TidemarkError {
    return new TidemarkError('CANCELLED', `The job was stopped on request in stage "${rdd.name}".`, {
      cause: this.#signal.reason,
    });
  }
}

/** The shuffles a job on `rdd` has to materialise itself, in lineage order. Those behind a shuffle are found when its map side runs. */
function shufflesOf(rdd: RDD<unknown>): ShuffleDependency[] {
  const found = new Set<ShuffleDependency>();
  const seen = new Set<RDD<unknown>>();
  const pending: RDD<unknown>[] = [rdd];
  for (let current = pending.pop(); current !== undefined; current = pending.pop()) {
    if (seen.has(current) || current.isFullyKept) continue;
    seen.add(current);
    for (const dependency of current.dependencies) {
      if (!(dependency instanceof ShuffleDependency)) pending.push(dependency);
      else if (!dependency.isMaterialised) found.add(dependency);
    }
  }
  return [...found];
}
