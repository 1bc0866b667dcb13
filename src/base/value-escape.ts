import { isForbiddenName } from './data-path.ts';
import { TidemarkError } from './errors.ts';
import { typedArrayKind, typedArrays } from './value-check.ts';

/**
 * Rewrites a value so that MessagePack carries it, and back.
 *
 * In the rewritten value a Map never means a Map: it is an escape with one entry, number of the kind -> payload. Plain
 * objects are records, so the two cannot be confused. The value must have passed the check of the value codec.
 */

// Numbers of the stored form: never reuse one.
const kind = {
  negativeZero: 0,
  notANumber: 1,
  bigint: 2,
  illFormedString: 3,
  sparseArray: 4,
  object: 5,
  map: 6,
  set: 7,
  date: 8,
  buffer: 9,
  typedArray: 10,
} as const;

// Reading and writing digits takes more than linear time.
const bigintDigitsMax = 100_000;
// Who reads an array with holes goes over all of its length, which costs no bytes.
const sparseLengthMax = 64 * 1024 * 1024;

function escaped(number: number, payload: unknown): Map<number, unknown> {
  return new Map([[number, payload]]);
}

export function escapeValue(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? value : escaped(kind.illFormedString, Buffer.from(value, 'utf16le'));
    case 'number':
      if (Number.isNaN(value)) return escaped(kind.notANumber, null);
      return Object.is(value, -0) ? escaped(kind.negativeZero, null) : value;
    case 'bigint':
      return BigInt.asIntN(64, value) === value ? value : escaped(kind.bigint, digitsOf(value));
    case 'object':
      return value === null ? null : escapeObject(value);
    default:
      return value;
  }
}

function digitsOf(value: bigint): string {
  const digits = value.toString();
  if (digits.length <= bigintDigitsMax) return digits;
  throw new TidemarkError('LIMIT_EXCEEDED', `A bigint of more than ${bigintDigitsMax} digits cannot be stored.`);
}

function escapeObject(value: object): unknown {
  if (Array.isArray(value)) return escapeArray(value);
  if (value instanceof Map) {
    const flat: unknown[] = [];
    for (const [key, item] of value) flat.push(escapeValue(key), escapeValue(item));
    return escaped(kind.map, flat);
  }
  if (value instanceof Set) return escaped(kind.set, Array.from(value, escapeValue));
  if (value instanceof Date) {
    const timeMs = value.getTime();
    return escaped(kind.date, Number.isNaN(timeMs) ? null : timeMs);
  }
  if (value instanceof ArrayBuffer) return escaped(kind.buffer, Buffer.from(value));
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
    return escaped(kind.typedArray, [typedArrayKind(value), bytes]);
  }
  const entries = Object.entries(value);
  if (entries.every(([name]) => name.isWellFormed())) {
    return Object.fromEntries(entries.map(([name, item]) => [name, escapeValue(item)]));
  }
  return escaped(
    kind.object,
    entries.flatMap(([name, item]) => [escapeValue(name), escapeValue(item)]),
  );
}

function escapeArray(items: readonly unknown[]): unknown {
  let present = 0;
  for (let i = 0; i < items.length; i++) if (i in items) present++;
  if (present === items.length) return items.map(escapeValue);
  if (items.length > sparseLengthMax) {
    throw new TidemarkError('LIMIT_EXCEEDED', `An array with holes and a length of ${items.length} cannot be stored.`);
  }
  const flat: unknown[] = [items.length];
  for (let i = 0; i < items.length; i++) if (i in items) flat.push(i, escapeValue(items[i]));
  return escaped(kind.sparseArray, flat);
}

/** Undoes escapeValue, in place where it can. @throws Error on anything escapeValue does not produce. */
export function unescapeValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = unescapeValue(value[i]);
    return value;
  }
  if (value instanceof Map) {
    if (value.size !== 1) throw new Error('An escape has exactly one entry.');
    for (const [number, payload] of value) return restore(number, payload);
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) throw new Error('An unexpected object was decoded.');
  const properties = value as Record<string, unknown>;
  for (const name of Object.keys(properties)) properties[name] = unescapeValue(properties[name]);
  return properties;
}

