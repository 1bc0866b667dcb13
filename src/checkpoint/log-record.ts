import type { BucketRange } from '../base/buckets.ts';
import type { Content, Part } from './content.ts';
import type {
  ExtentSummary,
  FenceContent,
  ManifestReference,
  PinContent,
  PlannedBatch,
  Receipt,
  RewindContent,
  SeedContent,
  StagedHandle,
  StreamStatus,
} from './records.ts';

export type { ManifestReference } from './records.ts';

/** What the objects of a checkpoint hold, decoded. Bytes: record-codec and manifest-codec. */
export type LogRecord =
  | FenceRecord
  | BatchRecord
  | PlanRecord
  | DrainRecord
  | PinRecord
  | UnpinRecord
  | RewindRecord
  | SeedRecord;

/** Where a record stands in the log, and what it says for a reader that comes from the tail. */
export interface RecordPlace {
  readonly slot: number;
  /** Slot of the writing driver's own fence record. */
  readonly epoch: number;
  readonly driverId: string;
  readonly commitId: string;
  /** Hash of the record at `slot - 1`; of slot 1: hash of the `format` object. */
  readonly previousHash: string;
  readonly links: RecordLinks;
}

export interface RecordLinks {
  /** In force from this record on: state and status up to `manifest.slot`. Undefined: read the log from slot 1. */
  readonly manifest: ManifestReference | undefined;
  /** Slot of the newest fence before this record; 0: there is none. */
  readonly previousFence: number;
  /** Announced: slots up to here may be deleted. */
  readonly floor: number;
}

/** A driver took the stream over. Its slot is its epoch. */
export interface FenceRecord extends RecordPlace {
  readonly kind: 'fence';
  readonly fence: FenceContent;
}

/**
 * Batches that happened: all of them or, if the record is not there, none. Usually one, more when they come faster than
 * the store answers.
 */
export interface BatchRecord extends RecordPlace {
  readonly kind: 'batch';
  /** At least one; ids are dense. */
  readonly batches: readonly StoredBatch[];
  /** Handles of earlier records that are published by now. */
  readonly receipts: readonly Receipt[];
  /** Of the batch after the last one. */
  readonly plan: PlannedBatch | undefined;
}

export interface StoredBatch {
  readonly batchId: number;
  readonly batchTimeMs: number;
  readonly positions: Readonly<Record<string, unknown>>;
  readonly handles: readonly StagedHandle[];
  readonly deltas: readonly StoredDelta[];
  readonly outputs: readonly StoredOutput[];
}

/** The ranges of the next batch, durable before it has effects. */
export interface PlanRecord extends RecordPlace {
  readonly kind: 'plan';
  readonly plan: PlannedBatch;
}

/** The driver stopped cleanly. */
export interface DrainRecord extends RecordPlace {
  readonly kind: 'drain';
  readonly receipts: readonly Receipt[];
}

/** A savepoint: all that the state right before this record needs is kept until it is unpinned. */
export interface PinRecord extends RecordPlace {
  readonly kind: 'pin';
  readonly pin: PinContent;
}

export interface UnpinRecord extends RecordPlace {
  readonly kind: 'unpin';
  readonly name: string;
}

/** The stream goes on from an earlier batch. It adopts a manifest that holds the state of that batch. */
export interface RewindRecord extends RecordPlace {
  readonly kind: 'rewind';
  readonly rewind: RewindContent;
}

/** Positions, and perhaps state, that this log did not make itself: of a fork, or imported. */
export interface SeedRecord extends RecordPlace {
  readonly kind: 'seed';
  readonly seed: SeedContent;
}

/** One operator's changes in one batch: in the record itself, or in parts of segments. */
export interface StoredDelta {
  readonly uid: string;
  readonly fingerprint: string;
  readonly lengthBytes: number;
  readonly content: Content;
}

/** What one output gave in one batch: rows, encoded by the sink. */
export interface StoredOutput {
  readonly uid: string;
  readonly lengthBytes: number;
  readonly content: Content;
}

/**
 * Everything up to one slot: recovery reads it and the records after it. A later record adopts it, not necessarily the
 * very next: those between are read on top of it.
 */
export interface Manifest {
  readonly slot: number;
  readonly epoch: number;
  /** Hash of the record at `slot`: the chain goes on from it. */
  readonly recordHash: string;
  /** When the store acknowledged a record not older than `slot`, by the store's clock. */
  readonly serverTimeMs: number;
  /** As of `slot`. */
  readonly status: StreamStatus;
  /**
   * Of the state in `extents`, when it is not that of `status`: a rewind or seed writes the state it goes on from before
   * the record that makes it current.
   */
  readonly stateFingerprints?: Readonly<Record<string, string>> | undefined;
  /** Per operator in the order they are applied: one base, then deltas. */
  readonly extents: readonly ManifestExtent[];
  /** Older manifests that are kept, oldest first. */
  readonly history: readonly RetainedManifest[];
  /** Objects that older, kept manifests list and this one doesn't: dead once the floor reaches `slot`. */
  readonly retired: readonly RetiredObject[];
}

export interface ManifestExtent {
  readonly uid: string;
  readonly kind: 'base' | 'delta';
  readonly buckets: BucketRange;
  readonly summary: ExtentSummary | undefined;
  readonly lengthBytes: number;
  readonly parts: readonly Part[];
}

export interface RetainedManifest {
  readonly name: string;
  readonly slot: number;
  readonly serverTimeMs: number;
}

export interface RetiredObject {
  readonly object: string;
  readonly slot: number;
}
