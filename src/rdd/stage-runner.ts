import { TidemarkError, toError } from '../base/errors.ts';
import { Turns } from '../base/turns.ts';
import type { LoopWatch } from './loop-watch.ts';
import type { RDD } from './rdd.ts';
import { runAttempt, type TaskContext } from './task.ts';
import { checkInteger } from './validation.ts';

export interface StageRunnerOptions {
  /** Tries of a task before its job fails. Default 4, as in Spark. */
  readonly taskAttemptsMax?: number | undefined;
  /** Tasks that may wait for I/O at the same time. Tasks without I/O run one after the other in any case. Default 8. */
  readonly concurrentTasksMax?: number | undefined;
  /** Cancels every job of this runner. */
  readonly signal?: AbortSignal | undefined;
  /** Between tasks others have their turn when it is time. Default: by the wall clock. */
  readonly turns?: Turns | undefined;
  /** Told how long functions of the program hold up the event loop, as `turns` measures it. */
  readonly watch?: LoopWatch | undefined;
}

/** What a task does, and what is done around it. */
export interface StageWork<R> {
  readonly task: (partition: number, context: TaskContext) => R | Promise<R>;
  /** Before a task is tried again: a failed reader may have invalidated a shuffle it reads from. */
  readonly beforeRetry: () => Promise<void>;
  /** Default: {@link runAttempt}. */
  readonly attempt?: ((context: TaskContext, work: () => R | Promise<R>) => Promise<R>) | undefined;
}

const finalErrors = new WeakSet<Error>();

/** For those who have tried again themselves, as often as a task is: the task that meets the error does not. */
export function markFinal(error: unknown): void {
  if (error instanceof Error) finalErrors.add(error);
}

/**
 * Runs the tasks of one stage in this thread.
 *
 * Tasks start in the order of their partitions. When one has failed for good no further one starts, those that are under
 * way are awaited, and the error of the lowest partition is thrown: no task goes on behind the back of a failed job.
 */
export class StageRunner {
  readonly #attemptsMax: number;
  readonly #concurrentMax: number;
  readonly #signal: AbortSignal;
  readonly #turns: Turns;
  readonly #watch: LoopWatch | undefined;

  constructor(options: StageRunnerOptions = {}) {
    this.#attemptsMax = checkInteger('taskAttemptsMax', options.taskAttemptsMax ?? 4, 1);
    this.#concurrentMax = checkInteger('concurrentTasksMax', options.concurrentTasksMax ?? 8, 1);
    this.#signal = options.signal ?? new AbortController().signal;
    this.#turns = options.turns ?? new Turns();
    this.#watch = options.watch;
  }

  /** Results in the order of `partitions`. @throws TASK_FAILED, CANCELLED, TidemarkErrors of a task as they are */
  async run<R>(rdd: RDD<unknown>, partitions: readonly number[], work: StageWork<R>): Promise<R[]> {
    const results: R[] = new Array(partitions.length);
    const failures = new Map<number, unknown>();
    let next = 0;
    const lane = async (): Promise<void> => {
      for (;;) {
        // One after the other: the data of several at once would push each other out of the processor's caches.
        const free = this.#turns.free();
        if (free !== undefined) await free;
        if (next >= partitions.length || failures.size > 0) return;
        const index = next++;
        try {
          results[index] = await this.#runTask(rdd, partitions[index]!, work);
          if (this.#turns.isOver) await this.#turns.give(partitions[index]);
        } catch (error) {
          failures.set(index, error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#concurrentMax, partitions.length) }, lane));
    if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
    return results;
  }

  /** For a task that is run outside of a stage, as one for another thread. */
  context(rdd: RDD<unknown>, partition: number, attempt = 0): TaskContext {
    return {
      partition,
      attempt,
      signal: this.#signal,
      stageName: rdd.name,
      turns: this.#turns,
      watch: this.#watch?.task(rdd, partition),
    };
  }

  async #runTask<R>(
    rdd: RDD<unknown>,
    partition: number,
    { task, beforeRetry, attempt: runOnce = runAttempt }: StageWork<R>,
  ): Promise<R> {
    for (let attempt = 0; ; attempt++) {
      if (this.#signal.aborted) throw this.#cancelled(rdd);
      try {
        if (attempt > 0) await beforeRetry();
        const context = this.context(rdd, partition, attempt);
        return await runOnce(context, () => task(partition, context));
      } catch (error) {
        if (this.#signal.aborted) throw this.#cancelled(rdd);
        if (error instanceof TidemarkError && (error.kind !== 'unavailable' || finalErrors.has(error))) throw error;
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
