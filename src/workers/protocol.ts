import type { SourcePlan } from '../sources/source.ts';
import type { Updates } from './collective-runner.ts';
import type { ErrorRecord } from './error-record.ts';

/** What the driver's thread and a worker tell and ask each other. All of it is plain data. */

/** Driver to worker, one-way: a batch begins. */
export interface BatchMessage {
  readonly batchId: number;
  readonly timeMs: number;
  readonly zeroTimeMs: number;
  readonly generation: number;
  readonly isRemembered: boolean;
  readonly plans: readonly (readonly [uid: string, plan: SourcePlan])[];
  /** Of samples and the like: they must be the same on all workers. */
  readonly seed: number;
}

/** Driver to worker: makes the partitions of a stream readable, together with the other workers. */
export interface PrepareCall {
  readonly batchId: number;
  /** Id of the stream. */
  readonly node: number;
  /** True: what the stream takes in to its state, instead of its rows. */
  readonly isInput: boolean;
}

export interface Prepared {
  /** Undefined: the stream has no RDD in this batch. */
  readonly numPartitions: number | undefined;
  readonly updates: Updates;
}

/** Driver to worker: the rows of a partition. Its result: {@link Updates}. */
export interface RowsRead extends PrepareCall {
  readonly partition: number;
}

/** Worker to driver: the rows of a source that only the driver's thread can read. */
export interface SourceRead {
  readonly batchId: number;
  readonly uid: string;
  readonly partition: number;
}

/** Driver to worker: a question of the driver's instance of a divided source to the one in the worker. */
export interface PartCall {
  readonly uid: string;
  readonly question: unknown;
}

/** Worker to driver, one-way: what the instance of a divided source in the worker tells by itself, or why it has failed. */
export interface PartMessage {
  readonly uid: string;
  readonly message?: unknown;
  readonly error?: ErrorRecord | undefined;
}

/** Worker to driver, one-way: what a job reads from, to be compared. */
export interface LineageMessage {
  readonly key: string;
  readonly lineage: string;
}

/** Worker to driver: the program is there. */
export interface ReadyCall {
  readonly shape: readonly string[];
}

/** Worker to driver, one-way: it is not. */
export interface UnusableMessage {
  readonly error: ErrorRecord;
}

/** Given to a worker when it is made. `ports`: to the other workers, by their number. */
export interface WorkerStart<P> {
  readonly index: number;
  readonly count: number;
  readonly module: string;
  readonly seed: number;
  readonly ports: readonly (P | undefined)[];
}
