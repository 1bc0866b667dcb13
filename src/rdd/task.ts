import { AsyncLocalStorage } from 'node:async_hooks';
import type { Turns } from '../base/turns.ts';
import type { Place } from './loop-profile.ts';
import type { TaskWatch } from './loop-watch.ts';
import type { RDD } from './rdd.ts';

/** What a running task knows of itself. */
export interface TaskContext {
  readonly partition: number;
  /** 0 for the first try, as in Spark. A partition with side effects of its own undoes those of the try before when it sees a higher one. */
  readonly attempt: number;
  /** Aborts when the job is cancelled; long work between rows should look at it. */
  readonly signal: AbortSignal;
  /** Name of the RDD the stage ends in, for messages. */
  readonly stageName: string;
  /** For RDDs, see row-loops.ts. Undefined: nobody else needs this thread's event loop. */
  readonly turns?: Turns | undefined;
  /** Undefined: nobody wants to know whose function holds up the event loop. */
  readonly watch?: TaskWatch | undefined;
}

/** The task this code runs in, as Spark's TaskContext.get(); undefined outside of tasks, as in the body of foreachRDD. */
export const TaskContext: { get(): TaskContext | undefined } = {
  get: () => attempts.getStore()?.context,
};

/** What collects updates of tasks: takes over those of a try that succeeded. */
export interface UpdateReceiver {
  merge(update: unknown): void;
}

/** One try of a task, and what it has added to accumulators so far. */
interface TaskAttempt {
  readonly context: TaskContext;
  readonly updates: Map<UpdateReceiver, unknown>;
  hasEnded: boolean;
}

const attempts = new AsyncLocalStorage<TaskAttempt>();

/** For accumulators: the try this code runs in. */
export function currentAttempt(): Omit<TaskAttempt, 'context'> | undefined {
  return attempts.getStore();
}

/**
 * For job runners: runs one try of a task. What it adds to accumulators counts when it succeeds (or, for a job inside of
 * a task, when that task does), and is dropped when it fails.
 */
export async function runAttempt<R>(context: TaskContext, work: () => R | Promise<R>): Promise<R> {
  const { result, updates } = await runCollecting(context, work);
  for (const [receiver, update] of updates) receiver.merge(update);
  return result;
}

/** The same, but what the try adds to accumulators is handed back: it counts on the thread that asked for the task. */
export async function runCollecting<R>(
  context: TaskContext,
  work: () => R | Promise<R>,
): Promise<{ readonly result: R; readonly updates: ReadonlyMap<UpdateReceiver, unknown> }> {
  const attempt: TaskAttempt = { context, updates: new Map(), hasEnded: false };
  try {
    const result = await attempts.run(attempt, work);
    return { result, updates: attempt.updates };
  } finally {
    attempt.hasEnded = true;
  }
}

/** What `work` adds to accumulators counts now, whatever task it is called in. */
export function outsideOfTasks<R>(work: () => R): R {
  return attempts.exit(work);
}

/**
 * Runs jobs: the port between an RDD and whatever executes it.
 *
 * `run` first materialises every shuffle the lineage of `rdd` needs, then calls `task` once per partition (all, or those
 * given, in that order) and resolves with the results in the same order. A task that throws is tried again; every try,
 * also on the map side of a shuffle, goes through `runAttempt`.
 * @throws TASK_FAILED when a function of the program threw in every try; CANCELLED; other TidemarkErrors as they are.
 */
export interface JobRunner {
  run<T, R>(
    rdd: RDD<T>,
    task: (partition: number, context: TaskContext) => R | Promise<R>,
    partitions?: readonly number[],
  ): Promise<R[]>;
  /** Names a shuffle that is made now, the same on all threads that run the program. Absent: there is one thread. */
  nameShuffle?(): string;
  /** See {@link pipeOther}. Absent: all partitions are computed in this thread. */
  pipeOther?<T>(rdd: RDD<T>, partition: number, task: TaskContext, push: (row: T) => void): void | Promise<void>;
}

/**
 * Streams a partition that the running task reads under another number than its own, as a union does: partition i of an
 * RDD may be at home on another thread than task i. Everything else calls `rdd.pipe` with the number it was given.
 */
export function pipeOther<T>(
  rdd: RDD<T>,
  partition: number,
  task: TaskContext,
  push: (row: T) => void,
): void | Promise<void> {
  const { runner } = rdd.context;
  return runner.pipeOther === undefined
    ? rdd.pipe(partition, task, push)
    : runner.pipeOther(rdd, partition, task, push);
}

/** Runs a function of the program that gets rows all at once. */
export function called<R>(task: TaskContext, place: Place, work: () => R): R {
  return task.watch === undefined ? work() : task.watch.call(place, work);
}

export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/** Runs `step(0)` to `step(count - 1)` one after the other; waits only for steps that return a promise. */
export function inOrder(count: number, step: (index: number) => void | Promise<void>): void | Promise<void> {
  for (let i = 0; i < count; i++) {
    const done = step(i);
    if (isPromise(done)) return restInOrder(done, i + 1, count, step);
  }
}

async function restInOrder(
  first: Promise<void>,
  next: number,
  count: number,
  step: (index: number) => void | Promise<void>,
): Promise<void> {
  await first;
  for (let i = next; i < count; i++) await step(i);
}

/** Calls `next` with the result of `done`, at once when it is no promise. */
export function andThen<A, B>(done: A | Promise<A>, next: (result: A) => B | Promise<B>): B | Promise<B> {
  return isPromise(done) ? done.then(next) : next(done);
}

const stopped = Symbol('enough rows');

/**
 * Streams a partition into `accept` until that returns false. The stop travels as an exception through the operators,
 * so nothing beyond the row that was enough is computed.
 */
export function pipeWhile<T>(
  rdd: RDD<T>,
  partition: number,
  task: TaskContext,
  accept: (row: T) => boolean,
): void | Promise<void> {
  let isDone = false;
  const push = (row: T): void => {
    // A source may swallow the exception and go on: what it pushes then is ignored.
    if (!isDone && accept(row)) return;
    isDone = true;
    throw stopped;
  };
  const settle = (error: unknown): void => {
    // The stop of a reader further out passes through: it did not set our flag.
    if (!isDone) throw error;
  };
  try {
    const done = rdd.pipe(partition, task, push);
    return isPromise(done) ? done.catch(settle) : undefined;
  } catch (error) {
    settle(error);
  }
}

/** All rows of a partition. */
export function rowsOf<T>(rdd: RDD<T>, partition: number, task: TaskContext): T[] | Promise<T[]> {
  const rows: T[] = [];
  const done = rdd.pipe(partition, task, (row) => {
    rows.push(row);
  });
  return andThen(done, () => rows);
}
