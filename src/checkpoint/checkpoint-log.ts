import { invariant, TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type CheckpointOptions, type CheckpointSettings, checkpointSettings } from './checkpoint-options.ts';
import { assertBatch, assertExtents, assertNext, assertReceipts, type LastBatch, lastOf } from './commit-checks.ts';
import { CommitQueue, type ReadyBatch } from './commit-queue.ts';
import type { Content } from './content.ts';
import { groupContent, sumOf } from './group-record.ts';
import type { BatchRecord, LogRecord, RecordPlace } from './log-record.ts';
import { type Appended, type CommitReceipt, type LogStanding, standingOf } from './log-standing.ts';
import { LogWriter } from './log-writer.ts';
import { ManifestUpload } from './manifest-upload.ts';
import {
  type ExtentKind,
  extentKindDue,
  type InForce,
  type PendingManifest,
  writeManifestObjects,
} from './manifest-writer.ts';
import { MeteredStore } from './metered-store.ts';
import { segmentName } from './object-names.ts';
import { type PointState, writePointManifest } from './point-manifest.ts';
import type { BatchCommit, FenceContent, PlannedBatch, Receipt, StateExtent, StreamStatus } from './records.ts';
import { Retention, type RetentionReport } from './retention.ts';
import { writeHint } from './root-objects.ts';
import { statusAfter } from './status-fold.ts';
import { contentBytes, inlineContents, type StoredContents, segmentContents } from './stored-contents.ts';
import { type ChangeTally, noteBatch, RecoveredStream, type StreamCheckpoint } from './stream-checkpoint.ts';
import { type Fenced, fenceStream } from './take-over.ts';
import { readUnpublished } from './unpublished-content.ts';

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
 * Calls may overlap: records are written in the order of the calls, one at a time (CommitQueue). Manifests are uploaded
 * and old objects deleted in the background. docs/checkpoint-protocol.md tells what a crash between any two steps leaves.
 */
