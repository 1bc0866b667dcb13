import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { hashKey, type KeyIdentity, keyIdentity, keyOfIdentity, keyTag, readKey, writeKey } from './canonical-key.ts';
import { mix32 } from './checksum.ts';
import { depthMax } from './data-path.ts';

/**
 * Keys where they lie, in the middle of a buffer (canonical-key.ts tells their bytes): large states compare and hash
 * stored keys without decoding them. Text in ASCII takes the short way everywhere.
 */

/** Where the key that begins at `at` ends. What is no key, or runs over the end, gives NaN or a place beyond the end. */
export function skipKeyAt(buffer: Uint8Array, at: number, depth = 0): number {
  // Made-up bytes must not reach the end of the stack.
  if (depth > depthMax) return Number.NaN;
  switch (buffer[at]) {
    case keyTag.null:
    case keyTag.false:
    case keyTag.true:
      return at + 1;
    case keyTag.integer:
      return varintEnd(buffer, at + 1);
    case keyTag.number:
      return at + 9;
    case keyTag.bigint:
      return skipBytes(buffer, at + 2);
    case keyTag.utf8:
    case keyTag.utf16:
      return skipBytes(buffer, at + 1);
    case keyTag.array: {
      let next = varintEnd(buffer, at + 1);
      for (let left = varintAt(buffer, at + 1); left > 0 && next <= buffer.length; left--) {
        next = skipKeyAt(buffer, next, depth + 1);
      }
      return next;
    }
    case keyTag.object: {
      let next = varintEnd(buffer, at + 1);
      for (let left = varintAt(buffer, at + 1); left > 0 && next <= buffer.length; left--) {
        next = skipKeyAt(buffer, skipKeyAt(buffer, next, depth + 1), depth + 1);
      }
      return next;
    }
    default:
      return Number.NaN;
  }
}

/** An unsigned LEB128 number; NaN when it is cut or malformed. */
export function varintAt(buffer: Uint8Array, at: number): number {
  const first = buffer[at]!;
  if (first < 0x80) return first;
  let value = 0;
  let unit = 1;
  for (let i = at; i < at + 8; i++) {
    const byte = buffer[i];
    if (byte === undefined) return Number.NaN;
    value += (byte & 0x7f) * unit;
    if (byte < 0x80) return value;
    unit *= 0x80;
  }
  return Number.NaN;
}

export function varintEnd(buffer: Uint8Array, at: number): number {
  for (let i = at; i < at + 8; i++) if (buffer[i]! < 0x80) return i + 1;
  return Number.NaN;
}

function skipBytes(buffer: Uint8Array, at: number): number {
  return varintEnd(buffer, at) + varintAt(buffer, at);
}

/** The key whose bytes are `[start, end)`. @throws CHECKPOINT_CORRUPT */
export function readKeyAt(buffer: Buffer, start: number, end: number): unknown {
  if (buffer[start] === keyTag.utf8) {
    const from = varintEnd(buffer, start + 1);
    if (end - from <= 32) {
      let text = '';
      let at = from;
      for (; at < end; at++) {
        const byte = buffer[at]!;
        if (byte >= 0x80) break;
        text += String.fromCharCode(byte);
      }
      if (at === end) return text;
    }
  }
  return readKey(new ByteReader(buffer.subarray(start, end)));
}

/** `hashKey` as int32 of the key whose bytes are `[start, end)`. @throws CHECKPOINT_CORRUPT */
export function hashKeyAt(buffer: Buffer, start: number, end: number): number {
  if (buffer[start] === keyTag.utf8) {
    let h = 0x811c9dc5;
    let at = varintEnd(buffer, start + 1);
    for (; at < end; at++) {
      const byte = buffer[at]!;
      if (byte >= 0x80) break;
      h = Math.imul(h ^ byte, 0x01000193);
    }
    if (at === end) return mix32(h) | 0;
  }
  return hashKey(readKeyAt(buffer, start, end)) | 0;
}

const scratch = new ByteWriter();

/** Whether the key at `start` has this identity. */
export function isKeyAt(buffer: Buffer, start: number, id: KeyIdentity): boolean {
  if (typeof id === 'string' && id.length < 0x80 && id.charCodeAt(0) !== 0) {
    const size = id.length;
    if (buffer[start] !== keyTag.utf8) {
      if (buffer[start] !== keyTag.utf16) return false;
    } else if (buffer[start + 1] === size) {
      const from = start + 2;
      let i = 0;
      for (; i < size; i++) {
        const byte = buffer[from + i]!;
        const unit = id.charCodeAt(i);
        if (byte !== unit && byte < 0x80 && unit < 0x80) return false;
        if (byte >= 0x80 || unit >= 0x80) break;
      }
      if (i === size) return true;
    }
  }
  scratch.reset();
  writeKey(scratch, keyOfIdentity(id));
  const bytes = scratch.view();
  for (let i = 0; i < bytes.length; i++) if (buffer[start + i] !== bytes[i]) return false;
  return true;
}

/** `hashKey` as int32 of the key that has this identity: a Smi in every case. */
export function hashIdentity(id: KeyIdentity): number {
  return hashKey(typeof id === 'string' && id.charCodeAt(0) === 0 ? keyOfIdentity(id) : id) | 0;
}

/** `keyIdentity` of the key whose bytes are `[start, end)`. */
export function identityAt(buffer: Buffer, start: number, end: number): KeyIdentity {
  return keyIdentity(readKeyAt(buffer, start, end));
}
