import { invariant, TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type CheckpointOptions, type CheckpointSettings, checkpointSettings } from './checkpoint-options.ts';
import type { Content } from './content.ts';
import { type Extent, writeExtents } from './extent-writer.ts';
import type { BatchRecord, LogRecord, RecordPlace, StoredDelta, StoredOutput } from './log-record.ts';
import { LogWriter } from './log-writer.ts';
import {
  type ExtentKind,
  extentKindDue,
  type InForce,
  type PendingManifest,
  writeManifestObjects,
} from './manifest-writer.ts';
import { segmentName } from './object-names.ts';
import { type PointState, writePointManifest } from './point-manifest.ts';
import type { BatchCommit, FenceContent, PlannedBatch, Receipt, StateExtent, StreamStatus } from './records.ts';
import { Retention, type RetentionReport } from './retention.ts';
import { writeHint } from './root-objects.ts';
import { readParts } from './state-loader.ts';
import { receiptKey, statusAfter } from './status-fold.ts';
import {
  addToTally,
  type ChangeTally,
  changesOf,
  RecoveredStream,
  type StreamCheckpoint,
} from './stream-checkpoint.ts';
import { type Fenced, fenceStream } from './take-over.ts';

export interface CommitReceipt {
  readonly slot: number;
  /** Of the record and its segments. */
  readonly bytes: number;
  readonly segments: number;
}

/** Sees the stream as the fence will find it, before anything is written; throws to refuse (another graph, say). */
export type TakeOverCheck = (status: StreamStatus) => void;

/**
 * One driver's hold on a stream: makes batches durable, one conditional write each, until another driver takes over.
 *
 * In: batches, plans and state extents from the engine. Out: the log, and what it refers to.
 * Owns the order of writes, the manifests and the deletes. Does not own state, sources or sinks: all content is opaque.
 *
 * Invariants
 *   L1. A call that returns has made its record durable as the next record of the one log.
 *   L2. What a record refers to was in the store before the record.
 *   L3. After a failure whose outcome in the store is not known to be nothing, every further call fails with it.
 *   L4. A manifest describes the stream up to a slot S whose record is durable. Any later record may adopt it; the
 *       records after S are replayed at a recovery.
 *
 * Calls must not overlap, but for `writeManifest`, which uploads in the background. docs/checkpoint-protocol.md tells
 * what a crash between any two steps leaves behind.
 */
export class CheckpointLog {
  readonly epoch: number;
  readonly streamId: string;
  readonly #store: ObjectStore;
  readonly #settings: CheckpointSettings;
  readonly #writer: LogWriter;
  readonly #retention: Retention;
  #recovered: StreamCheckpoint | undefined;
  #status: StreamStatus;
  #inForce: InForce | undefined;
  #upload: Promise<void> | undefined;
  /** Uploaded; the next record adopts it. */
  #pending: PendingManifest | undefined;
  #floor: number;
  #hintEtag: string | undefined;
  /** Since the newest manifest was begun, whether it is adopted yet or not. */
  #changes: ChangeTally;
  #busyWith: string | undefined;
  #failure: unknown;

  /**
   * Takes the stream over: creates it if there is none, reads what was appended since `found`, appends the Fence
   * record. Load state from {@link recovered}, never from `found`, which may be older; `found` is used up.
   *
   * @throws FENCED, CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPATIBLE, COMMIT_UNKNOWN, what `check` throws, and what the store throws.
   */
  static async takeOver(
    store: ObjectStore,
    found: StreamCheckpoint | undefined,
    fence: FenceContent,
    options: CheckpointOptions,
    check: TakeOverCheck = () => {},
  ): Promise<CheckpointLog> {
    const settings = checkpointSettings(options);
    invariant(found === undefined || found instanceof RecoveredStream, 'takeOver needs what readCheckpoint returned.');
    const log = new CheckpointLog(store, settings, await fenceStream(store, settings, found, fence, check));
    await settings.crashHook('recovery:fenced');
    await log.#writeHint();
    return log;
  }

