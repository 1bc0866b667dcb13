import { ByteReader } from '../base/byte-reader.ts';
import type { ByteWriter } from '../base/byte-writer.ts';
import { readKey, writeKey } from '../base/canonical-key.ts';
import { readValue, writeValue } from '../base/value-codec.ts';

/**
 * Bytes of state changes. One extent is
 *
 *     extent := u8 flags [value meta] group*      flags: 1 has a meta value, 2 what came before is void
 *     group  := varint pane, u8 dropped, varint entryCount, entry*
 *     entry  := key, u8 flags, [f64 timeMs], [varint schema], [value]
 *
 * An entry says itself which schema version its value has, so it may be moved from extent to extent as it is. Version 1
 * costs nothing.
 *
 * A group with `dropped` removes its whole pane before its entries are applied. Within a group removals stand before
 * values, so that a key that was removed and came back ends up last in the order of keys, as it did when it happened.
 */
export const flagMeta = 1;
/** Everything before this extent belongs to another operator that had the same uid. */
export const flagAnew = 2;
const flagRemoved = 1;
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
}

export interface StateGroup {
  readonly pane: number;
  readonly dropped: boolean;
  readonly entries: Iterable<StateEntry>;
}

export interface StateExtentContent {
  readonly startsAnew: boolean;
  readonly hasMeta: boolean;
  readonly meta: unknown;
  /** Each must be consumed before the next is asked for. */
  readonly groups: Iterable<StateGroup>;
}

/** An extent that is not empty. @throws CHECKPOINT_CORRUPT, also while the groups are read */
export function readExtent(bytes: Uint8Array): StateExtentContent {
  const reader = new ByteReader(bytes);
  const flags = reader.u8();
  const hasMeta = (flags & flagMeta) !== 0;
  const meta = hasMeta ? readValue(reader) : undefined;
  return { startsAnew: (flags & flagAnew) !== 0, hasMeta, meta, groups: readGroups(reader) };
}

export function writeGroupHead(writer: ByteWriter, pane: number, dropped: boolean, entryCount: number): void {
  writer.varint(pane);
  writer.u8(dropped ? 1 : 0);
  writer.varint(entryCount);
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

export function writeRemoval(writer: ByteWriter, key: unknown): void {
  writeKey(writer, key);
  writer.u8(flagRemoved);
}

/** Reads the groups of an extent one after another; each must be consumed before the next is asked for. */
function* readGroups(reader: ByteReader): Generator<StateGroup> {
  while (reader.remaining > 0) {
    const pane = reader.varint();
    const dropped = reader.u8() === 1;
    const entryCount = reader.varint();
    yield { pane, dropped, entries: readEntries(reader, pane, entryCount) };
  }
}

function* readEntries(reader: ByteReader, pane: number, entryCount: number): Generator<StateEntry> {
  for (let i = 0; i < entryCount; i++) {
    const start = reader.offset;
    const key = readKey(reader);
    const flags = reader.u8();
    if (flags & flagRemoved) {
      yield { key, removed: true, value: undefined, timeMs: 0, schema: 1, hash: 0 };
      continue;
    }
    const timeMs = flags & flagTime ? reader.f64() : 0;
    const schema = flags & flagSchema ? reader.varint() : 1;
    const value = readValue(reader);
    yield { key, removed: false, value, timeMs, schema, hash: inPane(reader.hashSince(start), pane) };
  }
}

/** The same key in another pane must weigh differently, or entries could swap panes unseen. */
function inPane(hash: number, pane: number): number {
  return (hash ^ Math.imul(pane + 1, 0x9e3779b1)) >>> 0;
}
