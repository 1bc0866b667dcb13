import type { BlockingOperator, LoopBlockedInfo } from '../base/loop-blocked.ts';
import { LoopProfile, type Place } from './loop-profile.ts';
import { RDD } from './rdd.ts';

export interface LoopWatchOptions {
  /** A function that held the loop at least so long is told of. */
  readonly thresholdMs: number;
  /** Measures pieces of work; that of Turns. */
  readonly now: () => number;
  /** For the interval between two reports of an operator. */
  readonly clockMs: () => number;
  readonly report: (info: LoopBlockedInfo) => void;
}

/** What an RDD or a call belongs to: the operator that made it, in a batch. */
export interface RddOrigin extends BlockingOperator {
  readonly batchId: number;
  readonly batchTimeMs: number;
}

const reportEveryMs = 60_000;
const operatorsMax = 1000;
const profiledStagesMax = 100;
const profiledTasksMax = 20;
/** Of each task: some milliseconds. */
const profiledCallsMax = 100_000;

/** They call no function of the program for a row, or time it themselves. */
const withoutRowFunction = new Set(
  (
    'parallelize fromPartitions emptyRDD union window partitionBy repartition coalesce glom keys values count groupByKey ' +
    'cogroup join leftOuterJoin rightOuterJoin fullOuterJoin subtract subtractByKey distinct intersection zip ' +
    'zipWithIndex zipWithUniqueId sample cartesian stateSnapshots'
  ).split(' '),
);

/**
 * Finds out whose function has held up the event loop, and reports it.
 *
 * In: how long calls and pieces of row loops took. Fused operators share a piece: when it was too long and several of them
 * might have been it, the next tasks of the same stage are profiled, operator by operator. Until the batch has ended the
 * report waits for that; then it names them all.
 *
 * Invariants
 *   W1. An operator is reported at most once a minute, and a list of them only while none of them has been.
 *   W2. Nothing is wrapped and no clock is read per row unless a piece of the stage was too long a short while ago.
 */
export class LoopWatch {
  readonly #options: LoopWatchOptions;
  /** When an operator, or a list of them, was reported last. */
  readonly #reportedMs = new Map<string, number>();
  /** By stage: tasks that are still to be profiled. */
  readonly #profiled = new Map<string, number>();
  /** By stage: what waits for its profile. */
  readonly #waiting = new Map<string, LoopBlockedInfo>();

  constructor(options: LoopWatchOptions) {
    this.#options = options;
  }