  private constructor(store: ObjectStore, settings: CheckpointSettings, { stream, fence, tail }: Fenced) {
    this.#store = store;
    this.#settings = settings;
    this.streamId = stream.streamId;
    this.epoch = fence.epoch;
    this.#writer = new LogWriter(store, settings, { ...fence, streamId: stream.streamId }, tail);
    this.#recovered = stream;
    this.#status = statusAfter(stream.status, fence);
    this.#inForce = stream.manifestReference && {
      reference: stream.manifestReference,
      manifest: stream.manifest!,
    };
    this.#floor = stream.floor;
    this.#hintEtag = stream.hintEtag;
    this.#changes = stream.changesSinceManifest();
    this.#changes.records += 1;
    this.#retention = new Retention(store, settings, fence.epoch);
    this.#retention.noteSavepoints(this.streamId, this.#status.savepoints);
  }

  /** The stream up to the fence: what state must be loaded from. Its `status` is the one before the fence. Until the first commit. */
  get recovered(): StreamCheckpoint {
    invariant(this.#recovered, 'State is loaded before the first commit, not after it.');
    return this.#recovered;
  }

  /** After the last record: right after takeOver, as of the fence. */
  get status(): StreamStatus {
    return this.#status;
  }

  /** The rows of a handle that is to be published. @throws CHECKPOINT_CORRUPT */
  async readContent(content: Content): Promise<Uint8Array> {
    return content.kind === 'inline' ? content.bytes : readParts(this.#store, content.parts);
  }

  /** When the last record was written, by the store's clock. */
  get tailTimeMs(): number {
    return this.#writer.tail.serverTimeMs;
  }

  /** Makes the ranges of the next batch durable before it has effects, in a record of its own. */
  recordPlan(plan: PlannedBatch): Promise<void> {
    return this.#exclusive('recordPlan', async () => {
      this.#assertNextBatch(plan.batchId);
      invariant(this.#status.plan === undefined, `Batch ${plan.batchId} has a recorded plan, which must be used.`);
      await this.#append((place) => ({ ...place, kind: 'plan', plan }));
    });
  }

  /** When it returns, the batch has happened; when it throws, only the next start knows. */
  commitBatch(batch: BatchCommit): Promise<CommitReceipt> {
    return this.#exclusive('commitBatch', async () => {
      this.#assertNextBatch(batch.batchId);
      if (batch.plan !== undefined) this.#assertNextBatch(batch.plan.batchId, batch.batchId);
      this.#assertReceipts(batch.receipts);
      assertDistinct(batch.deltas.map(({ uid }) => uid));
      assertDistinct((batch.outputs ?? []).map(({ uid }) => uid));
      const { deltas, outputs, segments, segmentBytes } = await this.#storeContents(batch);
      const { crashHook } = this.#settings;
      const { record, bytes } = await this.#append(
        (place): BatchRecord => ({
          ...place,
          kind: 'batch',
          batchId: batch.batchId,
          batchTimeMs: batch.batchTimeMs,
          positions: batch.positions,
          handles: batch.handles,
          receipts: batch.receipts,
          plan: batch.plan,
          deltas,
          outputs,
        }),
        crashHook,
      );
      this.#recovered = undefined;
      this.#retention.noteSegments(record.slot, segments);
      return { slot: record.slot, bytes: bytes + segmentBytes, segments: segments.length };
    });
  }

  /**
   * Undefined: no manifest is due. Else what it needs, by operator uid; operators that did not change are not named, so
   * the map may be empty, and the manifest is due all the same.
   */
  manifestDue(): ReadonlyMap<string, ExtentKind> | undefined {
    const { manifestEveryRecords, manifestEveryBytes, compactionAlpha } = this.#settings;
    const { records, bytes, changed } = this.#changes;
    if (this.#upload !== undefined || this.#pending !== undefined || this.#status.lastBatch === undefined)
      return undefined;
    if (records < manifestEveryRecords && bytes < manifestEveryBytes) return undefined;
    const due = [...changed].filter((uid) => Object.hasOwn(this.#status.fingerprints, uid));
    return new Map(due.map((uid) => [uid, extentKindDue(this.#inForce?.manifest, uid, compactionAlpha)]));
  }

  /**
   * Begins a manifest of the state as of the last committed batch. What it describes is fixed when the call returns; the
   * upload goes on in the background, beside other calls. The next record after the upload adopts it; a crash before
   * leaves objects that nothing refers to.
   *
   * @param extents those that {@link manifestDue} asked for; 'base' may stand where 'delta' would do.
   * @returns resolves when it is uploaded. A failure is also that of every later call.
   */
  async writeManifest(extents: readonly StateExtent[]): Promise<void> {
    this.#assertManifest(extents);
    this.#changes = noChanges();
    this.#upload = this.#uploadManifest(extents);
    await this.#upload;
  }

  async #uploadManifest(extents: readonly StateExtent[]): Promise<void> {
    try {
      this.#pending = await writeManifestObjects(
        this.#store,
        this.#settings,
        this.#writer,
        this.#writer.tail,
        this.#status,
        this.#inForce,
        this.#floor,
        extents,
      );
      this.#upload = undefined;
      await this.#settings.crashHook('commit:manifest-written');
    } catch (error) {
      this.#failure ??= error;
      throw error;
    }
  }

  #assertManifest(extents: readonly StateExtent[]): void {
    if (this.#failure !== undefined) throw this.#failure;
    invariant(this.#upload === undefined && this.#pending === undefined, 'The manifest before was not adopted yet.');
    const due = this.manifestDue();
    invariant(due, 'No manifest is due.');
    assertDistinct(extents.map(({ uid }) => uid));
    for (const [uid, kind] of due) {
      const extent = extents.find((candidate) => candidate.uid === uid);
      invariant(extent && (kind === 'delta' || extent.kind === 'base'), `The manifest needs a ${kind} of "${uid}".`);
    }
  }

  /**
   * A record that an operator asked for: see operator-records. `state`: what it makes the present keyed state; uploaded
   * first, and adopted by the record.
   */
  appendAsked(build: (place: RecordPlace) => LogRecord, state?: PointState): Promise<void> {
    return this.#exclusive('appendAsked', async () => {
      if (state !== undefined) await this.#writePoint(state);
      await this.#append(build, this.#settings.crashHook);
    });
  }

  async #writePoint(state: PointState): Promise<void> {
    invariant(this.#upload === undefined && this.#pending === undefined, 'Another manifest is under way.');
    this.#pending = await writePointManifest(
      this.#store,
      this.#settings,
      this.#writer,
      this.#status,
      this.#inForce,
      this.#floor,
      state,
    );
    this.#changes = noChanges();
    await this.#settings.crashHook('commit:manifest-written');
  }

  /** Raises the floor and deletes what no kept manifest needs. Cheap when the last record adopted no manifest. */
  retain(): Promise<RetentionReport> {
    return this.#exclusive('retain', () => this.#retention.run());
  }

  /** The last record of a clean stop; nothing can be written after it. Adopts a manifest that is being uploaded. */
  drain(receipts: readonly Receipt[]): Promise<void> {
    return this.#exclusive('drain', async () => {
      this.#assertReceipts(receipts);
      await this.#upload;
      await this.#append((place) => ({ ...place, kind: 'drain', receipts }));
      this.#failure = new TidemarkError('INTERNAL', 'The log was drained: nothing follows a clean stop.');
      await this.#writeHint();
    });
  }

  /** Deltas and outputs: all of them inline, or all of them in segments. */
  async #storeContents(batch: BatchCommit): Promise<{
    readonly deltas: readonly StoredDelta[];
    readonly outputs: readonly StoredOutput[];
    readonly segments: readonly string[];
    readonly segmentBytes: number;
  }> {
    const { inlineBytesMax, crashHook } = this.#settings;
    const extents: readonly Extent[] = [...batch.deltas, ...(batch.outputs ?? [])];
    const totalBytes = extents.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const stored = (contentOf: (bytes: Uint8Array, index: number) => Content) => ({
      deltas: batch.deltas.map(({ uid, fingerprint, bytes }, index): StoredDelta => {
        return { uid, fingerprint, lengthBytes: bytes.length, content: contentOf(bytes, index) };
      }),
      outputs: (batch.outputs ?? []).map(({ uid, bytes }, index): StoredOutput => {
        return { uid, lengthBytes: bytes.length, content: contentOf(bytes, batch.deltas.length + index) };
      }),
    });
    if (totalBytes <= inlineBytesMax) {
      return { ...stored((bytes) => ({ kind: 'inline', bytes })), segments: [], segmentBytes: 0 };
    }
    const slot = this.#writer.tail.slot + 1;
    const { parts, objects } = await writeExtents(
      this.#store,
      this.#settings,
      extents,
      Number.POSITIVE_INFINITY,
      (index, id) => segmentName(this.epoch, slot, index, id),
    );
    await crashHook('commit:segments-written');
    const contents = stored((_bytes, index) => ({ kind: 'parts', parts: parts[index]! }));
    return { ...contents, segments: objects, segmentBytes: totalBytes };
  }

  /** One record, with whatever manifest is waiting; then everything this driver knows moves on with it. */
  async #append(
    build: (place: RecordPlace) => LogRecord,
    crashHook: CheckpointSettings['crashHook'] = () => {},
  ): Promise<{ readonly record: LogRecord; readonly bytes: number }> {
    const pending = this.#pending;
    const { record, frame } = this.#writer.encode(
      {
        manifest: (pending ?? this.#inForce)?.reference,
        previousFence: this.#status.epoch,
        floor: pending?.floor ?? this.#floor,
      },
      build,
    );
    const status = statusAfter(this.#status, record);
    try {
      await crashHook('commit:before-record');
      await this.#writer.append(record, frame);
      await crashHook('commit:record-written');
    } catch (error) {
      // L3: the record may be in the store, and a second content for its slot must never be tried.
      this.#failure = error;
      throw error;
    }
    this.#status = status;
    this.#retention.noteSavepoints(this.streamId, status.savepoints);
    if (pending !== undefined) {
      this.#inForce = pending;
      this.#pending = undefined;
      this.#floor = pending.floor;
      this.#retention.noteAdoption(pending.reference, pending.manifest, pending.floor);
    }
    addToTally(this.#changes, changesOf(record));
    if (pending !== undefined) await this.#writeHint();
    return { record, bytes: frame.bytes.length };
  }

  async #writeHint(): Promise<void> {
    const hint = { streamId: this.streamId, manifest: this.#inForce?.reference, tailSlot: this.#writer.tail.slot };
    this.#hintEtag = await writeHint(this.#store, hint, this.#hintEtag, this.#settings.random.id());
  }

  async #exclusive<R>(call: string, work: () => Promise<R>): Promise<R> {
    if (this.#failure !== undefined) throw this.#failure;
    invariant(this.#busyWith === undefined, `${call} was called while ${this.#busyWith} was running on the same log.`);
    this.#busyWith = call;
    try {
      return await work();
    } finally {
      this.#busyWith = undefined;
    }
  }

  #assertNextBatch(batchId: number, last: number = this.#status.lastBatch?.batchId ?? 0): void {
    invariant(batchId === last + 1, `Batch ${batchId} can't follow batch ${last}: ids are dense.`);
  }

  #assertReceipts(receipts: readonly Receipt[]): void {
    if (receipts.length === 0) return;
    const open = new Set(this.#status.unpublished.map(receiptKey));
    for (const receipt of receipts) {
      invariant(
        open.delete(receiptKey(receipt)),
        `A receipt of "${receipt.uid}" for batch ${receipt.batchId} has no open handle.`,
      );
    }
  }
}

function noChanges(): ChangeTally {
  return { records: 0, bytes: 0, changed: new Set() };
}

function assertDistinct(uids: readonly string[]): void {
  invariant(new Set(uids).size === uids.length, `One entry per operator: ${uids.join(', ')}.`);
}
