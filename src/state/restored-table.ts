import { allBuckets, type BucketRange, bucketCount, bucketOf } from '../base/buckets.ts';
import { hashKey } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { hashKeyAt, readKeyAt } from '../base/key-bytes.ts';
import { finish, keysPerStep, type Steps, Turns } from '../base/turns.ts';
import { BucketSums } from './bucket-sums.ts';
import type { TableShare } from './committed-panes.ts';
import { Fingerprint, schemasOf } from './fingerprint.ts';
import { atomsOf, LazyRestore } from './lazy-restore.ts';
import { RangeLedger } from './range-ledger.ts';
import { splitExtent } from './split-extent.ts';
import { ExtentScanner } from './state-codec.ts';
import { StatePartition } from './state-partition.ts';
import { ValueSchema } from './state-schema.ts';
import {
  type PartitionsElsewhere,
  type RestoredPartitions,
  readChanges,
  readInOrder,
  type StoredExtent,
  type StoredOperator,
  type TableNote,
} from './stored-operator.ts';

export interface StateTableOptions {
  readonly uid: string;
  readonly numPartitions: number;
  /** Where a restored key belongs; must agree with the partitioner of the operator. Default: hash of the key. */
  readonly partitionOf?: ((key: unknown) => number) | undefined;
  /** Default: version 1, and no other can be read. */
  readonly schema?: ValueSchema | undefined;
  /** A pane with more keys in a partition is kept as bytes, not as objects. Default 8,192. */
  readonly cellsMax?: number | undefined;
}

const cellsMaxDefault = 8192;
// Less is read at once before the first batch.
const lazyBytesMin = 8 * 1024 * 1024;

/**
 * The committed state of one stateful operator: its partitions, what is known of all of them together, and how both come
 * back from the store. With worker threads, every thread holds some of the partitions, and the driver's what is known of all.
 */
export abstract class RestoredTable {
  readonly uid: string;
  readonly schema: ValueSchema;
  /** Of partitions in other threads, in pane 0. */
  keysElsewhere = 0;
  readonly #options: StateTableOptions;
  protected readonly partitions: StatePartition[] = [];
  protected share: TableShare;
  protected ledger = new RangeLedger();
  protected committedFingerprint = new Fingerprint();
  /** What the log holds under this uid from before, of an operator that was dropped or removed, is not ours. */
  protected startsAnew = true;
  protected committedMeta: unknown;
  protected readonly droppedSinceManifest = new Set<number>();
  /** Undefined: all there is is loaded. */
  #restore: LazyRestore | undefined;
  protected isOurs: (partition: number) => boolean = () => true;

  constructor(options: StateTableOptions) {
    this.uid = options.uid;
    this.#options = options;
    this.schema = options.schema ?? new ValueSchema(options.uid, undefined);
    this.share = this.#newShare();
    for (let p = 0; p < options.numPartitions; p++) this.partition(p);
  }

  get numPartitions(): number {
    return this.partitions.length;
  }

  /** Partition `index`; partitions come into being when they are first asked for. */
  partition(index: number): StatePartition {
    while (this.partitions.length <= index) this.partitions.push(new StatePartition(this.share));
    return this.partitions[index]!;
  }

