/**
 * An output whose effects a stream answers for: one of four classes, by what the technology behind it can do
 * (docs/sinks.md tells which to choose, and writes one of each).
 *
 *   idempotent      writes rows under keys, so that writing them again changes nothing
 *   transactional   writes rows and its progress in one transaction
 *   staged          prepares output before the commit, makes it visible after it
 *   outbox          does nothing: other processes read the rows from the checkpoint
 *
 * What all have in common: nothing is visible before the record of the batch is committed. The rows of the first two and of
 * an outbox are part of that record, so what is written after a crash is what was committed, byte for byte; the program's
 * functions need not give the same again, and no plan has to be durable before.
 */
export type Sink<T> = IdempotentSink<T> | TransactionalSink<T> | StagedSink<T> | OutboxSink<T>;

export type SinkClass = Sink<unknown>['sinkClass'];

export type SinkGuarantee = 'exactly once' | 'at least once' | 'at most once';

interface SinkBase {
  /** Short name, e.g. `blob`; part of the recorded graph. */
  readonly kind: string;
  /** Where it writes: plain data without secrets, for messages and the graph description. */
  readonly description: string;

  /** Once per driver, after its fence. */
  open?(opening: SinkOpening): Promise<void>;
  /**
   * The stream went back to an earlier batch: what was written after it belongs to an abandoned line of the stream, and batches
   * that follow have the new generation. Called at a start, after `open` and before anything is published; again at every start
   * until a batch of the new generation is committed. Output of older generations may be removed, marked or left.
   */
  onRewind?(rewind: RewindInfo): Promise<void>;
  close?(): Promise<void>;
}

/**
 * Class A. Rows go under keys of their own; the same call again, in the same process or a later one, changes nothing.
 *
 * `write` is called after the commit, batches in order, the partitions of a batch one after the other, only those with
 * rows. After a failure the whole batch comes again. A driver that was replaced and has not noticed may repeat a batch late,
 * after newer ones: when different batches write the same key, let the one with the higher batchId win.
 */
export interface IdempotentSink<in T> extends SinkBase {
  readonly sinkClass: 'idempotent';
  readonly write: (rows: readonly T[], partition: SinkPartition) => Promise<void>;
}

/**
 * Class B. The engine reads the progress, decides, writes rows and new progress, all in one transaction that the sink runs:
 * a batch whose progress is there is passed over, a driver older than the one that wrote last is refused.
 *
 * Batches come in order, each in one transaction, only those with rows.
 */
export interface TransactionalSink<in T> extends SinkBase {
  readonly sinkClass: 'transactional';
  /** Runs `work` in a transaction: committed when `work` resolves, rolled back when it rejects, with its outcome. */
  readonly transaction: (work: (tx: SinkTransaction<T>) => Promise<void>) => Promise<void>;
}

/** What the engine does inside one transaction. */
export interface SinkTransaction<in T> {
  /**
   * Undefined: this output of this stream has written nothing yet. Must hold off other transactions of the same output until
   * this one ends: SELECT ... FOR UPDATE, BEGIN IMMEDIATE, or serializable isolation.
   */
  readProgress(output: SinkOutput): Promise<SinkProgress | undefined>;
  readonly write: (rows: readonly T[], batch: SinkWrite) => Promise<void>;
  writeProgress(output: SinkOutput, progress: SinkProgress): Promise<void>;
}

/**
 * Class C. Staged before the commit, published after it.
 *
 * Per batch `stage` (nothing visible yet) -> the handle is committed in the batch's record -> `publish` makes it visible.
 * After a crash `publish` runs again for every handle without a recorded receipt, perhaps in another process and perhaps
 * though the first publish had succeeded: it is idempotent. A handle whose commit never happened is never published;
 * `stage` must leave nothing behind that a reader could take for output.
 */
export interface StagedSink<in T> extends SinkBase {
  readonly sinkClass: 'staged';
  /** `exactly once` when `publish` is idempotent and `stage` survives the process. */
  readonly guarantee: SinkGuarantee;
  /** `partitions`: the rows of the batch, one array per RDD partition. Returns plain data the checkpoint can store; undefined: nothing to publish. */
  readonly stage: (batch: SinkBatch, partitions: readonly (readonly T[])[]) => Promise<unknown>;
  publish(handle: unknown): Promise<void>;
  /** Removes what older drivers staged and never committed. Called once per driver, after everything committed is published. */
  sweep?(): Promise<void>;
}

/** Class D: see `outboxSink` and `readOutbox`. */
export interface OutboxSink<in T> extends SinkBase {
  readonly sinkClass: 'outbox';
  /** Never called: says which rows it takes. */
  readonly accepts?: ((row: T) => void) | undefined;
}

/** The output of a stream that a sink serves. */
export interface SinkOutput {
  readonly streamId: string;
  readonly uid: string;
}

export interface SinkOpening extends SinkOutput {
  /** Of the driver: higher for every newer one. */
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

/** A batch that is being written, and who writes it. */
export interface SinkWrite extends SinkBatch, SinkOpening {}

export interface SinkPartition extends SinkWrite {
  /** Of the batch, from 0. */
  readonly partition: number;
}

/** What a transactional sink keeps per output: the last batch it has written, and who wrote it. */
export interface SinkProgress {
  readonly batchId: number;
  readonly generation: number;
  readonly epoch: number;
}
