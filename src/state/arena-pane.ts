import { type BucketRange, bucketCount, bucketOf } from '../base/buckets.ts';
import type { ByteWriter } from '../base/byte-writer.ts';
import { type KeyIdentity, keyOfIdentity } from '../base/canonical-key.ts';
import { hashIdentity, identityAt, skipKeyAt } from '../base/key-bytes.ts';
import type { Steps } from '../base/turns.ts';
import { EntryArena } from './entry-arena.ts';
import { mergeRuns } from './merge-runs.ts';
import {
  type Aged,
  byAge,
  type EncodedEntries,
  type EncodePass,
  type NewEntry,
  newStamp,
  type Pane,
  type Stamp,
  type StoredCell,
  type Summand,
} from './pane.ts';
import { type EntryBody, readBody, writeGap } from './state-codec.ts';

// What is expected may be wrong by far, where partitions are not those of before.
const entriesAtFirstMax = 2048;
const bytesAtFirstMax = 256 * 1024;

/** A pane as encoded bytes, an arena per bucket: for many keys. Values are decoded when they are read. */
export class ArenaPane implements Pane {
  readonly #arenas: (EntryArena | undefined)[] = new Array(bucketCount).fill(undefined);
  readonly #touched = new Set<EntryArena>();
  /** What an arena begins with. */
  readonly #entriesAtFirst: number;
  readonly #bytesAtFirst: number;
  #size = 0;

  /** It will have about `expected` keys, in entries of about `entryBytes`: half of that is made room for at once. */
  constructor(expected = 0, entryBytes = 0) {
    this.#entriesAtFirst = Math.min(expected / 2 / bucketCount, entriesAtFirstMax);
    this.#bytesAtFirst = Math.min(this.#entriesAtFirst * entryBytes, bytesAtFirstMax);
  }

  get size(): number {
    return this.#size;
  }

  get heldBytes(): number {
    return this.#arenas.reduce((sum, arena) => sum + (arena?.heldBytes ?? 0), 0);
  }

  has(id: KeyIdentity): boolean {
    const keyHash = hashIdentity(id);
    return (this.#arenas[bucketOf(keyHash)]?.find(keyHash, id) ?? -1) >= 0;
  }

  get(id: KeyIdentity): StoredCell | undefined {
    const keyHash = hashIdentity(id);
    const arena = this.#arenas[bucketOf(keyHash)];
    if (arena === undefined) return undefined;
    const slot = arena.find(keyHash, id);
    return slot < 0 ? undefined : new ArenaCell(arena, slot, keyHash, id);
  }

  stampOf(id: KeyIdentity, stamp: Stamp): boolean {
    const keyHash = hashIdentity(id);
    const arena = this.#arenas[bucketOf(keyHash)];
    const slot = arena?.find(keyHash, id) ?? -1;
    if (slot < 0) return false;
    stampAt(arena!, slot, stamp);
    stamp.keyHash = keyHash;
    return true;
  }

  isCurrent(keyHash: number, epoch: number): boolean {
    return this.#arenas[bucketOf(keyHash)]?.epoch === epoch;
  }

  /** The very same bytes stand in the slot. */
  hasSame({ keyHash, slot, start, end }: Omit<NewEntry, 'source'>, source: Buffer): boolean {
    const arena = this.#arenas[bucketOf(keyHash)]!;
    return arena.bytes.compare(source, start, end, arena.startOf(slot), arena.endOf(slot)) === 0;
  }

  set(id: KeyIdentity, entry: NewEntry): void {
    const arena = this.#arenaOf(entry.keyHash);
    const isKnown = entry.slot >= 0 && entry.epoch === arena.epoch;
    this.#setAt(arena, isKnown ? entry.slot : arena.find(entry.keyHash, id), entry);
  }

  /** Compares bytes with bytes: no key becomes a text. */
  restore(entry: NewEntry, keyEnd: number, stamp: Stamp): boolean {
    const arena = this.#arenaOf(entry.keyHash);
    const slot = arena.findBytes(entry.keyHash, entry.source, entry.start, keyEnd);
    if (slot >= 0) stampAt(arena, slot, stamp);
    stamp.keyHash = entry.keyHash;
    this.#setAt(arena, slot, entry);
    return slot >= 0;
  }

  #arenaOf(keyHash: number): EntryArena {
    const bucket = bucketOf(keyHash);
    let arena = this.#arenas[bucket];
    if (arena === undefined) {
      arena = new EntryArena(this.#entriesAtFirst, this.#bytesAtFirst);
      this.#arenas[bucket] = arena;
    }
    return arena;
  }

  #setAt(arena: EntryArena, slot: number, entry: NewEntry): void {
    this.#touched.add(arena);
    if (slot >= 0 && (!entry.isPlaced || arena.ordinalOf(slot) === entry.ordinal)) {
      arena.replace(slot, entry.source, entry.start, entry.end, entry);
      return;
    }
    if (slot >= 0) arena.remove(slot);
    else this.#size += 1;
    arena.add(entry.source, entry.start, entry.end, entry);
  }

  remove(id: KeyIdentity): void {
    const keyHash = hashIdentity(id);
    const arena = this.#arenas[bucketOf(keyHash)];
    const slot = arena?.find(keyHash, id) ?? -1;
    if (slot < 0) return;
    arena!.remove(slot);
    this.#touched.add(arena!);
    this.#size -= 1;
  }

  clear({ from, to }: BucketRange, visit: (entry: Summand) => void): void {
    for (let bucket = from; bucket < to; bucket++) {
      this.#stampsOf(bucket, visit);
      this.#size -= this.#arenas[bucket]?.size ?? 0;
      this.#arenas[bucket] = undefined;
    }
  }

