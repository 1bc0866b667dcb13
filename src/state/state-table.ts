import { ByteWriter } from '../base/byte-writer.ts';
import { hashKey } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { copyPlain } from '../base/plain-data.ts';
import { writeValue } from '../base/value-codec.ts';
import { Fingerprint } from './fingerprint.ts';
import { flagAnew, flagMeta, readExtent } from './state-codec.ts';
import { StatePartition } from './state-partition.ts';
import { ValueSchema } from './state-schema.ts';

interface StateTableOptions {
  readonly uid: string;
  readonly numPartitions: number;
  /** Index keys by their last touch, for timeouts. */
  readonly keepsTimes?: boolean;
  /** Where a restored key belongs; must agree with the partitioner of the operator. Default: hash of the key. */
  readonly partitionOf?: ((key: unknown) => number) | undefined;
  /** Default: version 1, and no other can be read. */
  readonly schema?: ValueSchema | undefined;
}

/** What a batch did to a table, encoded. */
export interface SealedChange {
  readonly bytes: Uint8Array;
  readonly fingerprint: string;
}

const noBytes = new Uint8Array(0);

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
  /** What the log holds under this uid from before, of an operator that was dropped or removed, is not ours. */
  #startsAnew = true;
  #startedSinceManifest = false;
  #meta: unknown;
  #nextMeta: unknown;
  #metaChanged = false;
  #metaSinceManifest = false;
  /** Cells written by later batches are not in the newest manifest. */
  #manifestBatchId = 0;

  constructor(options: StateTableOptions) {
    this.uid = options.uid;
    this.#options = options;
    this.schema = options.schema ?? new ValueSchema(options.uid, undefined);
    for (let p = 0; p < options.numPartitions; p++) this.partition(p);
  }

  get numPartitions(): number {
    return this.#partitions.length;
  }

  /** Partition `index`; partitions come into being when they are first asked for. */
  partition(index: number): StatePartition {
    while (this.#partitions.length <= index) {
      this.#partitions.push(new StatePartition(this.#options.keepsTimes ?? false, this.schema));
    }
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
  seal(batchId: number): SealedChange {
    const writer = new ByteWriter();
    writeHead(writer, this.#startsAnew, this.#metaChanged, this.#nextMeta);
    const fingerprint = new Fingerprint();
    let unchanged = !this.#metaChanged && !this.#startsAnew;
    for (const partition of this.#partitions) {
      const bytes = partition.seal(batchId);
      writer.raw(bytes);
      if (bytes.length > 0) unchanged = false;
      fingerprint.addAll(partition.sealedFingerprint());
    }
    return { bytes: unchanged ? noBytes : writer.finish(), fingerprint: fingerprint.toString() };
  }

  /** The sealed batch is committed. `timeoutThresholdMs`: keys last touched before it have been dealt with. */
  merge(timeoutThresholdMs = Number.NEGATIVE_INFINITY): void {
    for (const partition of this.#partitions) partition.merge(timeoutThresholdMs);
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
    const { startsAnew, hasMeta, meta, groups } = readExtent(bytes);
    if (startsAnew) this.#forgetAll(sinceManifest);
    this.#startsAnew = false;
    if (hasMeta) {
      this.#meta = meta;
      if (sinceManifest) this.#metaSinceManifest = true;
    }
    for (const group of groups) {
      if (group.dropped) for (const partition of this.#partitions) partition.restoreDrop(group.pane);
      for (const entry of group.entries) {
        this.partition(this.#partitionOf(entry.key)).restore(group, entry, sinceManifest ? 1 : 0);
      }
    }
    if (!sinceManifest) for (const partition of this.#partitions) partition.manifestWritten();
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

  /** Of the committed state: entries and digest. */
  get fingerprint(): string {
    const fingerprint = new Fingerprint();
    for (const partition of this.#partitions) fingerprint.addAll(partition.sealedFingerprint());
    return fingerprint.toString();
  }

  /** Committed state, whole (`base`) or changed since the last manifest (`delta`), as one extent. */
  encodeForManifest(kind: 'base' | 'delta'): Uint8Array {
    const writer = new ByteWriter();
    const isBase = kind === 'base';
    const hasMeta = isBase ? this.#meta !== undefined : this.#metaSinceManifest;
    writeHead(writer, !isBase && this.#startedSinceManifest, hasMeta, this.#meta);
    for (const partition of this.#partitions) {
      partition.encode(writer, isBase ? undefined : this.#manifestBatchId);
    }
    return writer.finish();
  }

  /** The manifest that holds the state as of `batchId` is written. */
  manifestWritten(batchId: number): void {
    this.#manifestBatchId = batchId;
    this.#metaSinceManifest = false;
    this.#startedSinceManifest = false;
    for (const partition of this.#partitions) partition.manifestWritten();
  }

  /** Keys of pane 0 over all partitions. */
  get keyCount(): number {
    let count = 0;
    for (const partition of this.#partitions) count += partition.keyCount;
    return count;
  }

  #partitionOf(key: unknown): number {
    return this.#options.partitionOf?.(key) ?? hashKey(key) % this.#options.numPartitions;
  }

  #forgetAll(sinceManifest: boolean): void {
    const count = this.#partitions.length;
    this.#partitions.length = 0;
    if (count > 0) this.partition(count - 1);
    this.#meta = undefined;
    this.#metaSinceManifest = false;
    this.#startedSinceManifest = sinceManifest;
  }
}

function writeHead(writer: ByteWriter, startsAnew: boolean, hasMeta: boolean, meta: unknown): void {
  writer.u8((startsAnew ? flagAnew : 0) | (hasMeta ? flagMeta : 0));
  if (hasMeta) writeValue(writer, meta);
}
