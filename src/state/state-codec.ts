import type { BucketRange } from '../base/buckets.ts';
import { ByteReader } from '../base/byte-reader.ts';
import type { ByteWriter } from '../base/byte-writer.ts';
import { writeKey } from '../base/canonical-key.ts';
import { hashBytes } from '../base/checksum.ts';
import { readKeyAt, skipKeyAt, varintAt, varintEnd } from '../base/key-bytes.ts';
import { checkValueAt, decodeValueAt, readValue, writeValue } from '../base/value-codec.ts';

/**
 * Bytes of state changes. One extent is
 *
 *     extent := u8 flags [u8 from, u8 last] [value meta] group*      flags: 1 has a meta value, 2 what came before is void,
 *                                                                    4 what came before in buckets from..last is void
 *     group  := varint pane, u8 form, removed, changed, added      form: 1 pane dropped, 2 placed
 *     removed := varint count, key*
 *     changed := varint count, entry*
 *     added  := varint count, [varint firstOrdinal, ([zigzag gap] entry)*]
 *     entry  := key, u8 flags, [f64 timeMs], [varint schema], value      flags: 2 has a time, 4 has a schema
 *
 * A group that drops its pane does so before its entries are applied. Removals stand before values, so that a key that
 * was removed and came back ends up last in the order of keys, as it did when it happened. That order is the order of
 * ordinals: added entries have consecutive ones, or, in a placed group, each says how far it is from the one before.
 *
 * An entry stands for itself: it says which schema version its value has, and may be moved from extent to extent as it is.
 */
const flagMeta = 1;
/** Everything before this extent belongs to another operator that had the same uid. */
const flagAnew = 2;
/** What came before in a range of buckets is void. */
const flagBase = 4;
const formDropped = 1;
const formPlaced = 2;
const flagTime = 2;
const flagSchema = 4;

export interface StateEntry {
  readonly key: unknown;
  readonly removed: boolean;
  readonly value: unknown;
  readonly timeMs: number;
  /** Version of the value's form. */
  readonly schema: number;
  /** Of the encoded bytes; what the fingerprint is made of. */
  readonly hash: number;
  /** Place in the order of arrival; undefined: the key is there already and keeps its place. */
  readonly ordinal: number | undefined;
}

export interface StateGroup {
  readonly pane: number;
  readonly dropped: boolean;
  readonly entries: Iterable<StateEntry>;
}

export interface StateExtentContent {
  readonly startsAnew: boolean;
  /** The buckets whose whole state this is: what came before in them is void. */
  readonly base: BucketRange | undefined;
  readonly hasMeta: boolean;
  readonly meta: unknown;
  /** Each must be consumed before the next is asked for. */
  readonly groups: Iterable<StateGroup>;
}

/** What an extent begins with. */
export interface ExtentHead {
  readonly startsAnew: boolean;
  /** The buckets whose whole state follows. */
  readonly base: BucketRange | undefined;
  readonly hasMeta: boolean;
  readonly meta: unknown;
}

export function writeExtentHead(writer: ByteWriter, head: ExtentHead): void {
  const { startsAnew, base, hasMeta, meta } = head;
  writer.u8((startsAnew ? flagAnew : 0) | (hasMeta ? flagMeta : 0) | (base === undefined ? 0 : flagBase));
  if (base !== undefined) {
    writer.u8(base.from);
    writer.u8(base.to - 1);
  }
  if (hasMeta) writeValue(writer, meta);
}

/** Followed by the removed, the changed and the added part, each with its count. */
export function writeGroupHead(writer: ByteWriter, pane: number, form: 'batch' | 'placed'): void {
  writer.varint(pane);
  writer.u8(form === 'placed' ? formPlaced : 0);
}

export function writeDrop(writer: ByteWriter, pane: number): void {
  writer.varint(pane);
  writer.u8(formDropped);
  writer.varint(0);
  writer.varint(0);
  writer.varint(0);
}

export function writeGap(writer: ByteWriter, gap: number): void {
  writer.varint(gap >= 0 ? gap * 2 : -gap * 2 - 1);
}

/** Returns the hash of the entry. `timeMs` 0 means the operator keeps no times. */
export function writeEntry(
  writer: ByteWriter,
  pane: number,
  key: unknown,
  value: unknown,
  timeMs: number,
  schema: number,
): number {
  const start = writer.length;
  writeKey(writer, key);
  writer.u8((timeMs === 0 ? 0 : flagTime) | (schema === 1 ? 0 : flagSchema));
  if (timeMs !== 0) writer.f64(timeMs);
  if (schema !== 1) writer.varint(schema);
  writeValue(writer, value);
  return inPane(writer.hashSince(start), pane);
}

/** The same key in another pane must weigh differently, or entries could swap panes unseen. */
function inPane(hash: number, pane: number): number {
  // Signed: other 32-bit numbers would be objects on the heap.
  return hash ^ Math.imul(pane + 1, 0x9e3779b1);
}

export interface EntryBody {
  readonly value: unknown;
  readonly timeMs: number;
  readonly schema: number;
}

/** Decodes what follows the key of an entry: the only place where stored values become objects. */
export function readBody(bytes: Buffer, at: number): EntryBody {
  const flags = bytes[at]!;
  let next = at + 1;
  let timeMs = 0;
  let schema = 1;
  if (flags & flagTime) {
    timeMs = bytes.readDoubleLE(next);
    next += 8;
  }
  if (flags & flagSchema) {
    schema = varintAt(bytes, next);
    next = varintEnd(bytes, next);
  }
  const size = varintAt(bytes, next);
  const start = varintEnd(bytes, next);
  return { value: decodeValueAt(bytes, start, start + size), timeMs, schema };
}

