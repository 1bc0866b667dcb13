import type { ByteWriter } from './byte-writer.ts';
import { depthMax, isForbiddenName } from './data-path.ts';

/**
 * Checks and writes a value in one pass, straight into its place: the way nearly all values of the value codec take.
 *
 * Writes the very bytes that msgpackr writes, for null, undefined, booleans, numbers, well-formed strings, and for arrays
 * and ordinary objects of them. Everything else is left to the long way (value-codec.ts): what must be escaped or refused,
 * rows that become records, and what is large. Tests compare the two byte by byte.
 */

// Larger values are few, and what is written in vain costs as much again.
const bytesMaxHere = 64 * 1024;
// Up to here a character loop beats the call into Buffer.write.
const shortChars = 20;
// Room for anything but a text, and for the length of what stands before.
const scalarBytes = 16;
// As in value-codec.ts: an array of rows.
const recordRowsMin = 4;

let writer: ByteWriter;
let out: Buffer;
let data: DataView;
let limit = 0;
let at = 0;
let stop = 0;

const lookupGetter = (Object.prototype as unknown as { __lookupGetter__: (this: object, name: string) => unknown })
  .__lookupGetter__;
const lookupSetter = (Object.prototype as unknown as { __lookupSetter__: (this: object, name: string) => unknown })
  .__lookupSetter__;
const emptyObject = {};

/** Appends the value after its length. False: the value must take the long way, and nothing was written. */
export function writePlain(into: ByteWriter, value: unknown, bytesMax: number): boolean {
  // What every object inherits would be taken for a property of its own.
  for (const _ in emptyObject) return false;
  if (Array.isArray(value) && value.length >= recordRowsMin && typeof value[0] === 'object') return false;
  const start = into.length;
  writer = into;
  at = start + 1;
  takeRoom(scalarBytes);
  stop = at + Math.min(bytesMax, bytesMaxHere);
  if (!write(value, 0) || at > stop) return false;
  writeLength(start);
  into.endAt(at);
  return true;
}

/** Before the value, where there is place for a short one. */
function writeLength(start: number): void {
  const size = at - start - 1;
  if (size < 0x80) {
    out[start] = size;
    return;
  }
  const more = size < 0x4000 ? 1 : 2;
  takeRoom(more);
  out.copyWithin(start + 1 + more, start + 1, at);
  at += more;
  out[start] = (size & 0x7f) | 0x80;
  if (more === 1) {
    out[start + 1] = size >>> 7;
  } else {
    out[start + 1] = ((size >>> 7) & 0x7f) | 0x80;
    out[start + 2] = size >>> 14;
  }
}

function takeRoom(bytes: number): void {
  out = writer.roomAt(at, bytes);
  data = writer.data;
  limit = out.length;
}

function write(value: unknown, depth: number): boolean {
  if (at + scalarBytes > limit) takeRoom(scalarBytes);
  switch (typeof value) {
    case 'string':
      return writeText(value);
    case 'number':
      return writeNumber(value);
    case 'boolean':
      out[at++] = value ? 0xc3 : 0xc2;
      return true;
    case 'undefined':
      out[at++] = 0xd4;
      out[at++] = 0;
      out[at++] = 0;
      return true;
    case 'object':
      if (value !== null) return writeObject(value, depth);
      out[at++] = 0xc0;
      return true;
    default:
      return false;
  }
}

function writeObject(value: object, depth: number): boolean {
  if (depth >= depthMax || at > stop) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return writeProperties(value as Record<string, unknown>, depth);
  return prototype === Array.prototype && Array.isArray(value) && writeItems(value, depth);
}

function writeProperties(value: Record<string, unknown>, depth: number): boolean {
  if (Object.getOwnPropertySymbols(value).length > 0) return false;
  const head = at;
  at += 3;
  let size = 0;
  for (const name in value) {
    if (isForbiddenName(name)) return false;
    // Unlike a property descriptor these lookups allocate nothing.
    if (lookupGetter.call(value, name) !== undefined) return false;
    const part = value[name];
    if (part === undefined && lookupSetter.call(value, name) !== undefined) return false;
    if (!writeText(name) || !write(part, depth + 1) || at > stop) return false;
    size += 1;
  }
  out[head] = 0xde;
  out[head + 1] = size >>> 8;
  out[head + 2] = size;
  return true;
}

function writeItems(items: readonly unknown[], depth: number): boolean {
  const size = items.length;
  if (size > 0xffff) return false;
  if (size < 0x10) {
    out[at++] = 0x90 | size;
  } else {
    out[at++] = 0xdc;
    out[at++] = size >>> 8;
    out[at++] = size;
  }
  for (let i = 0; i < size; i++) {
    const item = items[i];
    if (item === undefined && !(i in items)) return false;
    if (!write(item, depth + 1) || at > stop) return false;
  }
  return true;
}

function writeNumber(value: number): boolean {
  if (value >>> 0 === value) {
    if (value === 0 && 1 / value < 0) return false;
    if (value < 0x80) {
      out[at++] = value;
    } else if (value < 0x100) {
      out[at++] = 0xcc;
      out[at++] = value;
    } else if (value < 0x10000) {
      out[at++] = 0xcd;
      out[at++] = value >>> 8;
      out[at++] = value;
    } else {
      out[at++] = 0xce;
      data.setUint32(at, value);
      at += 4;
    }
  } else if (value >> 0 === value) {
    if (value >= -0x20) {
      out[at++] = value;
    } else if (value >= -0x80) {
      out[at++] = 0xd0;
      out[at++] = value;
    } else if (value >= -0x8000) {
      out[at++] = 0xd1;
      data.setInt16(at, value);
      at += 2;
    } else {
      out[at++] = 0xd2;
      data.setInt32(at, value);
      at += 4;
    }
  } else {
    if (Number.isNaN(value)) return false;
    out[at++] = 0xcb;
    data.setFloat64(at, value);
    at += 8;
  }
  return true;
}

function writeText(text: string): boolean {
  const chars = text.length;
  if (at + chars * 3 + scalarBytes > limit) {
    // Nothing that large is written here, so no room is taken for it.
    if (chars > bytesMaxHere) return false;
    takeRoom(chars * 3 + scalarBytes);
  }
  return (chars <= shortChars && writeAscii(text)) || writeUtf8(text);
}

function writeAscii(text: string): boolean {
  const bytes = out;
  let next = at;
  bytes[next++] = 0xa0 | text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) return false;
    bytes[next++] = unit;
  }
  at = next;
  return true;
}

function writeUtf8(text: string): boolean {
  const before = headBytes(text.length);
  const size = out.write(text, at + before, 'utf8');
  // What is ASCII has as many bytes as characters, and no halves of a character.
  if (size !== text.length && !text.isWellFormed()) return false;
  const head = headBytes(size);
  if (head !== before) out.copyWithin(at + head, at + before, at + before + size);
  if (head === 1) {
    out[at] = 0xa0 | size;
  } else if (head === 2) {
    out[at] = 0xd9;
    out[at + 1] = size;
  } else {
    if (size > 0xffff) return false;
    out[at] = 0xda;
    out[at + 1] = size >>> 8;
    out[at + 2] = size;
  }
  at += head + size;
  return true;
}

function headBytes(size: number): number {
  return size < 0x20 ? 1 : size < 0x100 ? 2 : 3;
}
