import type { ByteWriter } from '../base/byte-writer.ts';
import type { KeyIdentity } from '../base/canonical-key.ts';
import { isKeyAt } from '../base/key-bytes.ts';

const flagLive = 1;
const flagDirty = 2;
const slotsAtFirst = 16;
const bytesAtFirst = 1024;
// Small arenas are many, and every step of growing costs them eight allocations.
const doubledBelow = 512;

/** What the arena keeps of an entry beside its bytes. */
interface EntryFacts {
  readonly keyHash: number;
  /** What the fingerprint has of it. */
  readonly hash: number;
  /** Place in the order of arrival. */
  readonly ordinal: number;
  readonly timeMs: number;
  /** Not in any extent yet. */
  readonly isDirty: boolean;
}

/**
 * Entries of one bucket as bytes: nothing in it is an object of its own, so the garbage collector never looks at it.
 *
 * In: entries as the log has them (state-codec). Out: where one lies; whole runs of them for an extent, without decoding.
 * One buffer holds the bytes; typed arrays hold, by slot, where an entry lies and what must be known of it; an
 * open-addressed index leads from the hash of a key to its slot.
 *
 * Invariants
 *   A1. Slots are in the order of ordinals, unless `isSorted` is false.
 *   A2. A slot of a living entry changes only in `tidy`.
 *
 * A rewrite moves at most one bucket, so no call takes longer than copying one.
 */