/** `at`: where the key of the entry ends. */
export function schemaAt(bytes: Buffer, at: number): number {
  const flags = bytes[at]!;
  return flags & flagSchema ? varintAt(bytes, at + (flags & flagTime ? 9 : 1)) : 1;
}

/**
 * Goes through an extent entry by entry without decoding: where each lies, and what is to be known of it. Large states
 * are restored, split and compacted from what it says. Every step is checked against the end of the bytes.
 */
export class ExtentScanner {
  readonly bytes: Buffer;
  readonly startsAnew: boolean;
  readonly base: BucketRange | undefined;
  readonly hasMeta: boolean;
  readonly meta: unknown;
  /** Of the group. */
  pane = 0;
  dropped = false;
  /** Of the entry. A removed one has nothing but its key. */
  kind: 'removed' | 'changed' | 'added' = 'removed';
  start = 0;
  keyEnd = 0;
  end = 0;
  timeMs = 0;
  schema = 1;
  hash = 0;
  ordinal = 0;
  #at: number;
  #isPlaced = false;
  #left = 0;
  #lastOrdinal = 0;

  /** An extent that is not empty. @throws CHECKPOINT_CORRUPT, as the other calls do */
  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const reader = new ByteReader(bytes);
    const flags = reader.u8();
    this.startsAnew = (flags & flagAnew) !== 0;
    this.base = flags & flagBase ? { from: reader.u8(), to: reader.u8() + 1 } : undefined;
    this.hasMeta = (flags & flagMeta) !== 0;
    this.meta = this.hasMeta ? readValue(reader) : undefined;
    this.#at = reader.offset;
  }

  /** False at the end. All entries of the group before must have been taken. */
  nextGroup(): boolean {
    if (this.#at >= this.bytes.length) return false;
    this.pane = this.#varint();
    const form = this.bytes[this.#at++] ?? 0;
    this.dropped = (form & formDropped) !== 0;
    this.#isPlaced = (form & formPlaced) !== 0;
    this.kind = 'removed';
    this.#left = this.#varint();
    return true;
  }

  /** False at the end of the group. */
  nextEntry(): boolean {
    while (this.#left === 0) {
      if (this.kind === 'added') return false;
      this.kind = this.kind === 'removed' ? 'changed' : 'added';
      this.#left = this.#varint();
      if (this.kind === 'added' && this.#left > 0) this.#lastOrdinal = this.#varint() - (this.#isPlaced ? 0 : 1);
    }
    this.#left -= 1;
    if (this.kind === 'added') this.#readOrdinal();
    this.start = this.#at;
    this.keyEnd = this.#checked(skipKeyAt(this.bytes, this.#at), 'a key');
    this.end = this.keyEnd;
    if (this.kind !== 'removed') this.#scanBody();
    this.#at = this.end;
    return true;
  }

  /** Of the same kind in this group, with the one it stands at. */
  get entriesLeft(): number {
    return this.#left + 1;
  }

  get key(): unknown {
    return readKeyAt(this.bytes, this.start, this.keyEnd);
  }

  get value(): unknown {
    return readBody(this.bytes, this.keyEnd).value;
  }

  #readOrdinal(): void {
    if (this.#isPlaced) {
      const zigzag = this.#varint();
      this.#lastOrdinal += zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    } else {
      this.#lastOrdinal += 1;
    }
    this.ordinal = this.#lastOrdinal;
  }

  #scanBody(): void {
    const { bytes } = this;
    const flags = bytes[this.keyEnd]!;
    this.#at = this.keyEnd + 1;
    this.timeMs = 0;
    this.schema = 1;
    if (flags & flagTime) {
      this.#checked(this.#at + 8, 'a time');
      this.timeMs = bytes.readDoubleLE(this.#at);
      this.#at += 8;
    }
    if (flags & flagSchema) this.schema = this.#varint();
    const size = this.#varint();
    this.end = this.#checked(this.#at + size, 'a value');
    checkValueAt(bytes, this.#at, this.end);
    this.hash = inPane(hashBytes(bytes, this.start, this.end), this.pane);
  }

  #varint(): number {
    const value = varintAt(this.bytes, this.#at);
    this.#at = this.#checked(varintEnd(this.bytes, this.#at), 'a number');
    return value;
  }

  #checked(end: number, what: string): number {
    if (end <= this.bytes.length) return end;
    throw new ByteReader(this.bytes).corrupt(`${what} of the state at offset ${this.#at} is malformed or cut`);
  }
}

/** An extent that is not empty, decoded. @throws CHECKPOINT_CORRUPT, also while the groups are read */
export function readExtent(bytes: Uint8Array): StateExtentContent {
  const scanner = new ExtentScanner(bytes);
  const { startsAnew, base, hasMeta, meta } = scanner;
  return { startsAnew, base, hasMeta, meta, groups: readGroups(scanner) };
}

function* readGroups(scanner: ExtentScanner): Generator<StateGroup> {
  while (scanner.nextGroup()) {
    yield { pane: scanner.pane, dropped: scanner.dropped, entries: readEntries(scanner) };
  }
}

function* readEntries(scanner: ExtentScanner): Generator<StateEntry> {
  while (scanner.nextEntry()) {
    const { kind, key, timeMs, schema, hash, ordinal } = scanner;
    if (kind === 'removed') {
      yield { key, removed: true, value: undefined, timeMs: 0, schema: 1, hash: 0, ordinal: undefined };
    } else {
      const placed = kind === 'added' ? ordinal : undefined;
      yield { key, removed: false, value: scanner.value, timeMs, schema, hash, ordinal: placed };
    }
  }
}