  /** After many changes: gives back memory. */
  *tidy(): Steps {
    for (const arena of this.#touched) {
      // Not all at the end: whoever goes on in between may touch it again.
      this.#touched.delete(arena);
      arena.tidy();
      yield;
    }
  }

  *forEach(visit: (id: KeyIdentity, cell: StoredCell) => void): Steps {
    const runs: Run[] = [];
    for (const arena of this.#arenas) {
      if (arena === undefined || arena.size === 0) continue;
      runs.push({ arena, items: arena.slots(), at: 0 });
      yield;
    }
    yield* mergeRuns(runs, byOrdinal, ({ arena, items, at }) => {
      const slot = items[at]!;
      const id = idAt(arena, slot);
      visit(id, new ArenaCell(arena, slot, arena.keyHashOf(slot), id));
    });
  }

  *older(thresholdMs: number): Steps<Aged[][]> {
    const runs: Aged[][] = [];
    for (const arena of this.#arenas) {
      const run: Aged[] = [];
      arena?.older(thresholdMs, (slot, timeMs) => {
        run.push({ id: idAt(arena, slot), timeMs, ordinal: arena.ordinalOf(slot) });
      });
      if (run.length === 0) continue;
      runs.push(run.sort(byAge));
      yield;
    }
    return runs;
  }

  foreign(bucket: number, version: number, max: number): KeyIdentity[] {
    const ids: KeyIdentity[] = [];
    const arena = this.#arenas[bucket];
    for (const slot of arena?.slots() ?? []) {
      if (arena!.schemaOf(slot) !== version) ids.push(idAt(arena!, slot));
      if (ids.length === max) break;
    }
    return ids;
  }

  *stamps(visit: (entry: Summand) => void): Steps {
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      this.#stampsOf(bucket, visit);
      yield;
    }
  }

  #stampsOf(bucket: number, visit: (entry: Summand) => void): void {
    const arena = this.#arenas[bucket];
    if (arena === undefined) return;
    // All that is asked of the hash is the bucket.
    const stamp = { ...newStamp(), keyHash: bucket };
    for (const slot of arena.slots()) {
      stampAt(arena, slot, stamp);
      visit(stamp);
    }
  }

  encode({ range, isDelta }: EncodePass): EncodedEntries {
    const runs: { readonly arena: EntryArena; readonly slots: Uint32Array }[] = [];
    let count = 0;
    for (let bucket = range.from; bucket < range.to; bucket++) {
      const arena = this.#arenas[bucket];
      if (arena === undefined || (isDelta && arena.dirtyCount === 0)) continue;
      const slots = arena.slots(isDelta);
      arena.clearDirty();
      if (slots.length === 0) continue;
      runs.push({ arena, slots });
      count += slots.length;
    }
    return { count, write: (writer) => writeRuns(writer, runs) };
  }
}

/** An entry where it lies; decoded when it is looked at. */
class ArenaCell implements StoredCell {
  readonly #arena: EntryArena;
  readonly #slot: number;
  readonly #keyHash: number;
  readonly #id: KeyIdentity;
  readonly #epoch: number;
  #body: EntryBody | undefined;

  constructor(arena: EntryArena, slot: number, keyHash: number, id: KeyIdentity) {
    this.#arena = arena;
    this.#slot = slot;
    this.#keyHash = keyHash;
    this.#id = id;
    this.#epoch = arena.epoch;
  }

  get key(): unknown {
    return keyOfIdentity(this.#id);
  }

  get value(): unknown {
    return this.#read().value;
  }

  get timeMs(): number {
    return this.#arena.timeOf(this.#slot);
  }

  get schema(): number {
    return this.#arena.schemaOf(this.#slot);
  }

  decode(): unknown {
    const { bytes } = this.#arena;
    return readBody(bytes, skipKeyAt(bytes, this.#arena.startOf(this.#slot))).value;
  }

  stamp(stamp: Stamp): boolean {
    if (this.#arena.epoch !== this.#epoch) return false;
    stampAt(this.#arena, this.#slot, stamp);
    stamp.keyHash = this.#keyHash;
    return true;
  }

  #read(): EntryBody {
    const { bytes } = this.#arena;
    this.#body ??= readBody(bytes, skipKeyAt(bytes, this.#arena.startOf(this.#slot)));
    return this.#body;
  }
}

function stampAt(arena: EntryArena, slot: number, stamp: Stamp): void {
  stamp.hash = arena.hashOf(slot);
  stamp.size = arena.endOf(slot) - arena.startOf(slot);
  stamp.slot = slot;
  stamp.epoch = arena.epoch;
  stamp.schema = arena.schemaOf(slot);
}

interface Run {
  readonly arena: EntryArena;
  /** Slots. */
  readonly items: Uint32Array;
  at: number;
}

function byOrdinal(a: Run, b: Run): number {
  return a.arena.ordinalOf(a.items[a.at]!) - b.arena.ordinalOf(b.items[b.at]!);
}

function idAt(arena: EntryArena, slot: number): KeyIdentity {
  const start = arena.startOf(slot);
  return identityAt(arena.bytes, start, skipKeyAt(arena.bytes, start));
}

function* writeRuns(
  writer: ByteWriter,
  runs: readonly { readonly arena: EntryArena; readonly slots: Uint32Array }[],
): Steps {
  let last = runs[0] === undefined ? 0 : runs[0].arena.ordinalOf(runs[0].slots[0]!);
  writer.varint(last);
  for (const { arena, slots } of runs) {
    for (const slot of slots) {
      const ordinal = arena.ordinalOf(slot);
      // May be negative: the next bucket begins with an older key.
      writeGap(writer, ordinal - last);
      last = ordinal;
      arena.write(writer, slot);
    }
    yield;
  }
}
