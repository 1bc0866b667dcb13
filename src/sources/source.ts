import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { ReceiverInfo } from '../base/receiver-info.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/**
 * A replayable input, as the driver sees it. The engine fixes a plan per batch, records it, and reads exactly that plan,
 * in any later process if need be (decision A2).
 *
 * Protocol, in this order: `start` once; then per batch `plan` (or `adopt`, for a plan recorded before a restart), `read`
 * of every partition (again on a task retry), `committed` once the batch is durable; `stop` at the end, at any moment.
 * Positions and partitions of a plan are opaque plain data (what the value codec can store), free of secrets.
 */
export interface Source<T> {
  /** Short name of the technology, e.g. `event-hubs`; part of the recorded graph. */
  readonly kind: string;
  /** What this input is bound to (hub, consumer group), plain data without secrets: a restart with other values is refused. */
  readonly identity: Readonly<Record<string, string>>;
  /** False: a checkpoint that holds this input cannot be gone on from, and is refused before anything is written. Default true. */
  readonly isRecoverable?: boolean | undefined;
  /** What is promised of a row until it is in a batch. Default: exactly once, or at most once when it is not recoverable. */
  readonly delivery?: SourceDelivery | undefined;

  /** Connects. @throws TidemarkError when it cannot work at all: wrong name, wrong credentials, position gone. */
  start(start: SourceStart): Promise<void>;
  /**
   * Where the next plan starts, as plain data. After a first `start` it is the resolved starting position: the engine
   * makes it durable before the first batch, so that 'latest' means the moment the stream was first started.
   */
  position(): unknown;
  /**
   * What has arrived by now and is not planned yet, within the limits the source was configured with. Moves the planning
   * position. `batchTimeMs` is the time of the batch it is for: it may have passed long ago, or (planning ahead) lie in the future.
   */
  plan(batchTimeMs: number): Promise<SourcePlan>;
  /**
   * The engine will run this recorded plan instead of a fresh one: the next `plan` goes on after it. Its first range
   * begins at the position given to `start`.
   */
  adopt(plan: SourcePlan): void;
  /**
   * Pushes the rows of one partition of `plan` in order, in chunks. May run again for the same plan until `committed`.
   * When a push returns a promise, the chunk is not dealt with before: wait for it, then push the next one. That is how the
   * event loop has its turn while much is read.
   */
  read(plan: SourcePlan, partition: number, push: PushChunk<T>): Promise<void>;
  /**
   * Makes `read` work on an instance of a worker thread: it is never started, plans nothing and is told of no commit, and
   * any thread may read any partition of a plan that the driver's instance has made. Absent: the driver's thread reads, and
   * sends the rows to the workers.
   */
  startReading?(reading: SourceReading): Promise<void>;
  /** For people: what a batch with this plan reads. */
  describePlan?(plan: SourcePlan): string;
  /** The batch of `plan` is durable: buffered rows up to its position may be freed. */
  committed(plan: SourcePlan): void;
  /** Records known to be available and not planned yet. Used for a graceful stop and for the lag in the status line. */
  backlog(): number;
  /**
   * A graceful stop has begun: take in nothing new, and make what was taken in available to `plan`. Sources that leave
   * their records where they are don't need it.
   */
  drain?(): Promise<void>;
  /** Idempotent; rejects pending reads with CANCELLED. */
  stop(): Promise<void>;
}

/** The array must stay as it is until the promise, if there is one, has resolved. */
export type PushChunk<T> = (chunk: readonly T[]) => void | Promise<void>;

export interface SourceDelivery {
  readonly guarantee: 'exactly once' | 'at least once' | 'at most once';
  /** In one sentence, for people. */
  readonly why: string;
}

/** A source whose intake can be slowed down while it runs: what back-pressure acts on. */
export interface RateControlled {
  /**
   * Records per second from now on; a rate of 0 or less changes nothing. Called before `start`, it is the rate to begin
   * with. A direct source takes the rate times the batch interval into a batch, and at least one record of every
   * partition that has any.
   */
  setRate(recordsPerSecond: number): void;
}

export interface SourceStart {
  /** Where the last committed batch ended; undefined on the first start of the stream. */
  readonly position: unknown;
  /** Driver epoch, at least 1, higher for every newer driver of the stream: the fence at sources that know one (owner level). */
  readonly epoch: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Number of the input in the program, from 0 in order of definition. */
  readonly streamId: number;
  readonly batchIntervalMs: number;
  /** The part of the checkpoint store that belongs to this source alone; undefined without a checkpoint. */
  readonly store: ObjectStore | undefined;
  /** Tells a person about something the source goes on from by itself. */
  readonly warn: (text: string) => void;
  /** Tells the listeners about a receiver. */
  readonly onReceiver: (event: ReceiverEvent, info: ReceiverInfo) => void;
  /** A failure outside any call (stolen link, hub deleted): the driver stops with it. Called at most once. */
  readonly fail: (error: Error) => void;
}

/**
 * A source whose partitions are received and read by worker threads, each over connections of its own, so that bytes are
 * decoded where their rows are used (decision A5): the instance in the driver plans, those in the workers read. Partition i
 * of every plan lies in worker i % number of workers.
 */
export interface Divisible {
  /** In the driver, before `start`: one line per worker. From then on only the instances in the workers can `read`. */
  divide(lines: readonly SourceLine[]): void;
  /** In a worker, instead of `start`: what answers the driver's instance. A `read` waits until that has said what to receive. */
  serve(driver: DriverLine): (question: unknown) => Promise<unknown>;
}

export function isDivisible(source: object): source is Divisible {
  return 'divide' in source && typeof source.divide === 'function';
}

/** From the instance of a source in the driver to the one in a worker. What goes over it is plain data, in order. */
export interface SourceLine {
  /** Rejects with what the other side threw, and with CANCELLED when its thread has ended. */
  ask(question: unknown): Promise<unknown>;
  /** Called once, before the first question. */
  listen(listener: SourceLineListener): void;
}

export interface SourceLineListener {
  told(message: unknown): void;
  /** The other side's `fail`. */
  failed(error: Error): void;
  /** The thread has died. Another one has taken its place, which knows nothing yet. */
  replaced(): void;
}

/** From the instance of a source in a worker to the one in the driver. */
export interface DriverLine {
  tell(message: unknown): void;
  /** As `fail` of SourceStart. */
  fail(error: Error): void;
}

/** What an instance gets that only reads. */
export interface SourceReading {
  readonly clock: Clock;
  /** Tells a person about something the source goes on from by itself. */
  readonly warn: (text: string) => void;
}

export type ReceiverEvent = 'started' | 'error' | 'stopped';

export interface SourcePlan {
  /** One range per source partition, ascending; becomes one RDD partition each. */
  readonly partitions: readonly unknown[];
  /** Where the next plan starts, once this batch is committed. */
  readonly position: unknown;
  /** Rows in this plan. */
  readonly records: number;
  /** There is no data set at all for this batch, which is not the same as an empty one. `partitions` is then empty. */
  readonly isAbsent?: boolean | undefined;
}
