import type { ByteWriter } from '../base/byte-writer.ts';
import type { KeyIdentity } from '../base/canonical-key.ts';
import { isKeyAt, skipKeyAt } from '../base/key-bytes.ts';
import { schemaAt } from './state-codec.ts';

const flagLive = 1;
const flagDirty = 2;
/** Its value has another schema version than 1: the bytes say which. */
const flagSchema = 4;

// The record of a slot: eight words side by side, since each place in memory that is not at hand costs more than all the
// arithmetic on it. The last two are the ordinal, as a double.
const words = 8;
const ofKeyHash = 0;
const ofHash = 1;
const ofStart = 2;
const ofLength = 3;
const ofFlags = 4;
const ofOrdinal = 3; // In doubles.
const slotsAtFirst = 16;
const bytesAtFirst = 1024;
// Small arenas are many, and every step of growing costs them eight allocations.
const doubledBelow = 512;

// No two arenas have ever the same one.
let lastEpoch = 0;

/** What the arena keeps of an entry beside its bytes. */
interface EntryFacts {
  readonly keyHash: number;
  /** What the fingerprint has of it. */
  readonly hash: number;
  /** Place in the order of arrival. */
  readonly ordinal: number;
  readonly timeMs: number;
  /** Version of the value's form. */
  readonly schema: number;
  /** Not in any extent yet. */
  readonly isDirty: boolean;
}

/**
 * Entries of one bucket as bytes: nothing in it is an object of its own, so the garbage collector never looks at it.
 *
 * In: entries as the log has them (state-codec). Out: where one lies; whole runs of them for an extent, without decoding.
 * One buffer holds the bytes; a table holds, by slot, where an entry lies and what must be known of it; an
 * open-addressed index leads from the hash of a key to its slot.
 *
 * Invariants
 *   A1. Slots are in the order of ordinals, unless `isSorted` is false.
 *   A2. A slot of a living entry changes only in `tidy`. While `epoch` is the same, every slot that was found is that key's.
 *
 * A rewrite moves at most one bucket, so no call takes longer than copying one.
 */
export class EntryArena {
  bytes: Buffer;
  #index: Int32Array;
  #records: Int32Array<ArrayBuffer>;
  /** The same memory. */
  #ordinals: Float64Array;
  /** Only where times are kept. */
  #times: Float64Array | undefined;
  #capacity: number;
  #epoch = ++lastEpoch;
  #slots = 0;
  #live = 0;
  #dirty = 0;
  #bytesUsed = 0;
  #bytesDead = 0;
  #isSorted = true;
  /** No living entry is older. */
  #oldestMs = Number.POSITIVE_INFINITY;

  /** Has room for so many entries and bytes, so that it needn't grow step by step to them. */
  constructor(entries = 0, bytes = 0) {
    this.#capacity = Math.max(slotsAtFirst, 2 ** Math.ceil(Math.log2(Math.max(1, entries))));
    this.bytes = Buffer.allocUnsafeSlow(Math.max(bytesAtFirst, Math.ceil(bytes)));
    this.#index = new Int32Array(this.#capacity * 2);
    this.#records = new Int32Array(this.#capacity * words);
    this.#ordinals = new Float64Array(this.#records.buffer);
  }

  /** Another one after slots have changed hands. */
  get epoch(): number {
    return this.#epoch;
  }

  get size(): number {
    return this.#live;
  }

  get dirtyCount(): number {
    return this.#dirty;
  }

  /** Bytes of the living entries. */
  get liveBytes(): number {
    return this.#bytesUsed - this.#bytesDead;
  }

  /** Of everything it holds on to. */
  get heldBytes(): number {
    return this.bytes.length + this.#index.length * 4 + this.#capacity * words * 4 + (this.#times?.length ?? 0) * 8;
  }

  /** The slot of the key; -1: not there. */
  find(keyHash: number, id: KeyIdentity): number {
    const index = this.#index;
    const records = this.#records;
    const mask = index.length - 1;
    for (let i = (keyHash >>> 8) & mask; ; i = (i + 1) & mask) {
      const slot = index[i]! - 1;
      if (slot < 0) return -1;
      if (records[slot * words] === keyHash && isKeyAt(this.bytes, records[slot * words + ofStart]!, id)) return slot;
    }
  }

  /** `find` for a key that is at hand as bytes. */
  findBytes(keyHash: number, source: Buffer, start: number, end: number): number {
    const index = this.#index;
    const records = this.#records;
    const mask = index.length - 1;
    for (let i = (keyHash >>> 8) & mask; ; i = (i + 1) & mask) {
      const slot = index[i]! - 1;
      if (slot < 0) return -1;
      if (records[slot * words] !== keyHash) continue;
      if (isSame(this.bytes, records[slot * words + ofStart]!, source, start, end)) return slot;
    }
  }

  startOf(slot: number): number {
    return this.#records[slot * words + ofStart]!;
  }