  /** Applies one extent. `sinceManifest`: it is newer than the newest manifest, so the next one must hold it. */
  *restoreSteps(bytes: Uint8Array, sinceManifest: boolean): Steps {
    if (bytes.length === 0) return;
    const scanner = new ExtentScanner(bytes);
    if (scanner.startsAnew) this.#forgetAll();
    this.startsAnew = false;
    if (scanner.base !== undefined) {
      for (const { committed } of this.partitions) committed.restoreBase(scanner.base);
    }
    if (scanner.hasMeta) this.committedMeta = scanner.meta;
    yield* this.#apply(scanner, sinceManifest, scanner.base ?? allBuckets);
    this.committedFingerprint = this.share.sums.fingerprintOf(allBuckets);
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
    const { extents, deltas, bytesRead } = await readChanges(stored);
    const extentBytes = extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    if (
      expectedFingerprint !== undefined &&
      extentBytes >= lazyBytesMin &&
      this.#canWait(extents, expectedFingerprint)
    ) {
      await this.#begin(extents, deltas, expectedFingerprint, turns);
      return bytesRead;
    }
    for await (const bytes of readInOrder(extents)) await turns.run(this.restoreSteps(bytes, false));
    for (const bytes of deltas) await turns.run(this.restoreSteps(bytes, true));
    if (extents.length > 0) this.ledger.restore(this.#lazily(extents, [], '', turns).ledger());
    this.verify(expectedFingerprint);
    return extentBytes + bytesRead;
  }

  /**
   * Gives partitions elsewhere all the state that the store holds. The first time this table takes over what is to be
   * known of it; later, when those that held it are gone, it knows. @returns bytes read. @throws as `restoreFrom`
   */
  async restoreElsewhere(
    stored: StoredOperator,
    expectedFingerprint: string | undefined,
    elsewhere: PartitionsElsewhere,
  ): Promise<number> {
    const isFirst = this.startsAnew;
    const { extents, deltas, bytesRead } = await readChanges(stored);
    let meta: unknown;
    let bytesApplied = 0;
    const apply = async (bytes: Uint8Array, sinceManifest: boolean): Promise<void> => {
      const head = new ExtentScanner(bytes);
      if (head.hasMeta) meta = head.meta;
      bytesApplied += bytes.length;
      await elsewhere.apply(bytes, sinceManifest);
    };
    for await (const bytes of readInOrder(extents)) if (bytes.length > 0) await apply(bytes, false);
    for (const bytes of deltas) await apply(bytes, true);
    const { fingerprint, keyCount, nextOrdinal, dropped } = await elsewhere.restored();
    this.keysElsewhere = keyCount;
    for (const pane of dropped) this.droppedSinceManifest.add(pane);
    if (isFirst && bytesApplied > 0) {
      this.startsAnew = false;
      this.committedMeta = meta;
      this.committedFingerprint = fingerprint;
      this.share.nextOrdinal = nextOrdinal;
      if (extents.length > 0) this.ledger.restore(this.#lazily(extents, [], '', new Turns()).ledger());
    }
    this.#requireEqual(fingerprint.toString(), expectedFingerprint ?? this.committedFingerprint.toString());
    return Math.max(bytesRead, bytesApplied);
  }

  /** What a restore has made of the partitions that are here. */
  get restoredHere(): RestoredPartitions {
    const { nextOrdinal, sums } = this.share;
    const fingerprint = sums.fingerprintOf(allBuckets);
    return { fingerprint, nextOrdinal, keyCount: this.keysHere, dropped: [...this.droppedSinceManifest] };
  }

  /** Of the partitions that are here. */
  get sumsHere(): BucketSums {
    return this.share.sums;
  }

  /** Some of the partitions are in other threads: they are neither sealed nor restored here. */
  holdOnly(isOurs: (partition: number) => boolean): void {
    this.isOurs = isOurs;
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
    this.startsAnew = false;
    const note = extents.at(-1)!.summary!.note as TableNote;
    this.committedMeta = note.meta;
    this.share.nextOrdinal = note.nextOrdinal;
    const ranges = atomsOf(extents);
    const cut: (Uint8Array | undefined)[][] = [];
    for (const bytes of deltas) {
      await turns.run(this.#noteDelta(new ExtentScanner(bytes)));
      cut.push(await turns.run(splitExtent(bytes, ranges)));
    }
    this.#restore = this.#lazily(extents, cut, fingerprint, turns);
    this.ledger.restore(this.#restore.ledger());
    this.committedFingerprint = Fingerprint.parse(fingerprint, this.schema.version);
  }

  /** False while some of the restored state is not read yet. */
  get isLoaded(): boolean {
    return this.#restore === undefined || this.#restore.isDone;
  }

  protected isRangeLoaded(range: BucketRange): boolean {
    return this.#restore?.isLoaded(range) ?? true;
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

  /** Resolves when a manifest can be made: it takes over what the records since the last one hold. */
  async readyForManifest(): Promise<void> {
    await this.#restore?.loadChanged();
  }

  /** @throws STATE_MISMATCH when the restored state is not what was committed. */
  verify(expectedFingerprint: string | undefined): void {
    if (expectedFingerprint !== undefined)
      this.#requireEqual(this.committedFingerprint.toString(), expectedFingerprint);
  }

  #requireEqual(actual: string, expectedFingerprint: string): void {
    if (expectedFingerprint === actual) return;
    throw new TidemarkError(
      'STATE_MISMATCH',
      `The state of operator '${this.uid}' was committed with fingerprint ${expectedFingerprint} and read back with ` +
        `${actual} (entries:digest, and @schema versions other than 1). The stream was not started, and nothing was deleted or overwritten.`,
      { context: { uid: this.uid, expected: expectedFingerprint, actual } },
    );
  }

  /** Keys of pane 0 over all partitions; while some are not loaded, of all panes. */
  get keyCount(): number {
    return this.isLoaded ? this.keysElsewhere + this.keysHere : this.committedFingerprint.count;
  }

  get keysHere(): number {
    return this.partitions.reduce((sum, { keyCount }) => sum + keyCount, 0);
  }

  /** Memory held by panes that are kept as bytes. */
  get heldBytes(): number {
    return this.partitions.reduce((sum, { committed }) => sum + committed.heldBytes, 0);
  }

  *#apply(scanner: ExtentScanner, isDirty: boolean, range: BucketRange): Steps {
    const { partitionOf, numPartitions } = this.#options;
    const share = bucketCount / (range.to - range.from);
    let count = 0;
    while (scanner.nextGroup()) {
      if (scanner.dropped) {
        for (const { committed } of this.partitions) yield* committed.drop(scanner.pane);
        if (isDirty) this.droppedSinceManifest.add(scanner.pane);
      }
      let expected = 1;
      let ofKind: string | undefined;
      while (scanner.nextEntry()) {
        const { bytes: source, start, keyEnd, kind } = scanner;
        if (kind !== ofKind) {
          ofKind = kind;
          // As if all buckets held as many. A group is of one partition already, if there are as many as before.
          if (kind === 'added') expected = scanner.entriesLeft * share;
          for (const { committed } of this.partitions) yield* committed.growTo(scanner.pane, expected);
        }
        const keyHash = hashKeyAt(source, start, keyEnd);
        if (scanner.kind === 'added') this.share.nextOrdinal = Math.max(this.share.nextOrdinal, scanner.ordinal + 1);
        const index = partitionOf?.(readKeyAt(source, start, keyEnd)) ?? (keyHash >>> 0) % numPartitions;
        if (this.isOurs(index)) this.partition(index).restore(scanner, keyHash, isDirty, expected);
        if (++count % keysPerStep === 0) yield;
      }
    }
    for (const { committed } of this.partitions) yield* committed.tidy();
  }

  /** What must be known of a change that is applied bucket by bucket later. */
  *#noteDelta(scanner: ExtentScanner): Steps {
    if (scanner.hasMeta) this.committedMeta = scanner.meta;
    let count = 0;
    while (scanner.nextGroup()) {
      while (scanner.nextEntry()) {
        if (scanner.kind === 'added') this.share.nextOrdinal = Math.max(this.share.nextOrdinal, scanner.ordinal + 1);
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
      sums: this.share.sums,
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
    const count = this.partitions.length;
    this.partitions.length = 0;
    this.share = this.#newShare();
    this.ledger = new RangeLedger();
    if (count > 0) this.partition(count - 1);
    this.committedMeta = undefined;
    this.droppedSinceManifest.clear();
  }
}
