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
      return BigInt.asIntN(64, value) === value ? value : escaped(kind.bigint, value.toString());
    case 'object':
      return value === null ? null : escapeObject(value);
    default:
      return value;
  }
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
      return BigInt(text(payload));
    case kind.illFormedString:
      return bytes(payload).toString('utf16le');
    case kind.sparseArray:
      return restoreSparse(list(payload));
    case kind.object:
      return Object.fromEntries(pairs(list(payload)));
    case kind.map:
      return new Map(pairs(list(payload)));
    case kind.set:
      return new Set(list(payload).map(unescapeValue));
    case kind.date:
      return new Date(payload === null ? Number.NaN : finite(payload));
    case kind.buffer:
      return aligned(bytes(payload));
    case kind.typedArray: {
      const [index, content] = list(payload);
      const TypedArrayOfKind = typedArrays[finite(index)];
      if (TypedArrayOfKind === undefined) throw new Error(`${index} is no kind of typed array.`);
      return new TypedArrayOfKind(aligned(bytes(content)));
    }
    default:
      throw new Error(`${String(number)} is no kind of escape.`);
  }
}

function restoreSparse(flat: readonly unknown[]): unknown[] {
  const array: unknown[] = [];
  array.length = finite(flat[0]);
  for (let i = 1; i + 1 < flat.length; i += 2) {
    const index = finite(flat[i]);
    if (index >= array.length) throw new Error('An index lies beyond its array.');
    array[index] = unescapeValue(flat[i + 1]);
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

function finite(payload: unknown): number {
  if (typeof payload !== 'number' || !Number.isFinite(payload)) throw new Error('A number was expected.');
  return payload;
}

function bytes(payload: unknown): Buffer {
  if (!(payload instanceof Uint8Array)) throw new Error('Bytes were expected.');
  return Buffer.from(payload.buffer as ArrayBuffer, payload.byteOffset, payload.byteLength);
}