function restore(number: unknown, payload: unknown): unknown {
  switch (number) {
    case kind.negativeZero:
      return -0;
    case kind.notANumber:
      return Number.NaN;
    case kind.bigint:
      return bigintOf(text(payload));
    case kind.illFormedString:
      return unitsOf(bytes(payload)).toString('utf16le');
    case kind.sparseArray:
      return restoreSparse(list(payload));
    case kind.object:
      return objectOf(pairs(list(payload)));
    case kind.map:
      return new Map(pairs(list(payload)));
    case kind.set:
      return new Set(list(payload).map(unescapeValue));
    case kind.date:
      return new Date(payload === null ? Number.NaN : finite(payload));
    case kind.buffer:
      return aligned(bytes(payload));
    case kind.typedArray: {
      const [number, content] = list(payload);
      const TypedArrayOfKind = typedArrays[index(number)];
      if (TypedArrayOfKind === undefined) throw new Error(`${String(number)} is no kind of typed array.`);
      return new TypedArrayOfKind(aligned(bytes(content)));
    }
    default:
      throw new Error(`${String(number)} is no kind of escape.`);
  }
}

function restoreSparse(flat: readonly unknown[]): unknown[] {
  const array: unknown[] = [];
  const length = index(flat[0]);
  if (length > sparseLengthMax) throw new Error('An array of holes is too long.');
  array.length = length;
  for (let i = 1; i + 1 < flat.length; i += 2) {
    const place = index(flat[i]);
    if (place >= array.length) throw new Error('An index lies beyond its array.');
    array[place] = unescapeValue(flat[i + 1]);
  }
  return array;
}

function pairs(flat: readonly unknown[]): [string, unknown][] {
  if (flat.length % 2 !== 0) throw new Error('A key without a value.');
  const entries: [unknown, unknown][] = [];
  for (let i = 0; i < flat.length; i += 2) entries.push([unescapeValue(flat[i]), unescapeValue(flat[i + 1])]);
  return entries as [string, unknown][];
}

/** A fresh ArrayBuffer: typed arrays need alignment, and the decoded bytes may be part of a larger one. */
function aligned(view: Buffer): ArrayBuffer {
  return new Uint8Array(view).buffer as ArrayBuffer;
}

function list(payload: unknown): unknown[] {
  if (!Array.isArray(payload)) throw new Error('A list was expected.');
  return payload;
}

function text(payload: unknown): string {
  if (typeof payload !== 'string') throw new Error('A text was expected.');
  return payload;
}

function index(payload: unknown): number {
  const number = finite(payload);
  if (!Number.isSafeInteger(number) || number < 0) throw new Error('A place in a list was expected.');
  return number;
}

/** BigInt() would also take spaces, other bases and nothing at all, and parse for minutes. */
function bigintOf(digits: string): bigint {
  if (digits.length > bigintDigitsMax || !/^-?[0-9]+$/.test(digits)) throw new Error('A whole number was expected.');
  return BigInt(digits);
}

function unitsOf(encoded: Buffer): Buffer {
  if (encoded.length % 2 !== 0) throw new Error('Half of a code unit.');
  return encoded;
}

function objectOf(entries: readonly [string, unknown][]): object {
  for (const [name] of entries) {
    if (typeof name !== 'string' || isForbiddenName(name)) throw new Error('A property has a name that none may have.');
  }
  return Object.fromEntries(entries);
}

function finite(payload: unknown): number {
  if (typeof payload !== 'number' || !Number.isFinite(payload)) throw new Error('A number was expected.');
  return payload;
}

function bytes(payload: unknown): Buffer {
  if (!(payload instanceof Uint8Array)) throw new Error('Bytes were expected.');
  return Buffer.from(payload.buffer as ArrayBuffer, payload.byteOffset, payload.byteLength);
}