  /** Whatever could not be told apart by now is reported as it is. */
  batchEnded(): void {
    for (const info of this.#waiting.values()) this.#report(info);
    this.#waiting.clear();
  }

  /** For a task that begins. */
  task(stage: RDD<unknown>, partition: number): TaskWatch {
    const profile = this.#isProfiled(stage) ? new LoopProfile(this.#options.now, profiledCallsMax) : undefined;
    return new TaskWatch(this, { stage, partition, profile });
  }

  /** Runs the function; reports it when it held the loop. */
  call<R>(place: Place, partition: number | undefined, work: () => R): R {
    const startMs = this.#options.now();
    try {
      return work();
    } finally {
      this.took(place, partition, this.#options.now() - startMs);
    }
  }

  /** For those who have a look at the clock anyway. */
  took(place: Place, partition: number | undefined, heldMs: number): void {
    if (heldMs >= this.#options.thresholdMs) this.#report(infoOf([place], place.origin, partition, heldMs));
  }

  /** A piece of a row loop; `consumer` takes the rows of the stage. */
  piece(task: WatchedTask, consumer: Place | undefined, heldMs: number): void {
    if (heldMs < this.#options.thresholdMs) return;
    const { stage, partition, profile } = task;
    const candidates = candidatesOf(stage, consumer);
    if (candidates.length === 0) return;
    const named = profile?.slowest(candidates, heldMs);
    const places = named ?? candidates;
    const info = infoOf(places, originBelow(stage), partition, heldMs);
    const key = keyOfStage(stage);
    if (named !== undefined || info.operators.length === 1) {
      this.#waiting.delete(key);
      this.#profiled.delete(key);
      this.#report(info);
      return;
    }
    if (info.operators.some((operator) => this.#isRecent(keyOf([operator])))) return; // W1
    if (this.#waiting.size < profiledStagesMax && !this.#waiting.has(key)) this.#waiting.set(key, info);
    if (this.#profiled.size < profiledStagesMax && !this.#profiled.has(key)) {
      this.#profiled.set(key, profiledTasksMax);
    }
  }

  #isProfiled(stage: RDD<unknown>): boolean {
    if (this.#profiled.size === 0) return false;
    const key = keyOfStage(stage);
    const left = this.#profiled.get(key);
    if (left === undefined) return false;
    if (left > 1) this.#profiled.set(key, left - 1);
    else this.#profiled.delete(key);
    return true;
  }

  #report(info: LoopBlockedInfo): void {
    const key = keyOf(info.operators);
    if (this.#isRecent(key) || info.operators.some((operator) => this.#isRecent(keyOf([operator])))) return;
    this.#reportedMs.delete(key);
    this.#reportedMs.set(key, this.#options.clockMs());
    if (this.#reportedMs.size > operatorsMax) this.#reportedMs.delete(this.#reportedMs.keys().next().value!);
    this.#options.report(info);
  }

  #isRecent(key: string): boolean {
    const ms = this.#reportedMs.get(key);
    return ms !== undefined && this.#options.clockMs() - ms < reportEveryMs;
  }
}

interface WatchedTask {
  readonly stage: RDD<unknown>;
  readonly partition: number;
  readonly profile: LoopProfile | undefined;
}

/** The watch as one task sees it. */
export class TaskWatch {
  readonly #watch: LoopWatch;
  readonly #task: WatchedTask;
  #consumer: Place | undefined;

  constructor(watch: LoopWatch, task: WatchedTask) {
    this.#watch = watch;
    this.#task = task;
  }

  /** Undefined nearly always: see W2. */
  get profile(): LoopProfile | undefined {
    return this.#task.profile;
  }

  /** A piece of a row loop has taken so long. */
  piece(ms: number): void {
    this.#watch.piece(this.#task, this.#consumer, ms);
    this.#task.profile?.begin();
  }

  /** Runs a function that gets rows all at once. `place` without an origin: an action on the stage. */
  call<R>(place: Place, work: () => R): R {
    return this.#watch.call(this.#ofBatch(place), this.#task.partition, work);
  }

  took(place: Place, ms: number): void {
    this.#watch.took(this.#ofBatch(place), this.#task.partition, ms);
  }

  /** The rows of the stage go to a function of the program: that of an action, or of a shuffle that combines. */
  into<T>(place: Place, push: (row: T) => void): (row: T) => void {
    this.#consumer = place;
    return this.profile === undefined ? push : this.profile.around(place, push);
  }

  #ofBatch(place: Place): Place {
    if (place.origin !== undefined) return place;
    const below = originBelow(this.#task.stage);
    if (below === undefined) return place;
    const { batchId, batchTimeMs } = below;
    const origin = {
      operator: place.name,
      streamId: undefined,
      uid: undefined,
      label: undefined,
      batchId,
      batchTimeMs,
    };
    return { name: place.name, origin };
  }
}

/** The operators of a stage whose functions run within its row loops, one per stream. */
function candidatesOf(stage: RDD<unknown>, consumer: Place | undefined): Place[] {
  const found = new Map<string, Place>();
  const add = (place: Place): void => {
    if (withoutRowFunction.has(place.name) || withoutRowFunction.has(place.origin?.operator ?? '')) return;
    const key = keyOf([operatorOf(place)]);
    if (!found.has(key)) found.set(key, place);
  };
  if (consumer !== undefined) add(consumer);
  for (const rdd of walk(stage)) if (rdd.dependencies.length > 0 && !rdd.timesItself) add(rdd);
  return [...found.values()];
}

/** Of the first RDD of the stage that an operator of the graph has made. */
function originBelow(stage: RDD<unknown>): RddOrigin | undefined {
  for (const { origin } of walk(stage)) if (origin !== undefined) return origin;
  return undefined;
}

function* walk(stage: RDD<unknown>): Generator<RDD<unknown>, void, undefined> {
  const seen = new Set<RDD<unknown>>([stage]);
  for (const rdd of seen) {
    yield rdd;
    for (const dependency of rdd.dependencies) if (dependency instanceof RDD) seen.add(dependency);
  }
}

function infoOf(
  places: readonly Place[],
  batch: RddOrigin | undefined,
  partition: number | undefined,
  heldMs: number,
): LoopBlockedInfo {
  const { batchId, batchTimeMs } = batch ?? {};
  return { operators: places.map(operatorOf), batchId, batchTimeMs, partition, worker: undefined, heldMs };
}

function operatorOf({ name, origin }: Place): BlockingOperator {
  if (origin === undefined) return { operator: name, streamId: undefined, uid: undefined, label: undefined };
  const { operator, streamId, uid, label } = origin;
  return { operator, streamId, uid, label };
}

function keyOf(operators: readonly BlockingOperator[]): string {
  return operators.map(({ operator, streamId, uid }) => `${operator}#${streamId ?? ''}#${uid ?? ''}`).join(' ');
}

/** The same in every batch. */
function keyOfStage({ name, origin }: RDD<unknown>): string {
  return `${name} ${origin?.streamId ?? ''}`;
}