export class CheckpointLog {
  readonly epoch: number;
  readonly streamId: string;
  readonly compactionAlpha: number;
  readonly #store: MeteredStore;
  readonly #settings: CheckpointSettings;
  readonly #writer: LogWriter;
  readonly #retention: Retention;
  #recovered: StreamCheckpoint | undefined;
  #status: StreamStatus;
  #inForce: InForce | undefined;
  readonly #queue: CommitQueue<BatchCommit, CommitReceipt>;
  /** The batch handed in last, durable or not, and the operators it knew. */
  #last: LastBatch;
  /** Taken, and not in the store yet. */
  #upload: ManifestUpload | undefined;
  /** Uploaded; the next record adopts it. */
  #pending: PendingManifest | undefined;
  #floor: number;
  #hintEtag: string | undefined;
  /** Since the newest manifest was begun, whether it is adopted yet or not. */
  #changes: ChangeTally;
  #cleaning: Promise<RetentionReport> | undefined;
  /** Replaced in the background: nothing depends on it. */
  #hint: Promise<void> = Promise.resolve();
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
    const fenced = await fenceStream(store, settings, found, fence, check);
    const log = new CheckpointLog(new MeteredStore(store), settings, fenced);
    await settings.crashHook('recovery:fenced');
    await log.#writeHint();
    return log;
  }

  private constructor(store: MeteredStore, settings: CheckpointSettings, { stream, fence, tail }: Fenced) {
    this.#store = store;
    this.#settings = settings;
    this.streamId = stream.streamId;
    this.compactionAlpha = settings.compactionAlpha;
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
    this.#last = lastOf(this.#status);
    this.#queue = new CommitQueue({
      writeGroup: (group) => this.#writeGroup(group),
      inlineBytesMax: settings.inlineBytesMax,
      clock: settings.clock,
      failed: (error) => this.#dropped(error),
    });
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

  /** The rows of a handle that is to be published. @throws CHECKPOINT_CORRUPT; FENCED when another driver has cleaned up */
  readContent(content: Content): Promise<Uint8Array> {
    return readUnpublished(this.#store, content, { streamId: this.streamId, epoch: this.epoch, floor: this.#floor });
  }

  /** When the last record was written, by the store's clock. */
  get tailTimeMs(): number {
    return this.#writer.tail.serverTimeMs;
  }

  get standing(): LogStanding {
    const { written } = this.#store;
    const log = { floor: this.#floor, tailSlot: this.#status.tailSlot, bytesSince: this.#changes.bytes, written };
    return standingOf(this.#inForce?.manifest, log);
  }

  /** Makes the ranges of the next batch durable before it has effects, in a record of its own. */
  recordPlan(plan: PlannedBatch): Promise<void> {
    return this.#record(async () => {
      assertNext(plan.batchId, this.#last.batchId);
      invariant(this.#status.plan === undefined, `Batch ${plan.batchId} has a recorded plan, which must be used.`);
      await this.#append((place) => ({ ...place, kind: 'plan', plan }));
    });
  }

  /**
   * Hands in the next batch. When it resolves, the batch has happened; when it rejects, only the next start knows. Calls
   * need not wait for each other: what is handed in while a record is on its way goes into the next one together.
   */
  async commitBatch(batch: BatchCommit): Promise<CommitReceipt> {
    this.#assertOpen();
    assertBatch(batch, this.#last.batchId);
    assertReceipts(this.#status, this.#queue.waitingBatches, batch.receipts);
    const bytes = contentBytes(batch);
    const isInline = bytes <= this.#settings.inlineBytesMax;
    const contents = isInline ? inlineContents(batch) : this.#uploadSegments(batch);
    this.#last = { batchId: batch.batchId, uids: new Set(batch.deltas.map(({ uid }) => uid)) };
    noteBatch(this.#changes, batch, isInline);
    return this.#queue.addBatch(batch, contents, isInline ? bytes : 0, batch.plan !== undefined);
  }

  #uploadSegments(batch: BatchCommit): Promise<StoredContents> {
    // The record's slot or a later one: every record before it may still become one of its own.
    const slot = this.#writer.tail.slot + this.#queue.recordsMax + 1;
    return segmentContents(this.#store, this.#settings, batch, (index, id) => {
      return segmentName(this.epoch, slot, index, id);
    });
  }

  async #writeGroup(group: readonly ReadyBatch<BatchCommit>[]): Promise<readonly CommitReceipt[]> {
    this.#assertOpen();
    const { crashHook } = this.#settings;
    if (group.length > 1) await crashHook('commit:grouped');
    const content = groupContent(group);
    const { record, bytes, encodeStartMs, encodeMs, uploadMs } = await this.#append(
      (place): BatchRecord => ({ ...place, kind: 'batch', ...content }),
      crashHook,
    );
    this.#recovered = undefined;
    const { slot } = record;
    this.#settings.onCommitted({
      slot,
      encodeMs,
      uploadMs,
      waitMs: encodeStartMs - group[0]!.queuedMs,
      ...sumOf(group),
    });
    return group.map(({ contents: { segments, segmentBytes } }, index) => {
      this.#retention.noteSegments(slot, segments);
      return {
        slot,
        bytes: (index === 0 ? bytes : 0) + segmentBytes,
        segments: segments.length,
        batches: group.length,
      };
    });
  }

  /**
   * Undefined: no manifest is due. Else what it needs, by operator uid; operators that did not change are not named, so
   * the map may be empty, and the manifest is due all the same.
   */
  manifestDue(): ReadonlyMap<string, ExtentKind> | undefined {
    const { manifestEveryRecords, manifestEveryBytes } = this.#settings;
    const { records, bytes, changed } = this.#changes;
    if (this.#upload !== undefined || this.#pending !== undefined || this.#last.batchId === 0) return undefined;
    if (records + this.#queue.recordsMin < manifestEveryRecords && bytes < manifestEveryBytes) return undefined;
    const due = [...changed].filter((uid) => this.#last.uids.has(uid));
    return new Map(due.map((uid) => [uid, extentKindDue(this.#inForce?.manifest, uid)]));
  }

  /**
   * Begins a manifest of the state as of the batch handed in last; its record ends with this batch. The upload goes on in
   * the background, once that record is durable, beside other calls. The next record after the upload adopts the
   * manifest; a crash before leaves objects that nothing refers to.
   *
   * @param extents those that {@link manifestDue} asked for, per operator one or several; 'base' may stand where 'delta' would do.
   * @returns resolves when it is uploaded. A failure is also that of every later call.
   */
  async writeManifest(extents: readonly StateExtent[]): Promise<void> {
    this.#assertOpen();
    invariant(this.#upload === undefined && this.#pending === undefined, 'The manifest before was not adopted yet.');
    const due = this.manifestDue();
    invariant(due, 'No manifest is due.');
    assertExtents(due, extents);
    this.#changes = noChanges();
    this.#queue.endGroup();
    const upload = new ManifestUpload(this.#last.batchId, () => this.#uploadManifest(extents));
    this.#upload = upload;
    if (this.#status.lastBatch?.batchId === upload.afterBatchId) upload.begin();
    await upload.done;
  }

  /** L4: called when the record of its last batch is the last one; fixes what it describes. */
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

  /**
   * A record that an operator asked for: see operator-records. `state`: what it makes the present keyed state; uploaded
   * first, and adopted by the record.
   */
  appendAsked(build: (place: RecordPlace) => LogRecord, state?: PointState): Promise<void> {
    return this.#record(async () => {
      if (state !== undefined) await this.#writePoint(state);
      await this.#append(build, this.#settings.crashHook);
    });
  }

  async #writePoint(state: PointState): Promise<void> {
    await this.#upload?.done;
    // A manifest that waits for its adoption is passed over: it describes what is being left.
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

  /**
   * Raises the floor and deletes what no kept manifest needs; beside other calls. Cheap when no record has adopted a
   * manifest since.
   */
  async retain(): Promise<RetentionReport> {
    this.#assertOpen();
    this.#cleaning ??= this.#retention.run().finally(() => {
      this.#cleaning = undefined;
    });
    return this.#cleaning;
  }

  /** The last record of a clean stop; nothing can be written after it. Adopts a manifest that is being uploaded. */
  drain(receipts: readonly Receipt[]): Promise<void> {
    return this.#record(async () => {
      assertReceipts(this.#status, [], receipts);
      await this.#upload?.done;
      await this.#append((place) => ({ ...place, kind: 'drain', receipts }));
      this.#failure = new TidemarkError('INTERNAL', 'The log was drained: nothing follows a clean stop.');
      await this.#hint;
      await this.#writeHint();
    });
  }

  /** One record, with whatever manifest is waiting; then everything this driver knows moves on with it. */
  async #append(
    build: (place: RecordPlace) => LogRecord,
    crashHook: CheckpointSettings['crashHook'] = () => {},
  ): Promise<Appended> {
    const { clock } = this.#settings;
    const pending = this.#pending;
    const encodeStartMs = clock.now();
    const { record, frame } = this.#writer.encode(
      {
        manifest: (pending ?? this.#inForce)?.reference,
        previousFence: this.#status.epoch,
        floor: pending?.floor ?? this.#floor,
      },
      build,
    );
    const status = statusAfter(this.#status, record);
    let uploadStartMs = clock.now();
    const encodeMs = uploadStartMs - encodeStartMs;
    try {
      await crashHook('commit:before-record');
      uploadStartMs = clock.now();
      await this.#writer.append(record, frame);
      await crashHook('commit:record-written');
    } catch (error) {
      // L3: the record may be in the store, and a second content for its slot must never be tried.
      this.#failure = error;
      throw error;
    }
    this.#status = status;
    this.#retention.noteSavepoints(this.streamId, status.savepoints);
    // A rewind takes a batch id too.
    if (record.kind !== 'batch' && this.#queue.waitingBatches.length === 0) this.#last = lastOf(status);
    if (pending !== undefined) {
      this.#inForce = pending;
      this.#pending = undefined;
      this.#floor = pending.floor;
      this.#retention.noteAdoption(pending.reference, pending.manifest, pending.floor);
    }
    const upload = this.#upload;
    // What a manifest is about to describe is no change since.
    if (upload === undefined || upload.isBegun) this.#changes.records += 1;
    else if (status.lastBatch?.batchId === upload.afterBatchId) upload.begin();
    if (pending !== undefined) this.#hint = this.#hint.then(() => this.#writeHint()).catch(() => {});
    return { record, bytes: frame.bytes.length, encodeStartMs, encodeMs, uploadMs: clock.now() - uploadStartMs };
  }

  async #writeHint(): Promise<void> {
    const hint = { streamId: this.streamId, manifest: this.#inForce?.reference, tailSlot: this.#writer.tail.slot };
    this.#hintEtag = await writeHint(this.#store, hint, this.#hintEtag, this.#settings.random.id());
  }

  /** One call after the other, in the order of records. */
  async #record<R>(write: () => Promise<R>): Promise<R> {
    this.#assertOpen();
    return this.#queue.addRecord(async () => {
      this.#assertOpen();
      return write();
    });
  }

  #assertOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** What waited was dropped: the next batch follows the last one that is durable. */
  #dropped(error: unknown): void {
    this.#last = lastOf(this.#status);
    if (this.#upload === undefined || this.#upload.afterBatchId <= this.#last.batchId) return;
    // What it was to describe will never be.
    this.#failure ??= error;
    this.#upload.drop(error);
  }
}

function noChanges(): ChangeTally {
  return { records: 0, bytes: 0, changed: new Set() };
}
