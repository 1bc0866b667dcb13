export { type ErrorCode, type ErrorKind, errorCodes } from './base/error-codes.ts';
export { TidemarkError } from './base/errors.ts';
export type { BlockingOperator, LoopBlockedInfo } from './base/loop-blocked.ts';
export type { ReceiverInfo } from './base/receiver-info.ts';
export { Duration, Milliseconds, Minutes, Seconds, Time } from './base/time.ts';
export type { AsyncOptions } from './dstream/async-rows.ts';
export { DStream, MapWithStateDStream, type RddsOf } from './dstream/dstream.ts';
export type { InitialState } from './dstream/initial-state.ts';
export type { KeyedWindowOptions, WindowStateOptions } from './dstream/keyed-window.ts';
export { type MapStateOptions, type State, type StateFunction, StateSpec } from './dstream/map-with-state.ts';
export type { BatchInfo as OutputBatch, ForeachBody, PartitionBody } from './dstream/output.ts';
export type { RowWindowOptions } from './dstream/row-window.ts';
export type { StatefulOptions, UidOption } from './dstream/stateful-node.ts';
export type {
  PartitionStateUpdate,
  PartitionUpdateOptions,
  StateUpdate,
  UpdateStateOptions,
} from './dstream/update-state.ts';
export type { BackpressureOptions } from './execution/backpressure/options.ts';
export type { PidGains } from './execution/backpressure/pid-rate-estimator.ts';
export type { EngineEnvironment, StreamingContextOptions } from './execution/context-options.ts';
export type { StreamingContextStatus } from './execution/stream-life.ts';
export {
  azureHotPrices,
  type CheckpointBytes,
  type CheckpointCommitInfo,
  type CheckpointMetrics,
  type OperationsByPriceClass,
  type RequestPrices,
  type TimeSummary,
} from './observe/checkpoint-metrics.ts';
export { StatsReportListener } from './observe/stats-report-listener.ts';
export type {
  BatchInfo,
  DeliveryGuarantee,
  OutputOperationInfo,
  PathGuarantee,
  RecoveryInfo,
  StartedBatchInfo,
  StreamInputInfo,
  StreamingListener,
  SubmittedBatchInfo,
} from './observe/streaming-listener.ts';
export {
  Accumulator,
  type AccumulatorSpec,
  CollectionAccumulator,
  DoubleAccumulator,
  LongAccumulator,
} from './rdd/accumulator.ts';
export { Broadcast } from './rdd/broadcast.ts';
export type { Aggregator } from './rdd/combine.ts';
export type { CommandOptions } from './rdd/command.ts';
export type { SaveOptions } from './rdd/part-files.ts';
export type { Partitioner } from './rdd/partitioner.ts';
export { HashPartitioner } from './rdd/partitioner.ts';
export { type Partitioning, RDD } from './rdd/rdd.ts';
export type { RddContext } from './rdd/rdd-context.ts';
export { TaskContext } from './rdd/task.ts';
export { type BlobOutputBatch, readBlobOutput, readBlobOutputBatches } from './sinks/blob-output.ts';
export { type BlobSinkOptions, blobSink } from './sinks/blob-sink.ts';
export { outboxSink } from './sinks/outbox-sink.ts';
export type {
  IdempotentSink,
  OutboxSink,
  RewindInfo,
  Sink,
  SinkBatch,
  SinkClass,
  SinkGuarantee,
  SinkOpening,
  SinkOutput,
  SinkPartition,
  SinkProgress,
  SinkTransaction,
  SinkWrite,
  StagedSink,
  TransactionalSink,
} from './sinks/sink.ts';
export type { EventHubEvent } from './sources/event-hubs/event-hub-event.ts';
export type { EventHubOptions } from './sources/event-hubs/event-hub-options.ts';
export { eventHubSource } from './sources/event-hubs/event-hub-source.ts';
export type { FileInfo } from './sources/files/file-folder.ts';
export type { FileReader } from './sources/files/file-formats.ts';
export type { FileReadOptions, FileStreamOptions } from './sources/files/file-source.ts';
export type { CollectableRows, QueueEntry } from './sources/queue/queue-source.ts';
export type { RateOptions, RateRow } from './sources/queue/rate-source.ts';
export { Receiver } from './sources/receiver/receiver.ts';
export type { ReceiverOptions } from './sources/receiver/receiver-options.ts';
export type { SocketConverter } from './sources/sockets/socket-receiver.ts';
export type { SocketOptions } from './sources/sockets/socket-source.ts';
export type { RateControlled, Source, SourceDelivery, SourcePlan, SourceStart } from './sources/source.ts';
export type { MigrateFunction, MigrateSteps, SchemaOption, StateSchema } from './state/state-schema.ts';
export type { EncryptionOptions } from './storage/encryption-keys.ts';
export type { CheckpointStorageOptions } from './storage/open-checkpoint-store.ts';
export type { StoreOptions, TokenCredentialLike } from './storage/open-store.ts';
export {
  type StopOptions,
  StreamingContext,
  type StreamingContextState,
} from './streaming-context.ts';
