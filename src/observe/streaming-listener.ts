import type { LoopBlockedInfo } from '../base/loop-blocked.ts';
import type { ReceiverInfo } from '../base/receiver-info.ts';
import type { CheckpointCommitInfo } from './checkpoint-metrics.ts';

/**
 * What one input gave to a batch. Source: Spark's `StreamInputInfo`.
 */
export interface StreamInputInfo {
  /** Number of the input in the program, from 0 in order of definition. */
  readonly inputStreamId: number;
  readonly uid: string;
  readonly records: number;
  /** `Description` says for people what the batch read, where the source knows. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** One output in one batch. Times in milliseconds; undefined: not yet. Source: Spark's `OutputOperationInfo`. */
export interface OutputOperationInfo {
  readonly batchTimeMs: number;
  /** Number of the output in the program, from 0 in order of registration. */
  readonly id: number;
  /** What made it, such as `foreachRDD` or `saveTo`. */
  readonly name: string;
  /** Its uid, and the stream it ends. */
  readonly description: string;
  readonly startTimeMs: number | undefined;
  readonly endTimeMs: number | undefined;
  /** Undefined: it has not failed. */
  readonly failureReason: string | undefined;
}

/** A batch whose ranges are known. Times in milliseconds. */
export interface SubmittedBatchInfo {
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** Rows of all sources. */
  readonly records: number;
  /** By number of the input. */
  readonly streamIdToInputInfo: Readonly<Record<number, StreamInputInfo>>;
  /** When its batch time had come and it could have started. */
  readonly submissionTimeMs: number;
  /** True when its ranges had been recorded by an earlier driver. */
  readonly replayed: boolean;
  /** Records known to be waiting at the sources when the batch was planned, beyond its own. */
  readonly backlog: number;
}

/** A batch at work. */
export interface StartedBatchInfo extends SubmittedBatchInfo {
  readonly processingStartTimeMs: number;
  /** Start minus submission. */
  readonly schedulingDelayMs: number;
}

/** What a batch cost, from its due time to its last published output. Source: Spark's `BatchInfo`. */
export interface BatchInfo extends StartedBatchInfo {
  readonly processingEndTimeMs: number;
  /** End minus start: plan, operators, outputs, commit and publication. */
  readonly processingDelayMs: number;
  /** The part of it in which no other batch can be computed: without the commit and the publication. */
  readonly computingDelayMs: number;
  /** Scheduling delay plus processing delay: end minus submission. */
  readonly totalDelayMs: number;
  /** By number of the output; those that had nothing to do in this batch are absent. */
  readonly outputOperationInfos: Readonly<Record<number, OutputOperationInfo>>;
  /** Why it is not through: the context stops, and the next start finishes it. Undefined: it is committed and published. */
  readonly failureReason: string | undefined;
  /**
   * What its commit wrote to the checkpoint store (a record shared by several batches counts for the first of them), and the
   * requests the store was sent since the batch before was told of.
   */
  readonly checkpoint: { readonly bytes: number; readonly operations: number };
}

/** What a driver found and restored when it started. */
export interface RecoveryInfo {
  /** When the start was through. */
  readonly timeMs: number;
  /** Slot of the fence record this driver appended. */
  readonly slot: number;
  readonly epoch: number;
  /** False on the very first start of the stream. */
  readonly recovered: boolean;
  readonly lastBatchTimeMs: number;
  readonly stateKeys: number;
  readonly stateBytes: number;
  /** Log records read after the newest manifest. */
  readonly recordsRead: number;
  /** Outputs that had been committed but not published. */
  readonly republished: number;
  /** Batch times that passed while no driver ran, the recorded plan among them: they run first, in order. */
  readonly batchesToCatchUp: number;
  /** From the call of start() to the first batch being possible. */
  readonly tookMs: number;
  /** What is promised of the rows of each source at each output that depends on it. */
  readonly guarantees: readonly PathGuarantee[];
  /**
   * Uids of sources, state and sinks that the program did not give: made from kind and order, so a program that gains or
   * loses one of the same kind before them no longer finds what is stored.
   */
  readonly derivedUids: readonly string[];
}

/** `none`: a row may be lost, and may come twice. */
export type DeliveryGuarantee = 'exactly once' | 'at least once' | 'at most once' | 'none';

/** From one source to one output, by their uids. */
export interface PathGuarantee {
  readonly source: string;
  readonly output: string;
  readonly guarantee: DeliveryGuarantee;
  /** In one sentence. */
  readonly why: string;
}

/**
 * Receives what happened, afterwards and in order: see ListenerBus for what a slow or failing listener means.
 *
 * Every batch is told of as submitted, started and completed, in this order, and its outputs in between. A callback may be
 * async: then the next event waits for it. Source: Spark's `StreamingListener`.
 */
export interface StreamingListener {
  onStreamingStarted?(info: RecoveryInfo): void;
  onReceiverStarted?(info: ReceiverInfo): void;
  onReceiverError?(info: ReceiverInfo): void;
  onReceiverStopped?(info: ReceiverInfo): void;
  /** The ranges of the batch are fixed. */
  onBatchSubmitted?(info: SubmittedBatchInfo): void;
  onBatchStarted?(info: StartedBatchInfo): void;
  onOutputOperationStarted?(info: OutputOperationInfo): void;
  onOutputOperationCompleted?(info: OutputOperationInfo): void;
  /** A record is durable, with one batch or several; before their `onBatchCompleted`. */
  onCheckpointCommitted?(info: CheckpointCommitInfo): void;
  /** The batch is through or has failed: see `failureReason`. */
  onBatchCompleted?(info: BatchInfo): void;
  /** A function of the program held up the event loop of a thread: at most once a minute for each operator and thread. */
  onLoopBlocked?(info: LoopBlockedInfo): void;
  /** The last event, with the error that ended the stream. */
  onStreamingStopped?(error: Error | undefined): void;
}

export type StreamingEvent = keyof StreamingListener;
export type EventInfo<E extends StreamingEvent> = Parameters<Required<StreamingListener>[E]>[0];
