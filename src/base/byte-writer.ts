import { hashBytes } from './checksum.ts';
import { invariant } from './errors.ts';

const initialBytes = 256;
// Up to here a character loop beats the call into Buffer.write.
const shortStringChars = 48;
// Up to here a loop beats the call into TypedArray.set.
const shortBytes = 192;

/**
 * Appends binary fields to one growing buffer. All numbers are little-endian; a varint is unsigned LEB128.
 *
 * Owns its buffer: a view handed out by `view()` is valid until the next write or `reset()`, `finish()` gives a copy.
 * Reuse one writer for many messages with `reset()`: the buffer is kept.
 */
export class ByteWriter {
  #buffer: Buffer;
  #data: DataView;
  #length = 0;

  constructor(capacity: number = initialBytes) {
    this.#buffer = Buffer.alloc(Math.max(capacity, 16));
    this.#data = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, this.#buffer.byteLength);
  }

  /** Bytes written since the last reset. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  u32le(value: number): void {
    this.#reserve(4);
    this.#data.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#data.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** A non-negative safe integer in 1-8 bytes. */
  varint(value: number): void {
    invariant(Number.isSafeInteger(value) && value >= 0, `A varint holds a non-negative safe integer, not ${value}.`);
    this.#reserve(8);
    const buffer = this.#buffer;
    let at = this.#length;
    let rest = value;
    while (rest >= 0x80) {
      buffer[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    buffer[at++] = rest;
    this.#length = at;
  }

  /** The bytes `[start, end)` alone; the reader must know how many. */
  raw(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    const size = end - start;
    this.#reserve(size);
    if (size <= shortBytes) {
      const buffer = this.#buffer;
      let at = this.#length;
      for (let i = start; i < end; i++) buffer[at++] = bytes[i]!;
    } else {
      this.#buffer.set(size === bytes.length ? bytes : bytes.subarray(start, end), this.#length);
    }
    this.#length += size;
  }

  /** Varint length, then the bytes `[start, end)`. */
  bytes(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    this.varint(end - start);
    this.raw(bytes, start, end);
  }

  /** Varint length in bytes, then UTF-8. The string must be well-formed (`isWellFormed()`): others would not come back. */
  string(text: string): void {
    if (text.length <= shortStringChars && this.#shortAscii(text)) return;
    const size = Buffer.byteLength(text, 'utf8');
    this.varint(size);
    this.#reserve(size);
    this.#buffer.write(text, this.#length, 'utf8');
    this.#length += size;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return new Uint8Array(this.view());
  }

  /** What was written, without a copy: valid until the next write or reset. */
  view(): Uint8Array {
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset, this.#length);
  }

  /** Hash of what was written since `start` (a former `length`), without a view of it. */
  hashSince(start: number): number {
    return hashBytes(this.#buffer, start, this.#length);
  }

  /** Makes room for so many bytes more at once. */
  reserve(bytes: number): void {
    const capacity = this.#length + Math.ceil(bytes);
    if (capacity > this.#buffer.length) this.#grow(capacity);
  }

  /**
   * The buffer, with room for `bytes` from `at` on: for codecs that write in place. What stands before `at` is kept. Valid
   * until more room is asked for; what was written counts with {@link endAt}.
   */
  roomAt(at: number, bytes: number): Buffer {
    const needed = at + bytes;
    if (needed > this.#buffer.length) this.#grow(Math.max(needed, this.#buffer.length * 2), at);
    return this.#buffer;
  }

  /** Over the same bytes as the buffer. */
  get data(): DataView {
    return this.#data;
  }

  /** From now on so many bytes count as written. */
  endAt(length: number): void {
    this.#length = length;
  }

  /** Forgets what was written and keeps the buffer. */
  reset(): void {
    this.#length = 0;
  }

  #shortAscii(text: string): boolean {
    const size = text.length;
    this.#reserve(size + 1);
    const buffer = this.#buffer;
    let at = this.#length + 1;
    for (let i = 0; i < size; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      buffer[at++] = unit;
    }
    buffer[this.#length] = size;
    this.#length = at;
    return true;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed > this.#buffer.length) this.#grow(Math.max(needed, this.#buffer.length * 2));
  }

  #grow(capacity: number, kept: number = this.#length): void {
    const grown = Buffer.alloc(capacity);
    grown.set(this.#buffer.subarray(0, kept));
    this.#buffer = grown;
    this.#data = new DataView(grown.buffer, grown.byteOffset, grown.byteLength);
  }
}
