import { Packr, RESET_BUFFER_MODE, REUSE_BUFFER_MODE, Unpackr } from 'msgpackr';
import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';
import { depthMax, isForbiddenName } from './data-path.ts';
import { TidemarkError } from './errors.ts';
import { scanPacked } from './packed-scan.ts';
import { notPlain, readPlain } from './plain-reader.ts';
import { writePlain } from './plain-writer.ts';
import { classOf, refuseValue } from './value-check.ts';
import { escapeValue, unescapeValue } from './value-escape.ts';

/**
 * Stores plain data as bytes: every value comes back equal (`equalPlain`) or is refused with its path.
 *
 * Form: MessagePack as msgpackr writes it, equal input gives equal bytes. Small values of the common kinds are written and
 * read by our own code (plain-writer.ts, plain-reader.ts), the others by msgpackr. What MessagePack cannot carry (-0, NaN, holes,
 * Map, Set, Date, typed arrays, large bigints, ill-formed strings) is escaped (value-escape.ts), and the bytes then
 * begin with 0xc1, which no MessagePack value does. Nothing is registered with msgpackr: its extensions are global to the process.
 *
 * A Buffer comes back as Uint8Array, an object without prototype as an ordinary one. Bytes are protected by checksums
 * elsewhere: decoding damaged or made-up bytes fails or gives some plain value. It never touches a prototype, makes no
 * class instance, and allocates no more than the bytes can back (packed-scan.ts).
 */
export interface EncodeOptions {
  /** Of the encoded value. Default 64 MiB. */
  readonly bytesMax?: number | undefined;
}

const bytesMaxDefault = 64 * 1024 * 1024;
const escapedMark = 0xc1;
// Rows of one shape are smaller and decode faster as records; a lone object is faster as a map.
const recordRowsMin = 4;

const mapPackr = new Packr({ useRecords: false, mapsAsObjects: true });
const recordPackr = new Packr({ useRecords: true });
const plainUnpackr = new Unpackr({ mapsAsObjects: true, copyBuffers: true });
const escapedUnpackr = new Unpackr({ mapsAsObjects: false, copyBuffers: true });

/** The bytes of a value; they stay valid. @throws VALUE_UNSUPPORTED, LIMIT_EXCEEDED */
export function encodeValue(value: unknown, options?: EncodeOptions): Uint8Array {
  const bytesMax = options?.bytesMax ?? bytesMaxDefault;
  if (!isEscapeNeeded(value, bytesMax)) return checkSize(packrFor(value).pack(value), bytesMax);
  const packed = packTemporary(recordPackr, escapeValue(value), bytesMax - 1);
  const bytes = new Uint8Array(packed.end - packed.start + 1);
  bytes[0] = escapedMark;
  bytes.set(packed.subarray(packed.start, packed.end), 1);
  return bytes;
}

/** @throws CHECKPOINT_CORRUPT when the bytes are not what encodeValue wrote. */
export function decodeValue(bytes: Uint8Array): unknown {
  try {
    if (bytes[0] === escapedMark) {
      scanPacked(bytes, 1);
      return unescapeValue(escapedUnpackr.unpack(bytes.subarray(1)));
    }
    scanPacked(bytes, 0);
    return plainUnpackr.unpack(bytes);
  } catch (cause) {
    throw damaged(bytes.length, cause);
  }
}

/**
 * Whether the bytes at `[start, end)` may be given to {@link decodeValueAt}. Makes nothing of them.
 * @throws CHECKPOINT_CORRUPT
 */
export function checkValueAt(bytes: Uint8Array, start: number, end: number): void {
  try {
    scanPacked(bytes, bytes[start] === escapedMark ? start + 1 : start, end);
  } catch (cause) {
    throw damaged(end - start, cause);
  }
}

/**
 * The value whose bytes stand at `[start, end)` of a larger buffer. Saves a view for each. The bytes are of this process,
 * or were checked when they were read. @throws CHECKPOINT_CORRUPT
 */
export function decodeValueAt(buffer: Buffer, start: number, end: number): unknown {
  if (buffer[start] === escapedMark) return decodeValue(buffer.subarray(start, end));
  try {
    const value = readPlain(buffer, start, end);
    return value === notPlain ? plainUnpackr.unpack(buffer, { start, end }) : value;
  } catch {
    // Decoded alone it is the same value or the same damage, with the right message.
    return decodeValue(buffer.subarray(start, end));
  }
}

function damaged(size: number, cause: unknown): TidemarkError {
  return new TidemarkError('CHECKPOINT_CORRUPT', `A stored value is damaged and cannot be decoded (${size} bytes).`, {
    cause,
  });
}

/** Appends the value with its length. @throws as encodeValue */
export function writeValue(writer: ByteWriter, value: unknown, options?: EncodeOptions): void {
  const bytesMax = options?.bytesMax ?? bytesMaxDefault;
  if (writePlain(writer, value, bytesMax)) return;
  if (isEscapeNeeded(value, bytesMax)) {
    writer.bytes(encodeValue(value, options));
  } else {
    const packed = packTemporary(packrFor(value), value, bytesMax);
    writer.bytes(packed, packed.start, packed.end);
  }
}

