export type {
  CheckpointTarget,
  CheckpointToolOptions,
  OnProgress,
  WalkOptions,
  WalkProgress,
} from './inspect/checkpoint-target.ts';
export { type ExportOptions, type ExportReport, exportCheckpoint } from './inspect/export-checkpoint.ts';
export {
  type CheckpointStoreOptions,
  exportPositions,
  type HubCheckpoint,
  type HubConsumer,
  type StreamPositions,
  writeBlobCheckpoints,
} from './inspect/export-positions.ts';
export {
  type CheckpointReport,
  type InspectOptions,
  inspectCheckpoint,
  type ManifestRow,
  type OperatorRow,
  type RecordRow,
  type SavepointRow,
  type SourceRow,
} from './inspect/inspect-checkpoint.ts';
export type { OutboxPosition } from './inspect/outbox-position.ts';
export { type CleaningOptions, type CleaningPlan, planCleaning } from './inspect/plan-cleaning.ts';
export {
  type OutboxBatch,
  type OutboxEvent,
  type OutboxOptions,
  type OutboxRewind,
  readOutbox,
} from './inspect/read-outbox.ts';
export {
  diffState,
  getState,
  listOperators,
  listState,
  type StateDiff,
  type StateDifference,
  type StateEntries,
  type StateOperators,
  type StateOptions,
  type StoredEntry,
} from './inspect/state-queries.ts';
export {
  type Finding,
  type KeyUse,
  type Orphan,
  type VerifyOptions,
  type VerifyReport,
  verifyCheckpoint,
} from './inspect/verify-checkpoint.ts';
export type { AskOptions, WaitProgress } from './operate/ask-driver.ts';
export { type DrainReport, drainStream } from './operate/drain-stream.ts';
export type { BatchName } from './operate/find-point.ts';
export { type ForkOptions, type ForkReport, forkStream } from './operate/fork-stream.ts';
export {
  type BlobImportOptions,
  type BlobImportReport,
  importBlobCheckpoints,
} from './operate/import-blob-checkpoints.ts';
export {
  type ImportedPosition,
  type ImportOptions,
  type ImportReport,
  importPositions,
} from './operate/import-positions.ts';
export type { OperatorOptions } from './operate/operator-options.ts';
export {
  planRewind,
  type RewindOptions,
  type RewindPlan,
  type RewindReport,
  rewindStream,
} from './operate/rewind-stream.ts';
export { createSavepoint, listSavepoints, removeSavepoint, type SavepointOptions } from './operate/savepoints.ts';
export type { EncryptionOptions } from './storage/encryption-keys.ts';
export type { ObjectStore } from './storage/object-store.ts';
export type { CheckpointStorageOptions } from './storage/open-checkpoint-store.ts';
export type { StoreOptions } from './storage/open-store.ts';