  endOf(slot: number): number {
    return this.#records[slot * words + ofStart]! + this.#records[slot * words + ofLength]!;
  }

  hashOf(slot: number): number {
    return this.#records[slot * words + ofHash]!;
  }

  ordinalOf(slot: number): number {
    return this.#ordinals[slot * (words / 2) + ofOrdinal]!;
  }

  keyHashOf(slot: number): number {
    return this.#records[slot * words + ofKeyHash]!;
  }

  /** Without a look at the bytes, mostly: they are not at hand. */
  schemaOf(slot: number): number {
    if ((this.#records[slot * words + ofFlags]! & flagSchema) === 0) return 1;
    return schemaAt(this.bytes, skipKeyAt(this.bytes, this.startOf(slot)));
  }

  /** 0: none is kept. */
  timeOf(slot: number): number {
    return this.#times?.[slot] ?? 0;
  }

  /** A key that is not there. */
  add(source: Buffer, start: number, end: number, facts: EntryFacts): void {
    if (this.#slots === this.#capacity) this.#makeRoomForSlots();
    const slot = this.#slots++;
    if (slot > 0 && facts.ordinal < this.ordinalOf(slot - 1)) this.#isSorted = false;
    this.#records[slot * words + ofKeyHash] = facts.keyHash;
    this.#ordinals[slot * (words / 2) + ofOrdinal] = facts.ordinal;
    this.#records[slot * words + ofFlags] = flagLive;
    this.#records[slot * words + ofLength] = 0;
    this.#live += 1;
    this.#place(slot, source, start, end, facts);
    this.#enter(slot);
  }

  /** Replaces the entry in the slot; its place in the order stays. */
  replace(slot: number, source: Buffer, start: number, end: number, facts: EntryFacts): void {
    const records = this.#records;
    const at = slot * words;
    const before = records[at + ofLength]!;
    if (end - start <= before) {
      this.#bytesDead += before - (end - start);
      source.copy(this.bytes, records[at + ofStart]!, start, end);
      records[at + ofLength] = end - start;
      this.#note(slot, facts);
    } else {
      this.#bytesDead += before;
      records[at + ofLength] = 0;
      this.#place(slot, source, start, end, facts);
    }
  }

  remove(slot: number): void {
    const at = slot * words;
    this.#leave(slot);
    this.#bytesDead += this.#records[at + ofLength]!;
    if (this.#records[at + ofFlags]! & flagDirty) this.#dirty -= 1;
    this.#records[at + ofFlags] = 0;
    this.#live -= 1;
    this.#epoch = ++lastEpoch;
  }

  /** Gives back what removed and replaced entries hold. Slots change. */
  tidy(): void {
    if (this.#slots - this.#live > this.#live + slotsAtFirst) this.#renumber();
    if (this.#bytesDead > (this.liveBytes >>> 1) + bytesAtFirst) this.#repack(this.liveBytes);
  }

  /** Living slots in the order of ordinals. `isDirty`: only those in no extent yet. */
  slots(isDirty = false): Uint32Array {
    const wanted = isDirty ? flagLive | flagDirty : flagLive;
    const slots = new Uint32Array(isDirty ? this.#dirty : this.#live);
    let at = 0;
    for (let slot = 0; slot < this.#slots; slot++) {
      if ((this.#records[slot * words + ofFlags]! & wanted) === wanted) slots[at++] = slot;
    }
    if (!this.#isSorted) slots.sort((a, b) => this.ordinalOf(a) - this.ordinalOf(b));
    return slots;
  }

  /** All living entries are in an extent now. */
  clearDirty(): void {
    for (let slot = 0; slot < this.#slots; slot++) this.#records[slot * words + ofFlags]! &= ~flagDirty;
    this.#dirty = 0;
  }

  /** Appends the entry as it is. */
  write(writer: ByteWriter, slot: number): void {
    writer.raw(this.bytes, this.startOf(slot), this.endOf(slot));
  }

  /** Calls back with every living slot whose time is before the threshold. */
  older(thresholdMs: number, visit: (slot: number, timeMs: number) => void): void {
    const times = this.#times;
    if (times === undefined || this.#oldestMs >= thresholdMs) return;
    let oldest = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (!this.#isLive(slot)) continue;
      const timeMs = times[slot]!;
      if (timeMs < oldest) oldest = timeMs;
      if (timeMs < thresholdMs) visit(slot, timeMs);
    }
    this.#oldestMs = oldest;
  }

  #isLive(slot: number): boolean {
    return (this.#records[slot * words + ofFlags]! & flagLive) !== 0;
  }

  #note(slot: number, { hash, timeMs, schema, isDirty }: EntryFacts): void {
    const at = slot * words;
    this.#records[at + ofHash] = hash;
    if (schema === 1) this.#records[at + ofFlags]! &= ~flagSchema;
    else this.#records[at + ofFlags]! |= flagSchema;
    if (isDirty && (this.#records[at + ofFlags]! & flagDirty) === 0) {
      this.#records[at + ofFlags]! |= flagDirty;
      this.#dirty += 1;
    }
    if (timeMs === 0) {
      if (this.#times !== undefined) this.#times[slot] = 0;
      return;
    }
    this.#times ??= new Float64Array(this.#capacity);
    this.#times[slot] = timeMs;
    if (timeMs < this.#oldestMs) this.#oldestMs = timeMs;
  }

  #place(slot: number, source: Buffer, start: number, end: number, facts: EntryFacts): void {
    const length = end - start;
    if (this.#bytesUsed + length > this.bytes.length) this.#makeRoomForBytes(length);
    source.copy(this.bytes, this.#bytesUsed, start, end);
    this.#records[slot * words + ofStart] = this.#bytesUsed;
    this.#records[slot * words + ofLength] = length;
    this.#bytesUsed += length;
    this.#note(slot, facts);
  }

  #enter(slot: number): void {
    if (this.#live * 2 > this.#index.length) {
      this.#reindex(this.#index.length * 2);
      return;
    }
    const index = this.#index;
    const mask = index.length - 1;
    let i = (this.#records[slot * words]! >>> 8) & mask;
    while (index[i] !== 0) i = (i + 1) & mask;
    index[i] = slot + 1;
  }

  /** Takes the slot out of the index and closes the gap, so that searches need no marks for the removed. */
  #leave(slot: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    let gap = (this.#records[slot * words]! >>> 8) & mask;
    while (index[gap] !== slot + 1) gap = (gap + 1) & mask;
    for (let i = (gap + 1) & mask; index[i] !== 0; i = (i + 1) & mask) {
      const home = (this.#records[(index[i]! - 1) * words]! >>> 8) & mask;
      if (((i - home) & mask) < ((i - gap) & mask)) continue;
      index[gap] = index[i]!;
      gap = i;
    }
    index[gap] = 0;
  }

  #reindex(capacity: number): void {
    this.#index = new Int32Array(capacity);
    const mask = capacity - 1;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (!this.#isLive(slot)) continue;
      let i = (this.#records[slot * words]! >>> 8) & mask;
      while (this.#index[i] !== 0) i = (i + 1) & mask;
      this.#index[i] = slot + 1;
    }
  }

  #makeRoomForSlots(): void {
    const slots = this.#capacity;
    const records = new Int32Array((slots < doubledBelow ? slots * 2 : slots + (slots >>> 1)) * words);
    records.set(this.#records);
    this.#useRecords(records);
    if (this.#times === undefined) return;
    const times = new Float64Array(this.#capacity);
    times.set(this.#times);
    this.#times = times;
  }

  #useRecords(records: Int32Array<ArrayBuffer>): void {
    this.#records = records;
    this.#ordinals = new Float64Array(records.buffer);
    this.#capacity = records.length / words;
  }

  #makeRoomForBytes(length: number): void {
    const { liveBytes } = this;
    if (this.#bytesDead === 0) {
      // Nothing to leave out: one copy instead of one per entry.
      const bytes = Buffer.allocUnsafeSlow(
        Math.max(bytesAtFirst, Math.ceil(liveBytes * (this.#slots < doubledBelow ? 2 : 1.4)) + length),
      );
      bytes.set(this.bytes.subarray(0, this.#bytesUsed));
      this.bytes = bytes;
      return;
    }
    // What is dead may be room enough.
    this.#repack(this.#bytesDead * 4 > this.#bytesUsed ? liveBytes + length : Math.ceil(liveBytes * 1.25) + length);
  }

  #repack(capacity: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(bytesAtFirst, capacity + (capacity >>> 3)));
    const records = this.#records;
    let used = 0;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (!this.#isLive(slot)) continue;
      const start = this.startOf(slot);
      const end = this.endOf(slot);
      this.bytes.copy(bytes, used, start, end);
      records[slot * words + ofStart] = used;
      used += end - start;
    }
    this.bytes = bytes;
    this.#bytesUsed = used;
    this.#bytesDead = 0;
  }

  #renumber(): void {
    const slots = this.slots();
    const records = new Int32Array((slots.length + slotsAtFirst) * words);
    for (let i = 0; i < slots.length; i++) {
      const from = slots[i]! * words;
      for (let word = 0; word < words; word++) records[i * words + word] = this.#records[from + word]!;
    }
    const before = this.#times;
    this.#useRecords(records);
    if (before !== undefined) {
      this.#times = new Float64Array(this.#capacity);
      for (let i = 0; i < slots.length; i++) this.#times[i] = before[slots[i]!]!;
    }
    this.#slots = slots.length;
    this.#isSorted = true;
    this.#epoch = ++lastEpoch;
    let capacity = slotsAtFirst * 2;
    while (capacity < this.#live * 2) capacity *= 2;
    this.#reindex(capacity);
  }
}

/** Keys say where they end, so the bytes of one are never the beginning of another. */
function isSame(bytes: Buffer, at: number, source: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[at + i - start] !== source[i]) return false;
  return true;
}
