import type { BucketRange } from '../base/buckets.ts';
import type { ByteWriter } from '../base/byte-writer.ts';
import type { KeyIdentity } from '../base/canonical-key.ts';
import { copyPlain } from '../base/plain-data.ts';
import type { Steps } from '../base/turns.ts';

/** An entry as it is committed. */
export interface StoredCell {
  readonly key: unknown;
  readonly value: unknown;
  readonly timeMs: number;
  /** Version of the value's form, as it is stored. */
  readonly schema: number;
  /** Of an entry kept as bytes: a value that is nobody else's, without a copy of one that was decoded before. */
  readonly decode?: (() => unknown) | undefined;
  /** Of an entry kept as bytes: what sealing asks of it, found while it was read. False: the pane has changed since. */
  readonly stamp?: ((stamp: Stamp) => boolean) | undefined;
}

/** The value of a cell, for somebody who may change it. */
export function ownValue(cell: { readonly value: unknown; readonly decode?: (() => unknown) | undefined }): unknown {
  return cell.decode === undefined ? copyPlain(cell.value) : cell.decode();
}

/** What must be known of a committed entry to take it out of the sums. */
export interface Summand {
  readonly hash: number;
  readonly schema: number;
  /** Of the encoded entry, in bytes. */
  readonly size: number;
  /** Of the key. */
  readonly keyHash: number;
}

/** A committed entry, and where to find it again. */
export interface Stamp extends Summand {
  hash: number;
  schema: number;
  size: number;
  keyHash: number;
  /** Where a pane kept as bytes has it; -1: nowhere. */
  slot: number;
  /** It is there while this is the epoch of its arena. */
  epoch: number;
}

export function newStamp(): Stamp {
  return { hash: 0, schema: 1, size: 0, keyHash: 0, slot: -1, epoch: 0 };
}

/** An entry on its way into a pane, and where its bytes lie. */
export interface NewEntry {
  readonly source: Buffer;
  readonly start: number;
  readonly end: number;
  readonly keyHash: number;
  readonly hash: number;
  readonly timeMs: number;
  readonly schema: number;
  /** Place in the order of arrival; a key that is there already keeps its own unless `isPlaced`. */
  readonly ordinal: number;
  readonly isPlaced: boolean;
  /** Of the entry it replaces, where that is known: see {@link Stamp}. */
  readonly slot: number;
  readonly epoch: number;
  /** In no extent yet. */
  readonly isDirty: boolean;
  /** Key and value where they are at hand decoded, and private; else they are read from the bytes. */
  readonly cell: { readonly key: unknown; readonly value: unknown } | undefined;
}

/** An entry, by the time it was touched last. */
export interface Aged {
  readonly id: KeyIdentity;
  readonly timeMs: number;
  readonly ordinal: number;
}

/** From the oldest on; of equal age, in order of arrival. */
export function byAge(a: Aged, b: Aged): number {
  return a.timeMs - b.timeMs || a.ordinal - b.ordinal;
}

/** Which entries an extent takes, and whether they count as stored from then on. */
export interface EncodePass {
  readonly range: BucketRange;
  /** Only entries that are in no extent yet. */
  readonly isDelta: boolean;
}

/** The committed entries of one pane in one partition, in the order of their arrival. */
export interface Pane {
  readonly size: number;
  /** Bytes of memory, roughly: for benchmarks. */
  readonly heldBytes: number;
  has(id: KeyIdentity): boolean;
  /** Valid until the pane changes. */
  get(id: KeyIdentity): StoredCell | undefined;
  /** False: the key is not there, and `stamp` is as it was. */
  stampOf(id: KeyIdentity, stamp: Stamp): boolean;
  /** An entry that was found in this epoch is still where it was. */
  isCurrent(keyHash: number, epoch: number): boolean;
  set(id: KeyIdentity, entry: NewEntry): void;
  /** `set` of an entry that was read; `stamp` becomes that of the entry it replaces. False: it replaces none. */
  restore(entry: NewEntry, keyEnd: number, stamp: Stamp): boolean;
  remove(id: KeyIdentity): void;
  /** Removes what the buckets hold; `visit` is given the stamps. */
  clear(range: BucketRange, visit: (entry: Summand) => void): void;
  /** In order of arrival. Nobody may change the pane meanwhile. */
  forEach(visit: (id: KeyIdentity, cell: StoredCell) => void): Steps;
  /** Entries whose time is before the threshold, in runs, each from the oldest on. */
  older(thresholdMs: number): Steps<Aged[][]>;
  /** Some entries of a bucket whose value has another schema version, `max` at most. */
  foreign(bucket: number, version: number, max: number): KeyIdentity[];
  /** Stamps of all entries, in any order. */
  stamps(visit: (entry: Summand) => void): Steps;
  /** Appends entries as the placed part of a group (count, first ordinal, then gap and entry), and marks them stored. */
  encode(pass: EncodePass): EncodedEntries;
}

export interface EncodedEntries {
  readonly count: number;
  write(writer: ByteWriter): Steps;
}
