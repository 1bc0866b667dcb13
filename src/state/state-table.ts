import { allBuckets, type BucketRange, bucketCount, bucketOf } from '../base/buckets.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { hashKey } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { hashKeyAt, readKeyAt } from '../base/key-bytes.ts';
import { copyPlain } from '../base/plain-data.ts';
import { BucketSums } from './bucket-sums.ts';
import { Fingerprint, schemasOf } from './fingerprint.ts';
import { LazyRestore } from './lazy-restore.ts';
import { type LedgerRange, RangeLedger } from './range-ledger.ts';
import { ExtentScanner, writeDrop, writeExtentHead } from './state-codec.ts';
import { StatePartition, type TableShare } from './state-partition.ts';
import { ValueSchema } from './state-schema.ts';
import { readInOrder, type StoredOperator, type TableNote } from './stored-operator.ts';

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

/** Some buckets of the committed state, whole or changed, for a manifest. */
export interface TableExtent {
  readonly kind: 'base' | 'delta';
  readonly buckets: BucketRange;
  readonly bytes: Uint8Array;
  readonly summary: { readonly fingerprint: string; readonly note: TableNote };
}

/** Changes of neighbouring buckets on their way into one extent. */
interface OpenDelta {
  readonly writer: ByteWriter;
  readonly from: number;
  to: number;
  isChanged: boolean;
}

