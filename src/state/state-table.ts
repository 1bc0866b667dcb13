import { allBuckets, type BucketRange, bucketCount, bucketOf } from '../base/buckets.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { hashKey } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { hashKeyAt, readKeyAt } from '../base/key-bytes.ts';
import { copyPlain } from '../base/plain-data.ts';
import { finish, keysPerStep, type Steps, Turns } from '../base/turns.ts';
import { BucketSums } from './bucket-sums.ts';
import type { TableShare } from './committed-panes.ts';
import { Fingerprint, schemasOf } from './fingerprint.ts';
import { atomsOf, LazyRestore } from './lazy-restore.ts';
import { RangeLedger } from './range-ledger.ts';
import { splitExtent } from './split-extent.ts';
import { ExtentScanner, writeExtentHead } from './state-codec.ts';
import { StatePartition } from './state-partition.ts';
import { ValueSchema } from './state-schema.ts';
import { readInOrder, type StoredExtent, type StoredOperator, type TableNote } from './stored-operator.ts';
import { type TableExtent, tableExtents } from './table-extents.ts';

interface StateTableOptions {
  readonly uid: string;
  readonly numPartitions: number;
  /** Where a restored key belongs; must agree with the partitioner of the operator. Default: hash of the key. */
  readonly partitionOf?: ((key: unknown) => number) | undefined;
  /** Default: version 1, and no other can be read. */
  readonly schema?: ValueSchema | undefined;
  /** A pane with more keys in a partition is kept as bytes, not as objects. Default 8,192. */
  readonly cellsMax?: number | undefined;
}

/** What a batch did to a table, encoded. */
export interface SealedChange {
  readonly bytes: Uint8Array;
  readonly fingerprint: string;
}

const noBytes = new Uint8Array(0);
const cellsMaxDefault = 8192;
// Copied in one step.
const copyBytes = 4 * 1024 * 1024;
// Less is read at once before the first batch.
const lazyBytesMin = 8 * 1024 * 1024;

/**
 * The state of one stateful operator: its partitions, and a small `meta` value for the operator's own bookkeeping.
 *
 * A batch writes to the overlays of the partitions (see StatePartition), then the table is sealed once, committed by
 * the log, and merged; or discarded when the batch failed. Bytes are opaque to the log and applied in order at a restore.
 */
export class StateTable {
  readonly uid: string;
  readonly schema: ValueSchema;
  readonly #options: StateTableOptions;
  readonly #partitions: StatePartition[] = [];
  #share: TableShare;
  #ledger = new RangeLedger();
  /** Undefined: all there is is loaded. */
  #restore: LazyRestore | undefined;
  /** Of the committed state. */
  #fingerprint = new Fingerprint();
  /** What the log holds under this uid from before, of an operator that was dropped or removed, is not ours. */
  #startsAnew = true;
  #meta: unknown;
  #nextMeta: unknown;
  #metaChanged = false;
  readonly #droppedSinceManifest = new Set<number>();
  #sealedBytes = 0;
  #bytesSinceManifest = 0;

  constructor(options: StateTableOptions) {
    this.uid = options.uid;
    this.#options = options;
    this.schema = options.schema ?? new ValueSchema(options.uid, undefined);
    this.#share = this.#newShare();
    for (let p = 0; p < options.numPartitions; p++) this.partition(p);
  }

  get numPartitions(): number {
    return this.#partitions.length;
  }

