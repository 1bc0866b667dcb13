import type { BucketRange } from '../base/buckets.ts';
import type { Content } from './content.ts';

/**
 * What the log knows of a stream. Everything `unknown` is opaque plain data that the value codec can store: the log
 * knows neither sources nor sinks nor operators, only their uids.
 */

/** Names a manifest; a record that names it in its links has adopted it. */
export interface ManifestReference {
  readonly name: string;
  readonly hash: string;
  /** The last slot whose effects the manifest includes. */
  readonly slot: number;
}

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
  /** Rows of outputs that are kept in the log with their batch; at most one entry per output. Default: none. */
  readonly outputs?: readonly OutputRows[] | undefined;
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

/** Rows of one output in one batch; opaque here. */
export interface OutputRows {
  readonly uid: string;
  readonly bytes: Uint8Array;
}

export interface StagedHandle {
  /** Of the output. */
  readonly uid: string;
  readonly batchId: number;
  readonly batchTimeMs: number;
  readonly handle: unknown;
}

/** A committed handle without a receipt. */
export interface UnpublishedHandle extends StagedHandle {
  /** Rows that the same output gave in the same batch, if it gave any: what is to be published. */
  readonly rows?: Content | undefined;
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
  /** The silence after which this driver asks the floor; set by the log. */
  readonly silenceThresholdMs?: number | undefined;
}

/** An encoded part of one operator's state, for a manifest. */
export interface StateExtent {
  readonly uid: string;
  /** `base`: the whole state of its buckets, replaces what was there of them; `delta`: what changed since the previous manifest. */
  readonly kind: 'base' | 'delta';
  readonly bytes: Uint8Array;
  /** Default: all. */
  readonly buckets?: BucketRange | undefined;
  readonly summary?: ExtentSummary | undefined;
}

/** What a reader may know of an extent before it has fetched it. */
export interface ExtentSummary {
  /** Of the state of its buckets, once all extents up to this one are applied. */
  readonly fingerprint: string;
  /** Of the operator's, as of this extent: opaque. */
  readonly note: unknown;
}

/** What a Pin record says; the rest of the savepoint follows from its place in the log. */
export interface PinContent {
  readonly name: string;
  /** Of the request it answers; null: it was made without one. */
  readonly requestId: string | null;
  /** For people, by the store's clock. */
  readonly pinnedMs: number;
}

/** A savepoint: the stream right after one batch, kept until it is unpinned. */
export interface Savepoint extends PinContent {
  readonly batchId: number;
  readonly batchTimeMs: number;
  readonly generation: number;
  /** The last record it includes, and its hash. */
  readonly slot: number;
  readonly hash: string;
  /** It needs this manifest and the records after it; null: all records from slot 1 on. */
  readonly manifest: ManifestReference | null;
  /** A rewind went back behind it: it can be forked, not rewound to. */
  readonly isAbandoned: boolean;
}

/** Where a stream is put: positions, batch time and state of a batch that was committed before, here or elsewhere. */
export interface StreamPoint {
  readonly batchTimeMs: number;
  readonly positions: Readonly<Record<string, unknown>>;
  /** Of the state in the manifest that the record adopts. */
  readonly fingerprints: Readonly<Record<string, string>>;
  /** Description of the program that made it. */
  readonly graph: unknown;
}

export interface RewindContent extends StreamPoint {
  /** Taken by the rewind itself, so that ids stay dense and no batch of the new generation has an old id. */
  readonly batchId: number;
  readonly toBatchId: number;
  readonly generation: number;
}

export interface SeedContent extends StreamPoint {
  /** Null: positions only, the stream has no batch yet. Else the id the seed takes; the next batch follows it. */
  readonly batchId: number | null;
  /** For people: where it comes from. */
  readonly origin: string;
}

/**
 * The last rewind, until a batch of its generation is committed: sinks are told at every start. The point is the earliest
 * of all rewinds since a batch was committed.
 */
export interface OpenRewind {
  readonly toBatchId: number;
  readonly batchTimeMs: number;
  readonly generation: number;
}

/** The stream as its log tells it, up to the last committed record. */
export interface StreamStatus {
  readonly streamId: string;
  /** Counts rewinds, from 0. */
  readonly generation: number;
  readonly zeroTimeMs: number;
  /** The longest silence after which any driver of the stream, replaced ones included, asks the floor. */
  readonly silenceThresholdMs: number;
  readonly graph: unknown;
  readonly tailSlot: number;
  /** Slot of the newest Fence record. */
  readonly epoch: number;
  readonly lastBatch: { readonly batchId: number; readonly batchTimeMs: number } | undefined;
  readonly positions: Readonly<Record<string, unknown>>;
  /** Recorded for the batch after `lastBatch`: replay must use exactly these ranges. */
  readonly plan: PlannedBatch | undefined;
  /** Committed handles without a receipt, oldest first. */
  readonly unpublished: readonly UnpublishedHandle[];
  /** By operator uid. */
  readonly fingerprints: Readonly<Record<string, string>>;
  /** True when the last record is a Drain: the previous driver stopped cleanly. */
  readonly drained: boolean;
  /** Oldest first, names are unique. */
  readonly savepoints: readonly Savepoint[];
  readonly openRewind: OpenRewind | undefined;
}
