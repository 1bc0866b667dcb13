/**
 * An output that takes part in the commit: staged before it, published after it (checkpoint-engine 7.14, class C).
 *
 * Protocol: `open` once per driver, after the fence; per batch `stage` (nothing visible yet) -> the handle is committed in the batch's record
 * -> `publish` makes it visible. After a crash `publish` runs again for every handle without a recorded receipt, perhaps
 * in another process and perhaps though the first publish had succeeded: it is idempotent. A handle whose commit never
 * happened is never published; `stage` must leave nothing behind that a reader could take for output.
 */
export interface Sink<T> {
  /** Short name, e.g. `blob`; part of the recorded graph. */
  readonly kind: string;
  /** Printed at start. */
  readonly guarantee: SinkGuarantee;
  /** Plain data without secrets, for messages and the graph description. */
  readonly description: string;

  open(opening: SinkOpening): Promise<void>;
  /** `partitions`: the rows of the batch, one array per RDD partition. Returns plain data the checkpoint can store; undefined: nothing to publish. */
  stage(batch: SinkBatch, partitions: readonly (readonly T[])[]): Promise<unknown>;
  publish(handle: unknown): Promise<void>;
  /** Removes what older drivers staged and never committed. Called once per driver, after everything committed is published. */
  sweep?(): Promise<void>;
  /**
   * The stream went back to an earlier batch: what was written after it belongs to an abandoned line of the stream, and batches
   * that follow have the new generation. Called at a start, after `open` and before anything is published; again at every start
   * until a batch of the new generation is committed. Output of older generations may be removed, marked or left.
   */
  onRewind?(rewind: RewindInfo): Promise<void>;
  close(): Promise<void>;
}

export type SinkGuarantee = 'exactly once' | 'at least once' | 'at most once';

export interface SinkOpening {
  readonly streamId: string;
  readonly uid: string;
  readonly epoch: number;
}

/** The point a stream was taken back to. */
export interface RewindInfo {
  /** The last batch that still counts. Ids go on rising: those after it are never used again. */
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** Of the batches from now on. */
  readonly generation: number;
}

/** Identity of a batch at a sink. (stream, generation, batchId) never names two different contents. */
export interface SinkBatch {
  /** Dense counter in the log, from 1. */
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** Counts rewinds of the stream, from 0. */
  readonly generation: number;
}