export class EntryArena {
  bytes = Buffer.allocUnsafeSlow(bytesAtFirst);
  #index = new Int32Array(slotsAtFirst * 2);
  #keyHashes = new Int32Array(slotsAtFirst);
  #hashes = new Int32Array(slotsAtFirst);
  #ordinals = new Float64Array(slotsAtFirst);
  #starts = new Uint32Array(slotsAtFirst);
  #lengths = new Uint32Array(slotsAtFirst);
  #flags = new Uint8Array(slotsAtFirst);
  /** Only where times are kept. */
  #times: Float64Array | undefined;
  #slots = 0;
  #live = 0;
  #dirty = 0;
  #bytesUsed = 0;
  #bytesDead = 0;
  #isSorted = true;
  /** No living entry is older. */
  #oldestMs = Number.POSITIVE_INFINITY;

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
    return this.bytes.length + this.#index.length * 4 + this.#flags.length * 25 + (this.#times?.length ?? 0) * 8;
  }

  /** The slot of the key; -1: not there. */
  find(keyHash: number, id: KeyIdentity): number {
    const index = this.#index;
    const mask = index.length - 1;
    for (let i = (keyHash >>> 8) & mask; ; i = (i + 1) & mask) {
      const slot = index[i]! - 1;
      if (slot < 0) return -1;
      if (this.#keyHashes[slot] === keyHash && isKeyAt(this.bytes, this.#starts[slot]!, id)) return slot;
    }
  }

  /** `find` for a key that is at hand as bytes. */
  findBytes(keyHash: number, source: Buffer, start: number, end: number): number {
    const index = this.#index;
    const mask = index.length - 1;
    for (let i = (keyHash >>> 8) & mask; ; i = (i + 1) & mask) {
      const slot = index[i]! - 1;
      if (slot < 0) return -1;
      if (this.#keyHashes[slot] === keyHash && isSame(this.bytes, this.#starts[slot]!, source, start, end)) return slot;
    }
  }

  startOf(slot: number): number {
    return this.#starts[slot]!;
  }

  endOf(slot: number): number {
    return this.#starts[slot]! + this.#lengths[slot]!;
  }

  hashOf(slot: number): number {
    return this.#hashes[slot]!;
  }

  ordinalOf(slot: number): number {
    return this.#ordinals[slot]!;
  }

  /** A key that is not there. */
  add(source: Buffer, start: number, end: number, facts: EntryFacts): void {
    if (this.#slots === this.#flags.length) this.#makeRoomForSlots();
    const slot = this.#slots++;
    if (slot > 0 && facts.ordinal < this.#ordinals[slot - 1]!) this.#isSorted = false;
    this.#keyHashes[slot] = facts.keyHash;
    this.#ordinals[slot] = facts.ordinal;
    this.#flags[slot] = flagLive;
    this.#live += 1;
    this.#lengths[slot] = 0;
    this.#place(slot, source, start, end, facts);
    this.#enter(slot);
  }

  /** Replaces the entry in the slot; its place in the order stays. */
  replace(slot: number, source: Buffer, start: number, end: number, facts: EntryFacts): void {
    if (end - start <= this.#lengths[slot]!) {
      this.#bytesDead += this.#lengths[slot]! - (end - start);
      source.copy(this.bytes, this.#starts[slot]!, start, end);
      this.#lengths[slot] = end - start;
      this.#note(slot, facts);
    } else {
      this.#bytesDead += this.#lengths[slot]!;
      this.#lengths[slot] = 0;
      this.#place(slot, source, start, end, facts);
    }
  }

  remove(slot: number): void {
    this.#leave(slot);
    this.#bytesDead += this.#lengths[slot]!;
    if (this.#flags[slot]! & flagDirty) this.#dirty -= 1;
    this.#flags[slot] = 0;
    this.#live -= 1;
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
    for (let slot = 0; slot < this.#slots; slot++) if ((this.#flags[slot]! & wanted) === wanted) slots[at++] = slot;
    if (!this.#isSorted) slots.sort((a, b) => this.#ordinals[a]! - this.#ordinals[b]!);
    return slots;
  }

  /** All living entries are in an extent now. */
  clearDirty(): void {
    for (let slot = 0; slot < this.#slots; slot++) this.#flags[slot]! &= flagLive;
    this.#dirty = 0;
  }

  /** Appends the entry as it is. */
  write(writer: ByteWriter, slot: number): void {
    writer.raw(this.bytes, this.#starts[slot]!, this.endOf(slot));
  }

  /** Calls back with every living slot whose time is before the threshold. */
  older(thresholdMs: number, visit: (slot: number, timeMs: number) => void): void {
    const times = this.#times;
    if (times === undefined || this.#oldestMs >= thresholdMs) return;
    let oldest = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < this.#slots; slot++) {
      if ((this.#flags[slot]! & flagLive) === 0) continue;
      const timeMs = times[slot]!;
      if (timeMs < oldest) oldest = timeMs;
      if (timeMs < thresholdMs) visit(slot, timeMs);
    }
    this.#oldestMs = oldest;
  }

  #note(slot: number, { hash, timeMs, isDirty }: EntryFacts): void {
    this.#hashes[slot] = hash;
    if (isDirty && (this.#flags[slot]! & flagDirty) === 0) {
      this.#flags[slot]! |= flagDirty;
      this.#dirty += 1;
    }
    if (timeMs === 0) return;
    this.#times ??= new Float64Array(this.#flags.length);
    this.#times[slot] = timeMs;
    if (timeMs < this.#oldestMs) this.#oldestMs = timeMs;
  }

  #place(slot: number, source: Buffer, start: number, end: number, facts: EntryFacts): void {
    const length = end - start;
    if (this.#bytesUsed + length > this.bytes.length) this.#makeRoomForBytes(length);
    source.copy(this.bytes, this.#bytesUsed, start, end);
    this.#starts[slot] = this.#bytesUsed;
    this.#lengths[slot] = length;
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
    let i = (this.#keyHashes[slot]! >>> 8) & mask;
    while (index[i] !== 0) i = (i + 1) & mask;
    index[i] = slot + 1;
  }

  /** Takes the slot out of the index and closes the gap, so that searches need no marks for the removed. */
  #leave(slot: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    let gap = (this.#keyHashes[slot]! >>> 8) & mask;
    while (index[gap] !== slot + 1) gap = (gap + 1) & mask;
    for (let i = (gap + 1) & mask; index[i] !== 0; i = (i + 1) & mask) {
      const home = (this.#keyHashes[index[i]! - 1]! >>> 8) & mask;
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
      if ((this.#flags[slot]! & flagLive) === 0) continue;
      let i = (this.#keyHashes[slot]! >>> 8) & mask;
      while (this.#index[i] !== 0) i = (i + 1) & mask;
      this.#index[i] = slot + 1;
    }
  }

  #makeRoomForSlots(): void {
    const slots = this.#flags.length;
    const capacity = slots < doubledBelow ? slots * 2 : slots + (slots >>> 1);
    this.#keyHashes = grown(this.#keyHashes, new Int32Array(capacity));
    this.#hashes = grown(this.#hashes, new Int32Array(capacity));
    this.#ordinals = grown(this.#ordinals, new Float64Array(capacity));
    this.#starts = grown(this.#starts, new Uint32Array(capacity));
    this.#lengths = grown(this.#lengths, new Uint32Array(capacity));
    this.#flags = grown(this.#flags, new Uint8Array(capacity));
    this.#times = this.#times && grown(this.#times, new Float64Array(capacity));
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
    let used = 0;
    for (let slot = 0; slot < this.#slots; slot++) {
      if ((this.#flags[slot]! & flagLive) === 0) continue;
      const length = this.#lengths[slot]!;
      this.bytes.copy(bytes, used, this.#starts[slot]!, this.#starts[slot]! + length);
      this.#starts[slot] = used;
      used += length;
    }
    this.bytes = bytes;
    this.#bytesUsed = used;
    this.#bytesDead = 0;
  }

  #renumber(): void {
    const slots = this.slots();
    this.#keyHashes = picked(this.#keyHashes, slots, new Int32Array(roomFor(slots)));
    this.#hashes = picked(this.#hashes, slots, new Int32Array(roomFor(slots)));
    this.#ordinals = picked(this.#ordinals, slots, new Float64Array(roomFor(slots)));
    this.#starts = picked(this.#starts, slots, new Uint32Array(roomFor(slots)));
    this.#lengths = picked(this.#lengths, slots, new Uint32Array(roomFor(slots)));
    this.#flags = picked(this.#flags, slots, new Uint8Array(roomFor(slots)));
    this.#times = this.#times && picked(this.#times, slots, new Float64Array(roomFor(slots)));
    this.#slots = slots.length;
    this.#isSorted = true;
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

type Column = Uint32Array | Int32Array | Float64Array | Uint8Array;

function roomFor(slots: Uint32Array): number {
  return slots.length + slotsAtFirst;
}

function grown<C extends Column>(from: Column, to: C): C {
  to.set(from);
  return to;
}

function picked<C extends Column>(from: Column, slots: Uint32Array, to: C): C {
  for (let i = 0; i < slots.length; i++) to[i] = from[slots[i]!]!;
  return to;
}
