/** Requests as a cloud store bills them. Deletes are free of charge at Azure Blob Storage, and are counted all the same. */
export interface OperationsByPriceClass {
  /** Puts of objects and of their blocks. */
  readonly write: number;
  readonly list: number;
  readonly read: number;
  /** Looks at properties. */
  readonly other: number;
  readonly delete: number;
}

/** USD per 10,000 requests. */
export type RequestPrices = Readonly<Record<keyof OperationsByPriceClass, number>>;

/** Azure Blob Storage, hot tier, locally redundant, flat namespace, as listed for East US. Yours may differ. */
export const azureHotPrices: RequestPrices = { write: 0.05, list: 0.05, read: 0.004, other: 0.004, delete: 0 };

export interface CheckpointBytes {
  readonly records: number;
  readonly segments: number;
  readonly manifests: number;
  readonly snapshots: number;
}

/** One record with batches is durable. Times in milliseconds. */
export interface CheckpointCommitInfo {
  readonly timeMs: number;
  readonly slot: number;
  readonly firstBatchId: number;
  readonly lastBatchId: number;
  readonly lastBatchTimeMs: number;
  /** Batches in the record. */
  readonly groupSize: number;
  /** From the moment its first batch was handed in until the record was encoded: for the record before, for segments. */
  readonly waitMs: number;
  readonly encodeMs: number;
  /** The conditional write, with all its repetitions. */
  readonly uploadMs: number;
  /** Changes of state and rows of outputs that it made durable, before anything was added to them. */
  readonly changeBytes: number;
  /** Written since the commit before: the record, its segments, and what was uploaded in the background. */
  readonly bytes: CheckpointBytes;
  /** Sent since the commit before, whatever for. */
  readonly operations: OperationsByPriceClass;
}

/** Of the driver that runs, since its start was through. Times in milliseconds. */
export interface CheckpointMetrics {
  readonly commits: number;
  readonly batches: number;
  readonly groupSizeMax: number;
  readonly waitMs: TimeSummary;
  readonly encodeMs: TimeSummary;
  readonly uploadMs: TimeSummary;
  readonly changeBytes: number;
  readonly bytes: CheckpointBytes;
  /** Bytes written over bytes changed; undefined: nothing has changed yet. */
  readonly writeAmplification: number | undefined;
  readonly operations: OperationsByPriceClass;
  /** Records between the announced floor and the tail: what retention keeps. */
  readonly floorLagRecords: number;
  /** How long a start would take from here, were this process gone. See docs/observability.md. */
  readonly estimatedRecoveryMs: number;
  /** Time since the batch time of the newest durable batch. */
  readonly lastDurableBatchAgeMs: number;
  /** Committed output without a receipt in the log. */
  readonly unpublishedHandles: number;
  /** 1 once a newer driver has taken the stream over. */
  readonly fenceEvents: number;
  /** Of requests alone, at the rate since the start; undefined: no time has passed. */
  readonly estimatedMonthlyRequestUsd: number | undefined;
}

export interface TimeSummary {
  readonly last: number;
  readonly mean: number;
  readonly max: number;
}
