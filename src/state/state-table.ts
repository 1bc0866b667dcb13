import { ByteWriter } from '../base/byte-writer.ts';
import { TidemarkError } from '../base/errors.ts';
import { hashKeyAt, readKeyAt } from '../base/key-bytes.ts';
import { copyPlain } from '../base/plain-data.ts';
import { BucketSums } from './bucket-sums.ts';
import { Fingerprint } from './fingerprint.ts';
import { bucketCount } from './pane.ts';
import { ExtentScanner, writeDrop, writeExtentHead } from './state-codec.ts';
import { StatePartition, type TableShare } from './state-partition.ts';
import { ValueSchema } from './state-schema.ts';

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
const allBuckets = { from: 0, to: bucketCount };
const cellsMaxDefault = 8192;

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
  /** Of the committed state. */
  #fingerprint = new Fingerprint();
  /** What the log holds under this uid from before, of an operator that was dropped or removed, is not ours. */
  #startsAnew = true;
  #startedSinceManifest = false;
  #meta: unknown;
  #nextMeta: unknown;
  #metaChanged = false;
  #metaSinceManifest = false;
  readonly #droppedSinceManifest = new Set<number>();

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
    const writer = new ByteWriter();
    writeExtentHead(writer, this.#startsAnew, this.#metaChanged, this.#nextMeta);
    let unchanged = !this.#metaChanged && !this.#startsAnew;
    for (const partition of this.#partitions) {
      const bytes = partition.seal();
      writer.raw(bytes);
      if (bytes.length > 0) unchanged = false;
    }
    return { bytes: unchanged ? noBytes : writer.finish(), fingerprint: this.fingerprint };
  }

  /** The sealed batch is committed. */
  merge(): void {
    for (const partition of this.#partitions) {
      const change = partition.sealedChange;
      if (change !== undefined) this.#fingerprint.addAll(change);
      for (const pane of partition.droppedPanes) this.#droppedSinceManifest.add(pane);
      partition.merge();
    }
    if (this.#startsAnew) this.#startedSinceManifest = true;
    this.#startsAnew = false;
    if (!this.#metaChanged) return;
    this.#meta = this.#nextMeta;
    this.#metaChanged = false;
    this.#metaSinceManifest = true;
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
    if (scanner.startsAnew) this.#forgetAll(sinceManifest);
    this.#startsAnew = false;
    if (scanner.hasMeta) {
      this.#meta = scanner.meta;
      if (sinceManifest) this.#metaSinceManifest = true;
    }
    while (scanner.nextGroup()) {
      if (scanner.dropped) {
        for (const partition of this.#partitions) partition.restoreDrop(scanner.pane);
        if (sinceManifest) this.#droppedSinceManifest.add(scanner.pane);
      }
      while (scanner.nextEntry()) {
        const { bytes: source, start, keyEnd } = scanner;
        const keyHash = hashKeyAt(source, start, keyEnd);
        if (scanner.kind === 'added') this.#share.nextOrdinal = Math.max(this.#share.nextOrdinal, scanner.ordinal + 1);
        const { partitionOf, numPartitions } = this.#options;
        const index = partitionOf?.(readKeyAt(source, start, keyEnd)) ?? (keyHash >>> 0) % numPartitions;
        this.partition(index).restore(scanner, keyHash, sinceManifest);
      }
    }
    for (const partition of this.#partitions) partition.restored();
    this.#fingerprint = this.#share.sums.fingerprintOf(allBuckets);
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

  /** Committed state, whole (`base`) or changed since the last manifest (`delta`), as one extent. */
  encodeForManifest(kind: 'base' | 'delta'): Uint8Array {
    const writer = new ByteWriter();
    const isBase = kind === 'base';
    const hasMeta = isBase ? this.#meta !== undefined : this.#metaSinceManifest;
    writeExtentHead(writer, !isBase && this.#startedSinceManifest, hasMeta, this.#meta);
    if (!isBase) for (const pane of this.#droppedSinceManifest) writeDrop(writer, pane);
    for (const partition of this.#partitions) partition.encode(writer, allBuckets, !isBase);
    this.#metaSinceManifest = false;
    this.#startedSinceManifest = false;
    this.#droppedSinceManifest.clear();
    return writer.finish();
  }

  /** Without a checkpoint nobody asks for what has gone: nothing must be kept of it. */
  manifestWritten(): void {
    this.#droppedSinceManifest.clear();
    for (const partition of this.#partitions) partition.forgetRemoved();
  }

  /** Keys of pane 0 over all partitions. */
  get keyCount(): number {
    let count = 0;
    for (const partition of this.#partitions) count += partition.keyCount;
    return count;
  }

  #newShare(): TableShare {
    const { cellsMax = cellsMaxDefault } = this.#options;
    return { schema: this.schema, cellsMax, sums: new BucketSums(), nextOrdinal: 0 };
  }

  #forgetAll(sinceManifest: boolean): void {
    const count = this.#partitions.length;
    this.#partitions.length = 0;
    this.#share = this.#newShare();
    if (count > 0) this.partition(count - 1);
    this.#meta = undefined;
    this.#metaSinceManifest = false;
    this.#droppedSinceManifest.clear();
    this.#startedSinceManifest = sinceManifest;
  }
}