  /** Partition `index`; partitions come into being when they are first asked for. */
  partition(index: number): StatePartition {
    while (this.#partitions.length <= index) this.#partitions.push(new StatePartition(this.#share));
    return this.#partitions[index]!;
  }

  /** Plain data of the operator as the running batch sees it. */
  get meta(): unknown {
    return this.#metaChanged ? this.#nextMeta : this.#meta;
  }

  set meta(value: unknown) {
    this.#nextMeta = copyPlain(value);
    this.#metaChanged = true;
  }

  /** Encodes what the running batch changed; empty bytes when nothing did. @throws VALUE_UNSUPPORTED, KEY_UNSUPPORTED */
  *sealSteps(): Steps<SealedChange> {
    const parts: Uint8Array[] = [];
    for (const partition of this.#partitions) parts.push(yield* partition.sealSteps());
    const writer = new ByteWriter(parts.reduce((sum, { length }) => sum + length, 256));
    const startsAnew = this.#startsAnew;
    writeExtentHead(writer, { startsAnew, base: undefined, hasMeta: this.#metaChanged, meta: this.#nextMeta });
    let unchanged = !this.#metaChanged && !startsAnew;
    for (const bytes of parts) {
      for (let at = 0; at < bytes.length; at += copyBytes) {
        writer.raw(bytes, at, Math.min(bytes.length, at + copyBytes));
        yield;
      }
      if (bytes.length > 0) unchanged = false;
    }
    this.#sealedBytes = unchanged ? 0 : writer.length;
    return { bytes: unchanged ? noBytes : writer.view(), fingerprint: this.fingerprint };
  }

  /** `sealSteps` at once. */
  seal(): SealedChange {
    return finish(this.sealSteps());
  }

  /**
   * The sealed batch is committed. Until the last step no batch may begin and no manifest be made; state may be loaded.
   */
  *mergeSteps(): Steps {
    for (const partition of this.#partitions) {
      const change = partition.sealedChange;
      for (const pane of partition.droppedPanes) this.#droppedSinceManifest.add(pane);
      yield* partition.mergeSteps();
      if (change !== undefined) this.#fingerprint.addAll(change);
    }
    this.#bytesSinceManifest += this.#sealedBytes;
    this.#startsAnew = false;
    if (!this.#metaChanged) return;
    this.#meta = this.#nextMeta;
    this.#metaChanged = false;
  }

  /** `mergeSteps` at once. */
  merge(): void {
    finish(this.mergeSteps());
  }

  /** The batch failed: committed state stays as it was. */
  discard(): void {
    for (const partition of this.#partitions) partition.discard();
    this.#metaChanged = false;
    this.#nextMeta = undefined;
  }

  /** Applies one extent. `sinceManifest`: it is newer than the newest manifest, so the next one must hold it. */
  *restoreSteps(bytes: Uint8Array, sinceManifest: boolean): Steps {
    if (bytes.length === 0) return;
    const scanner = new ExtentScanner(bytes);
    if (scanner.startsAnew) this.#forgetAll();
    this.#startsAnew = false;
    if (scanner.base !== undefined) {
      for (const { committed } of this.#partitions) committed.restoreBase(scanner.base);
    }
    if (scanner.hasMeta) this.#meta = scanner.meta;
    yield* this.#apply(scanner, sinceManifest, scanner.base ?? allBuckets);
    this.#fingerprint = this.#share.sums.fingerprintOf(allBuckets);
  }

  /** `restoreSteps` at once. */
  restore(bytes: Uint8Array, sinceManifest: boolean): void {
    finish(this.restoreSteps(bytes, sinceManifest));
  }

  /**
   * Brings back what the store holds: all of it, or, of a large state, only what is needed to run batches; see
   * `ensureLoaded`. @returns bytes read so far. @throws STATE_MISMATCH, CHECKPOINT_CORRUPT, and what the store throws
   */
  async restoreFrom(
    stored: StoredOperator,
    expectedFingerprint: string | undefined,
    turns: Turns = new Turns(),
  ): Promise<number> {
    const all: Uint8Array[] = [];
    for await (const bytes of readInOrder(stored.deltas)) all.push(bytes);
    const anewAt = all.findLastIndex((bytes) => bytes.length > 0 && new ExtentScanner(bytes).startsAnew);
    const extents = anewAt < 0 ? stored.extents : [];
    const deltas = all.slice(Math.max(anewAt, 0)).filter((bytes) => bytes.length > 0);
    const extentBytes = extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    const deltaBytes = all.reduce((sum, { length }) => sum + length, 0);
    if (
      expectedFingerprint !== undefined &&
      extentBytes >= lazyBytesMin &&
      this.#canWait(extents, expectedFingerprint)
    ) {
      await this.#begin(extents, deltas, expectedFingerprint, turns);
      return deltaBytes;
    }
    for await (const bytes of readInOrder(extents)) await turns.run(this.restoreSteps(bytes, false));
    for (const bytes of deltas) await turns.run(this.restoreSteps(bytes, true));
    if (extents.length > 0) this.#ledger.restore(this.#lazily(extents, [], '', turns).ledger());
    this.verify(expectedFingerprint);
    return extentBytes + deltaBytes;
  }

  /** All that must be known before the state is read is known. */
  #canWait(extents: readonly StoredExtent[], fingerprint: string): boolean {
    const isOfOneSchema = schemasOf(fingerprint).every((schema) => schema === this.schema.version);
    return isOfOneSchema && extents.every(({ summary }) => summary !== undefined);
  }

  /** Knows of the state what batches need to know, and has the rest loaded when it is needed. */
  async #begin(
    extents: readonly StoredExtent[],
    deltas: readonly Uint8Array[],
    fingerprint: string,
    turns: Turns,
  ): Promise<void> {
    this.#startsAnew = false;
    const note = extents.at(-1)!.summary!.note as TableNote;
    this.#meta = note.meta;
    this.#share.nextOrdinal = note.nextOrdinal;
    const ranges = atomsOf(extents);
    const cut: (Uint8Array | undefined)[][] = [];
    for (const bytes of deltas) {
      await turns.run(this.#noteDelta(new ExtentScanner(bytes)));
      cut.push(await turns.run(splitExtent(bytes, ranges)));
    }
    this.#restore = this.#lazily(extents, cut, fingerprint, turns);
    this.#ledger.restore(this.#restore.ledger());
    this.#fingerprint = Fingerprint.parse(fingerprint, this.schema.version);
  }

  /** False while some of the restored state is not read yet. */
  get isLoaded(): boolean {
    return this.#restore === undefined || this.#restore.isDone;
  }

  /**
   * Resolves when the state of these keys is there; without keys, when all is. Must be waited for before it is read.
   * @throws STATE_MISMATCH, CHECKPOINT_CORRUPT, and what the store throws: the stream can't go on
   */
  async ensureLoaded(keys?: readonly unknown[]): Promise<void> {
    const restore = this.#restore;
    if (restore === undefined) return;
    if (keys === undefined) await restore.loadAll();
    else await restore.load(new Set(keys.map((key) => bucketOf(hashKey(key)))));
    if (restore.isDone) this.#restore = undefined;
  }

  /** Whether batches have written anything since the last manifest. */
  get isChanged(): boolean {
    return this.#bytesSinceManifest > 0;
  }

  /** Resolves when a manifest can be made: it takes over what the records since the last one hold. */
  async readyForManifest(): Promise<void> {
    await this.#restore?.loadChanged();
  }

  /** @throws STATE_MISMATCH when the restored state is not what was committed. */
  verify(expectedFingerprint: string | undefined): void {
    const actual = this.fingerprint;
    if (expectedFingerprint === undefined || expectedFingerprint === actual) return;
    throw new TidemarkError(
      'STATE_MISMATCH',
      `The state of operator '${this.uid}' was committed with fingerprint ${expectedFingerprint} and read back with ` +
        `${actual} (entries:digest, and @schema versions other than 1). The stream was not started, and nothing was deleted or overwritten.`,
      { context: { uid: this.uid, expected: expectedFingerprint, actual } },
    );
  }

  /** Of the state after the running batch, as far as it is sealed: entries and digest. */
  get fingerprint(): string {
    const fingerprint = this.#fingerprint.clone();
    for (const { sealedChange } of this.#partitions) if (sealedChange !== undefined) fingerprint.addAll(sealedChange);
    return fingerprint.toString();
  }

  /**
   * What the next manifest must hold of the committed state: see {@link tableExtents}. No batch may be merged meanwhile.
   * Undefined stands between two steps of work.
   */
  *extentSteps(alpha: number): Generator<TableExtent | undefined> {
    const { sums, nextOrdinal } = this.#share;
    const source = {
      partitions: this.#partitions,
      sums,
      ledger: this.#ledger,
      note: { meta: this.#meta, nextOrdinal },
      dropped: [...this.#droppedSinceManifest],
      bytesSinceManifest: this.#bytesSinceManifest,
      isLoaded: (range: BucketRange) => this.#restore?.isLoaded(range) ?? true,
    };
    yield* tableExtents(source, alpha);
    this.#droppedSinceManifest.clear();
    this.#bytesSinceManifest = 0;
  }

  /** `extentSteps` at once. */
  extents(alpha: number): TableExtent[] {
    return [...this.extentSteps(alpha)].filter((extent) => extent !== undefined);
  }

  /** Without a checkpoint nobody asks for what has gone: nothing must be kept of it. */
  manifestWritten(): void {
    this.#droppedSinceManifest.clear();
    for (const { committed } of this.#partitions) committed.forgetRemoved();
  }

  /** Keys of pane 0 over all partitions; while some are not loaded, of all panes. */
  get keyCount(): number {
    if (!this.isLoaded) return this.#fingerprint.count;
    return this.#partitions.reduce((sum, { keyCount }) => sum + keyCount, 0);
  }

  /** Memory held by panes that are kept as bytes. */
  get heldBytes(): number {
    return this.#partitions.reduce((sum, { committed }) => sum + committed.heldBytes, 0);
  }

  *#apply(scanner: ExtentScanner, isDirty: boolean, range: BucketRange): Steps {
    const { partitionOf, numPartitions } = this.#options;
    const share = bucketCount / (range.to - range.from);
    let count = 0;
    while (scanner.nextGroup()) {
      if (scanner.dropped) {
        for (const { committed } of this.#partitions) yield* committed.drop(scanner.pane);
        if (isDirty) this.#droppedSinceManifest.add(scanner.pane);
      }
      let expected = 1;
      let ofKind: string | undefined;
      while (scanner.nextEntry()) {
        const { bytes: source, start, keyEnd, kind } = scanner;
        if (kind !== ofKind) {
          ofKind = kind;
          // As if all buckets held as many. A group is of one partition already, if there are as many as before.
          if (kind === 'added') expected = scanner.entriesLeft * share;
          for (const { committed } of this.#partitions) yield* committed.growTo(scanner.pane, expected);
        }
        const keyHash = hashKeyAt(source, start, keyEnd);
        if (scanner.kind === 'added') this.#share.nextOrdinal = Math.max(this.#share.nextOrdinal, scanner.ordinal + 1);
        const index = partitionOf?.(readKeyAt(source, start, keyEnd)) ?? (keyHash >>> 0) % numPartitions;
        this.partition(index).restore(scanner, keyHash, isDirty, expected);
        if (++count % keysPerStep === 0) yield;
      }
    }
    for (const { committed } of this.#partitions) yield* committed.tidy();
  }

  /** What must be known of a change that is applied bucket by bucket later. */
  *#noteDelta(scanner: ExtentScanner): Steps {
    if (scanner.hasMeta) this.#meta = scanner.meta;
    let count = 0;
    while (scanner.nextGroup()) {
      while (scanner.nextEntry()) {
        if (scanner.kind === 'added') this.#share.nextOrdinal = Math.max(this.#share.nextOrdinal, scanner.ordinal + 1);
        if (++count % keysPerStep === 0) yield;
      }
    }
  }

  #lazily(
    extents: readonly StoredExtent[],
    deltas: readonly (readonly (Uint8Array | undefined)[])[],
    expected: string,
    turns: Turns,
  ): LazyRestore {
    const target = {
      uid: this.uid,
      sums: this.#share.sums,
      turns,
      apply: (bytes: Uint8Array, isDirty: boolean, range: BucketRange) =>
        this.#apply(new ExtentScanner(bytes), isDirty, range),
    };
    return new LazyRestore(target, extents, deltas, expected);
  }

  #newShare(): TableShare {
    const { cellsMax = cellsMaxDefault } = this.#options;
    return { schema: this.schema, cellsMax, sums: new BucketSums(), nextOrdinal: 0 };
  }

  #forgetAll(): void {
    const count = this.#partitions.length;
    this.#partitions.length = 0;
    this.#share = this.#newShare();
    this.#ledger = new RangeLedger();
    if (count > 0) this.partition(count - 1);
    this.#meta = undefined;
    this.#droppedSinceManifest.clear();
  }
}
