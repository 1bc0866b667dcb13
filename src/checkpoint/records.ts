/**
 * What the log knows of a stream. Everything `unknown` is opaque plain data that the value codec can store: the log
 * knows neither sources nor sinks nor operators, only their uids.
 */

/** One batch, ready to be made durable. */
export interface BatchCommit {
  /** Dense counter, from 1. */
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** By source uid: where the next batch starts reading. */
  readonly positions: Readonly<Record<string, unknown>>;
  /** One entry per stateful operator, changed or not (an unchanged one has empty bytes). */
  readonly deltas: readonly OperatorDelta[];
  /** What staged sinks gave for this batch. */
  readonly handles: readonly StagedHandle[];
  /** Earlier handles that are published by now. */
  readonly receipts: readonly Receipt[];
  /** Plan of batch `batchId + 1`, when it is known already (checkpoint-engine 7.6). */
  readonly plan?: PlannedBatch | undefined;
}

/** Encoded changes of one operator's state; opaque here, self-contained, applied in order of batches. */
export interface OperatorDelta {
  readonly uid: string;
  readonly bytes: Uint8Array;
  /** Of the operator's whole state after this batch: what a restore must reproduce. */
  readonly fingerprint: string;
}

export interface StagedHandle {
  /** Of the output. */
  readonly uid: string;
  readonly batchId: number;
  readonly batchTimeMs: number;
  readonly handle: unknown;
}

export interface Receipt {
  readonly uid: string;
  readonly batchId: number;
}

/** The recorded ranges of a batch that is not committed yet. */
export interface PlannedBatch {
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** By source uid: a SourcePlan. */
  readonly sources: Readonly<Record<string, unknown>>;
}

/** What a driver says of itself and its program when it takes over the stream; stored in the Fence record. */
export interface FenceContent {
  /** Start of the batch grid: batch times are zeroTimeMs + k * interval. Fixed by the first fence of a stream. */
  readonly zeroTimeMs: number;
  /** Description of the graph for the comparison at the next start (decision A1). */
  readonly graph: unknown;
  /** Running settings, without secrets: for inspection only. */
  readonly settings: unknown;
}

/** An encoded part of one operator's state, for a manifest. */
export interface StateExtent {
  readonly uid: string;
  /** `base`: the whole state, replaces all earlier extents; `delta`: what changed since the previous manifest. */
  readonly kind: 'base' | 'delta';
  readonly bytes: Uint8Array;
}

/** The stream as its log tells it, up to the last committed record. */
export interface StreamStatus {
  readonly streamId: string;
  /** Counts rewinds, from 0. */
  readonly generation: number;
  readonly zeroTimeMs: number;
  readonly graph: unknown;
  readonly tailSlot: number;
  /** Slot of the newest Fence record. */
  readonly epoch: number;
  readonly lastBatch: { readonly batchId: number; readonly batchTimeMs: number } | undefined;
  readonly positions: Readonly<Record<string, unknown>>;
  /** Recorded for the batch after `lastBatch`: replay must use exactly these ranges. */
  readonly plan: PlannedBatch | undefined;
  /** Committed handles without a receipt, oldest first. */
  readonly unpublished: readonly StagedHandle[];
  /** By operator uid. */
  readonly fingerprints: Readonly<Record<string, string>>;
  /** True when the last record is a Drain: the previous driver stopped cleanly. */
  readonly drained: boolean;
}