const noBytes = new Uint8Array(0);
const cellsMaxDefault = 8192;
// Changes of neighbouring buckets share an extent up to here.
const deltaBytesMin = 64 * 1024;
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
  seal(_batchId: number): SealedChange {
    const parts = this.#partitions.map((partition) => partition.seal());
    const writer = new ByteWriter(parts.reduce((sum, { length }) => sum + length, 256));
    const startsAnew = this.#startsAnew;
    writeExtentHead(writer, { startsAnew, base: undefined, hasMeta: this.#metaChanged, meta: this.#nextMeta });
    let unchanged = !this.#metaChanged && !startsAnew;
    for (const bytes of parts) {
      writer.raw(bytes);
      if (bytes.length > 0) unchanged = false;
    }
    this.#sealedBytes = unchanged ? 0 : writer.length;
    return { bytes: unchanged ? noBytes : writer.view(), fingerprint: this.fingerprint };
  }

  /** The sealed batch is committed. */
  merge(): void {
    for (const _ of this.mergeSteps());
  }

  /**
   * `merge` in steps, so that other work has its turn between them: each gives the number of keys it changed. Until the
   * last step no batch may begin and no manifest be made; state may be loaded.
   */
  *mergeSteps(): Generator<number> {
    for (const partition of this.#partitions) {
      const change = partition.sealedChange;
      if (change !== undefined) this.#fingerprint.addAll(change);
      for (const pane of partition.droppedPanes) this.#droppedSinceManifest.add(pane);
      yield partition.merge();
    }
    this.#bytesSinceManifest += this.#sealedBytes;
    this.#startsAnew = false;
    if (!this.#metaChanged) return;
    this.#meta = this.#nextMeta;
    this.#metaChanged = false;
  }

  /** The batch failed: committed state stays as it was. */
  discard(): void {
    for (const partition of this.#partitions) partition.discard();
    this.#metaChanged = false;
    this.#nextMeta = undefined;
  }

  /** Applies one extent. `sinceManifest`: it is newer than the newest manifest, so the next one must hold it. */
  restore(bytes: Uint8Array, sinceManifest: boolean): void {
    if (bytes.length === 0) return;
    const scanner = new ExtentScanner(bytes);
    if (scanner.startsAnew) this.#forgetAll();
    this.#startsAnew = false;
    if (scanner.base !== undefined) for (const partition of this.#partitions) partition.restoreBase(scanner.base);
    if (scanner.hasMeta) this.#meta = scanner.meta;
    this.#apply(scanner, sinceManifest, scanner.base ?? allBuckets);
    this.#fingerprint = this.#share.sums.fingerprintOf(allBuckets);
  }

  /**
   * Brings back what the store holds: all of it, or, of a large state, only what is needed to run batches; see
   * `ensureLoaded`. @returns bytes read so far. @throws STATE_MISMATCH, CHECKPOINT_CORRUPT, and what the store throws
   */
  async restoreFrom(stored: StoredOperator, expectedFingerprint: string | undefined): Promise<number> {
    const deltas: Uint8Array[] = [];
    for await (const bytes of readInOrder(stored.deltas)) deltas.push(bytes);
    const anewAt = deltas.findLastIndex((bytes) => bytes.length > 0 && new ExtentScanner(bytes).startsAnew);
    const extents = anewAt < 0 ? stored.extents : [];
    const extentBytes = extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    const deltaBytes = deltas.reduce((sum, { length }) => sum + length, 0);
    const isOfOneSchema =
      expectedFingerprint !== undefined &&
      schemasOf(expectedFingerprint).every((schema) => schema === this.schema.version);
    const isLazy =
      extentBytes >= lazyBytesMin && isOfOneSchema && extents.every(({ summary }) => summary !== undefined);
    if (!isLazy) {
      for await (const bytes of readInOrder(extents)) this.restore(bytes, false);
      for (const bytes of deltas.slice(Math.max(anewAt, 0))) this.restore(bytes, true);
      if (extents.length > 0) this.#ledger.restore(this.#lazily(extents, [], '').ledger());
      this.verify(expectedFingerprint);
      return extentBytes + deltaBytes;
    }
    this.#startsAnew = false;
    const note = extents.at(-1)!.summary!.note as TableNote;
    this.#meta = note.meta;
    this.#share.nextOrdinal = note.nextOrdinal;
    for (const bytes of deltas) if (bytes.length > 0) this.#noteDelta(new ExtentScanner(bytes));
    const written = deltas.filter((bytes) => bytes.length > 0);
    this.#restore = this.#lazily(extents, written, expectedFingerprint);
    this.#ledger.restore(this.#restore.ledger());
    this.#fingerprint = Fingerprint.parse(expectedFingerprint, this.schema.version);
    return deltaBytes;
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
   * What the next manifest must hold of the committed state, at least one extent: bases of some buckets, changes of the
   * others. Each is encoded when it is asked for and counts as stored then. No batch may be merged in between.
   * `alpha`: see RangeLedger.
   */
  *extents(alpha: number): Generator<TableExtent> {
    const ledger = this.#ledger;
    const bytesOf = (range: BucketRange): number => this.#share.sums.bytesOf(range);
    ledger.split(bytesOf);
    const due = ledger.due(alpha, this.#bytesSinceManifest, bytesOf);
    const dropped = [...this.#droppedSinceManifest];
    let isEmpty = true;
    let open: OpenDelta | undefined;
    let unchanged: OpenDelta | undefined;
    const close = (): TableExtent[] => {
      const closed = open;
      open = undefined;
      if (closed === undefined) return [];
      if (!closed.isChanged) {
        unchanged = closed;
        return [];
      }
      isEmpty = false;
      return [this.#extent('delta', closed, closed.writer)];
    };
    for (const range of ledger.ranges) {
      const { from, to } = range;
      const isLoaded = this.#restore?.isLoaded(range) ?? true;
      if (!isLoaded || due.has(range)) yield* close();
      if (!isLoaded) continue;
      if (due.has(range)) {
        isEmpty = false;
        const writer = this.#writer(range);
        for (const partition of this.#partitions) partition.encode(writer, range, false);
        ledger.wroteBase(range, writer.length);
        yield this.#extent('base', range, writer);
        continue;
      }
      if (open === undefined) {
        open = { writer: this.#writer(undefined), from, to, isChanged: dropped.length > 0 };
        for (const pane of dropped) writeDrop(open.writer, pane);
      }
      open.to = to;
      if (this.#encodeChanges(open.writer, range)) open.isChanged = true;
      if (open.writer.length >= deltaBytesMin) yield* close();
    }
    yield* close();
    if (isEmpty && unchanged !== undefined) yield this.#extent('delta', unchanged, unchanged.writer);
    this.#droppedSinceManifest.clear();
    this.#bytesSinceManifest = 0;
  }

  /** Without a checkpoint nobody asks for what has gone: nothing must be kept of it. */
  manifestWritten(): void {
    this.#droppedSinceManifest.clear();
    for (const partition of this.#partitions) partition.forgetRemoved();
  }

  /** Keys of pane 0 over all partitions; while some are not loaded, of all panes. */
  get keyCount(): number {
    if (!this.isLoaded) return this.#fingerprint.count;
    return this.#partitions.reduce((sum, { keyCount }) => sum + keyCount, 0);
  }

  /** Memory held by panes that are kept as bytes. */
  get heldBytes(): number {
    return this.#partitions.reduce((sum, { heldBytes }) => sum + heldBytes, 0);
  }

  #encodeChanges(writer: ByteWriter, range: LedgerRange): boolean {
    const before = writer.length;
    for (const partition of this.#partitions) partition.encode(writer, range, true);
    if (writer.length === before) return false;
    this.#ledger.wroteDelta(range, writer.length - before);
    return true;
  }

  #writer(base: BucketRange | undefined): ByteWriter {
    const writer = new ByteWriter();
    const meta = this.#meta;
    // Also when it is undefined: it may have been something.
    writeExtentHead(writer, { startsAnew: false, base, hasMeta: true, meta });
    return writer;
  }

  #extent(kind: 'base' | 'delta', { from, to }: BucketRange, writer: ByteWriter): TableExtent {
    const note: TableNote = { meta: this.#meta, nextOrdinal: this.#share.nextOrdinal };
    const fingerprint = this.#share.sums.fingerprintOf({ from, to }).toString();
    return { kind, buckets: { from, to }, bytes: writer.finish(), summary: { fingerprint, note } };
  }

  #apply(scanner: ExtentScanner, isDirty: boolean, range: BucketRange): void {
    const { partitionOf, numPartitions } = this.#options;
    while (scanner.nextGroup()) {
      if (scanner.dropped) {
        for (const partition of this.#partitions) partition.restoreDrop(scanner.pane);
        if (isDirty) this.#droppedSinceManifest.add(scanner.pane);
      }
      let expected = 1;
      let ofKind: string | undefined;
      while (scanner.nextEntry()) {
        const { bytes: source, start, keyEnd } = scanner;
        if (scanner.kind !== ofKind) {
          ofKind = scanner.kind;
          // As if all buckets held as many. A group is of one partition already, if there are as many as before.
          if (ofKind === 'added') expected = (scanner.entriesLeft * bucketCount) / (range.to - range.from);
        }
        const keyHash = hashKeyAt(source, start, keyEnd);
        if (scanner.kind === 'added') this.#share.nextOrdinal = Math.max(this.#share.nextOrdinal, scanner.ordinal + 1);
        const index = partitionOf?.(readKeyAt(source, start, keyEnd)) ?? (keyHash >>> 0) % numPartitions;
        this.partition(index).restore(scanner, keyHash, isDirty, expected);
      }
    }
    for (const partition of this.#partitions) partition.restored();
  }

  /** What must be known of a change that is applied bucket by bucket later. */
  #noteDelta(scanner: ExtentScanner): void {
    if (scanner.hasMeta) this.#meta = scanner.meta;
    while (scanner.nextGroup()) {
      while (scanner.nextEntry()) {
        if (scanner.kind === 'added') this.#share.nextOrdinal = Math.max(this.#share.nextOrdinal, scanner.ordinal + 1);
      }
    }
  }

  #lazily(extents: StoredOperator['extents'], deltas: readonly Uint8Array[], expected: string): LazyRestore {
    const target = {
      uid: this.uid,
      sums: this.#share.sums,
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