/** Reads what writeValue wrote. @throws CHECKPOINT_CORRUPT */
export function readValue(reader: ByteReader): unknown {
  return decodeValue(reader.bytes());
}

function packrFor(value: unknown): Packr {
  const asRecords = Array.isArray(value) && value.length >= recordRowsMin && typeof value[0] === 'object';
  return asRecords ? recordPackr : mapPackr;
}

interface TemporaryBytes extends Uint8Array {
  readonly start: number;
  readonly end: number;
}

/**
 * Packs into the buffer all packrs share: the message is `[start, end)` of the result and valid until the next call of
 * any of them. Saves the view object, which costs as much as packing a small value.
 */
function packTemporary(packr: Packr, value: unknown, bytesMax: number): TemporaryBytes {
  const buffer = packr.pack(value, REUSE_BUFFER_MODE | RESET_BUFFER_MODE) as Uint8Array as TemporaryBytes;
  if (buffer.end - buffer.start > bytesMax) refuseSize(bytesMax);
  return buffer;
}

function checkSize(bytes: Uint8Array, bytesMax: number): Uint8Array {
  if (bytes.length > bytesMax) refuseSize(bytesMax);
  return bytes;
}

function refuseSize(bytesMax: number): never {
  throw new TidemarkError(
    'LIMIT_EXCEEDED',
    `A value to be stored is larger than ${bytesMax} bytes when encoded. Split it, for instance over several keys.`,
    { context: { bytesMax } },
  );
}

// Parts left until the value is surely too large (each takes a byte at least): bounds the walk over shared parts.
let partsLeft = 0;

/** Checks the whole value. False: msgpackr alone brings it back equal. Allocates nothing for plain objects and arrays. */
function isEscapeNeeded(value: unknown, bytesMax: number): boolean {
  partsLeft = bytesMax;
  return isOdd(value, 0, value, bytesMax);
}

function isOdd(value: unknown, depth: number, root: unknown, bytesMax: number): boolean {
  switch (typeof value) {
    case 'string':
      return !value.isWellFormed();
    case 'number':
      // -0, and NaN because its stored payload would depend on the engine.
      return value === 0 ? 1 / value < 0 : Number.isNaN(value);
    case 'bigint':
      return BigInt.asIntN(64, value) !== value;
    case 'boolean':
    case 'undefined':
      return false;
    case 'object':
      return value !== null && isOddObject(value, depth, root, bytesMax);
    default:
      return refuseValue(root);
  }
}

const lookupGetter = (Object.prototype as unknown as { __lookupGetter__: (this: object, name: string) => unknown })
  .__lookupGetter__;
const lookupSetter = (Object.prototype as unknown as { __lookupSetter__: (this: object, name: string) => unknown })
  .__lookupSetter__;

function isOddObject(value: object, depth: number, root: unknown, bytesMax: number): boolean {
  if (depth >= depthMax) refuseValue(root);
  let odd = false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) {
    if (Object.getOwnPropertySymbols(value).length > 0) refuseValue(root);
    for (const name in value) {
      if (--partsLeft < 0) refuseSize(bytesMax);
      if (isForbiddenName(name)) refuseValue(root);
      if (!name.isWellFormed()) odd = true;
      // Unlike a property descriptor these lookups allocate nothing.
      if (lookupGetter.call(value, name) !== undefined) refuseValue(root);
      const part = (value as Record<string, unknown>)[name];
      if (part === undefined && lookupSetter.call(value, name) !== undefined) refuseValue(root);
      if (isOdd(part, depth + 1, root, bytesMax)) odd = true;
    }
    return odd;
  }
  if (prototype === Array.prototype && Array.isArray(value)) {
    partsLeft -= value.length;
    if (partsLeft < 0) refuseSize(bytesMax);
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      if (item === undefined ? !(i in value) : isOdd(item, depth + 1, root, bytesMax)) odd = true;
    }
    return odd;
  }
  checkRare(value, depth, root, bytesMax);
  return true;
}

function checkRare(value: object, depth: number, root: unknown, bytesMax: number): void {
  const valueClass = classOf(value);
  if (valueClass === undefined) refuseValue(root);
  if (valueClass === 'map') {
    for (const [key, item] of value as Map<unknown, unknown>) {
      if ((partsLeft -= 2) < 0) refuseSize(bytesMax);
      isOdd(key, depth + 1, root, bytesMax);
      isOdd(item, depth + 1, root, bytesMax);
    }
  } else if (valueClass === 'set') {
    for (const item of value as Set<unknown>) {
      if (--partsLeft < 0) refuseSize(bytesMax);
      isOdd(item, depth + 1, root, bytesMax);
    }
  }
}
