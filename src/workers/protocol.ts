import type { StateParameters } from '../dstream/stateful-node.ts';
import type { SourcePlan } from '../sources/source.ts';
import type { FingerprintRecord } from '../state/fingerprint.ts';
import type { Addition } from '../state/sealed-part.ts';
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
  /** Keys in the state of operators that workers hold, over all of them. */
  readonly keyCounts: readonly (readonly [node: number, keyCount: number])[];
}

/** Driver to worker: makes the partitions of a stream readable, together with the other workers. */
export interface PrepareCall {
  readonly batchId: number;
  /** Id of the stream. */
  readonly node: number;
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

/**
 * Driver to worker: state that workers hold. Of each operator, by the id of its stream, a worker holds the partitions that
 * are at home there. A worker does one after the other what it is asked of its state.
 */
export interface StateBegin {
  /** What the operators go on with, as the driver has found it in the checkpoint. */
  readonly parameters: readonly (readonly [node: number, parameters: StateParameters])[];
}

/** Some of the stored state of all partitions, in order. */
export interface StateRestore {
  readonly node: number;
  readonly bytes: Uint8Array;
  readonly sinceManifest: boolean;
}

/** What a restore has made of a worker's partitions. */
export interface StateRestored {
  readonly fingerprint: FingerprintRecord;
  readonly keyCount: number;
  readonly nextOrdinal: number;
  readonly dropped: readonly number[];
}

/** What the running batch has done to one partition. */
export interface SealedPartRecord {
  readonly node: number;
  readonly partition: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly additions: readonly Addition[];
  readonly change: FingerprintRecord;
  readonly dropped: readonly number[];
}

/** The sealed batch is committed. Answered with the keys that the worker holds then, by operator. */
export interface StateMerge {
  readonly tables: readonly { readonly node: number; readonly firstOrdinals: ReadonlyMap<number, number> }[];
  /** False: there is no checkpoint, so nobody asks what has gone. */
  readonly isStored: boolean;
}

export type StateMerged = readonly (readonly [node: number, keyCount: number])[];

/** Buckets of the committed state, encoded for a manifest. Answered with {@link EncodedPart}s, by range. */
export interface StateEncode {
  readonly node: number;
  readonly ranges: readonly { readonly from: number; readonly to: number; readonly isDelta: boolean }[];
}

export interface EncodedPart {
  readonly partition: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
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
