import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';
import { mix32 } from './checksum.ts';
import { depthMax, describeKind, isForbiddenName, propertyPath } from './data-path.ts';
import { TidemarkError } from './errors.ts';

/**
 * Keys are equal by value (decision A7): numbers, strings, bigints, booleans, null, and arrays and plain objects of
 * them. `1`, `1n` and `'1'` differ, NaN equals NaN, -0 equals 0, the order of an object's properties does not matter.
 *
 * Three views of a key that always agree: `keyIdentity` for Maps in memory, `hashKey` to choose a partition or bucket,
 * `writeKey` for storage. Hash and bytes are part of the stored format: they must never change (docs/formats/values.md).
 */
export type KeyIdentity = string | number | bigint | boolean | null;

// Marks identities that are not the key itself; a string key that begins with it is escaped.
const mark = '\u0000';

/** The key that has this identity: the inverse of `keyIdentity`. Parts of objects come in the order of their names. */
export function keyOfIdentity(id: KeyIdentity): unknown {
  if (typeof id !== 'string' || id.charCodeAt(0) !== 0) return id;
  return id.charCodeAt(1) === 0x73 ? id.slice(2) : new IdentityParser(id).part();
}

/** Reads what `identityText` wrote. */
class IdentityParser {
  readonly #text: string;
  #at = 1;

  constructor(text: string) {
    this.#text = text;
  }

  part(): unknown {
    switch (this.#text[this.#at++]) {
      case 's':
        return this.#chars();
      case 'n':
        return Number(this.#until(';'));
      case 'i':
        return BigInt(this.#until(';'));
      case 't':
        return true;
      case 'f':
        return false;
      case 'a':
        return Array.from({ length: Number(this.#until(':')) }, () => this.part());
      case 'o': {
        const properties: Record<string, unknown> = {};
        for (let left = Number(this.#until(':')); left > 0; left--) {
          const name = this.#chars();
          properties[name] = this.part();
        }
        return properties;
      }
      default:
        return null;
    }
  }

  #chars(): string {
    const size = Number(this.#until(':'));
    this.#at += size;
    return this.#text.slice(this.#at - size, this.#at);
  }

  #until(end: string): string {
    const from = this.#at;
    const to = this.#text.indexOf(end, from);
    this.#at = to + 1;
    return this.#text.slice(from, to);
  }
}

/**
 * What a JavaScript Map must be given so that equal keys meet: the key itself where a Map compares right already, else
 * a text that no other key has. @throws KEY_UNSUPPORTED
 */
export function keyIdentity(key: unknown): KeyIdentity {
  switch (typeof key) {
    case 'string':
      return key.charCodeAt(0) === 0 ? `${mark}s${key}` : key;
    case 'number':
    case 'boolean':
    case 'bigint':
      return key;
    default:
      return key === null ? null : mark + identityText(key, 0, key);
  }
}

// Every part is self-delimiting, so the concatenation can be read in one way only.
function identityText(value: unknown, depth: number, root: unknown): string {
  switch (typeof value) {
    case 'string':
      return `s${value.length}:${value}`;
    case 'number':
      return `n${value};`;
    case 'boolean':
      return value ? 't' : 'f';
    case 'bigint':
      return `i${value};`;
    default:
  }
  if (value === null) return 'z';
  if (Array.isArray(value)) {
    checkArray(value, depth, root);
    let text = `a${value.length}:`;
    for (let i = 0; i < value.length; i++) text += identityText(value[i], depth + 1, root);
    return text;
  }
  const names = sortedNames(value, depth, root);
  let text = `o${names.length}:`;
  for (const name of names) {
    text += `${name.length}:${name}${identityText((value as Record<string, unknown>)[name], depth + 1, root)}`;
  }
  return text;
}

// One seed per type keeps 1, '1', 1n and [1] apart.
const seeds = {
  null: 0x27d4eb2f,
  false: 0x165667b1,
  true: 0x9e3779b1,
  integer: 0x85ebca77,
  number: 0xc2b2ae3d,
  bigint: 0x2545f491,
  string: 0x811c9dc5,
  array: 0x1b873593,
  object: 0xcc9e2d51,
} as const;

/** A fixed hash of the key, uint32; equal keys have equal hashes. Part of the stored format. @throws KEY_UNSUPPORTED */
export function hashKey(key: unknown): number {
  return typeof key === 'string' ? mix32(hashText(seeds.string, key)) : hashValue(key, 0, key);
}

function hashText(seed: number, text: string): number {
  let h = seed;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h;
}

const doubles = new Float64Array(1);
const doubleBytes = new DataView(doubles.buffer);

function hashValue(value: unknown, depth: number, root: unknown): number {
  switch (typeof value) {
    case 'string':
      return mix32(hashText(seeds.string, value));
    case 'number':
      // -0 | 0 is 0 and 0 === -0: both zeros take this path.
      if ((value | 0) === value) return mix32((value | 0) ^ seeds.integer);
      if (Number.isNaN(value)) return mix32(seeds.number);
      doubleBytes.setFloat64(0, value, true);
      return combine(combine(seeds.number, doubleBytes.getUint32(0, true)), doubleBytes.getUint32(4, true));
    case 'boolean':
      return mix32(value ? seeds.true : seeds.false);
    case 'bigint':
      return mix32(hashText(seeds.bigint, value.toString(16)));
    default:
  }
  if (value === null) return mix32(seeds.null);
  if (Array.isArray(value)) {
    checkArray(value, depth, root);
    let h = combine(seeds.array, value.length);
    for (let i = 0; i < value.length; i++) h = combine(h, hashValue(value[i], depth + 1, root));
    return h;
  }
  const names = sortedNames(value, depth, root);
  let h = combine(seeds.object, names.length);
  for (const name of names) {
    h = combine(h, hashText(seeds.string, name));
    h = combine(h, hashValue((value as Record<string, unknown>)[name], depth + 1, root));
  }
  return h;
}

function combine(h: number, next: number): number {
  return mix32(Math.imul(h, 31) ^ next);
}

// Never reuse a number.
/** Tags of the stored form. */
export const keyTag = {
  null: 0,
  false: 1,
  true: 2,
  integer: 3,
  number: 4,
  bigint: 5,
  utf8: 6,
  utf16: 7,
  array: 8,
  object: 9,
} as const;

/** Appends the canonical bytes of the key: equal keys have equal bytes, different keys different ones. @throws KEY_UNSUPPORTED */
export function writeKey(writer: ByteWriter, key: unknown): void {
  writePart(writer, key, 0, key);
}

function writePart(writer: ByteWriter, value: unknown, depth: number, root: unknown): void {
  if (typeof value === 'string') writeText(writer, value);
  else if (typeof value === 'number') writeNumber(writer, value);
  else if (typeof value === 'boolean') writer.u8(value ? keyTag.true : keyTag.false);
  else if (typeof value === 'bigint') writeBigint(writer, value);
  else if (value === null) writer.u8(keyTag.null);
  else if (Array.isArray(value)) {
    checkArray(value, depth, root);
    writer.u8(keyTag.array);
    writer.varint(value.length);
    for (let i = 0; i < value.length; i++) writePart(writer, value[i], depth + 1, root);
  } else {
    const names = sortedNames(value, depth, root);
    writer.u8(keyTag.object);
    writer.varint(names.length);
    for (const name of names) {
      writeText(writer, name);
      writePart(writer, (value as Record<string, unknown>)[name], depth + 1, root);
    }
  }
}

function writeNumber(writer: ByteWriter, value: number): void {
  if ((value | 0) === value) {
    const n = value | 0;
    writer.u8(keyTag.integer);
    writer.varint(((n << 1) ^ (n >> 31)) >>> 0);
  } else {
    writer.u8(keyTag.number);
    if (Number.isNaN(value)) writer.raw(canonicalNaN);
    else writer.f64(value);
  }
}

// setFloat64 may keep any payload; the stored form has one NaN.
const canonicalNaN = Uint8Array.of(0, 0, 0, 0, 0, 0, 0xf8, 0x7f);

function writeText(writer: ByteWriter, text: string): void {
  if (text.isWellFormed()) {
    writer.u8(keyTag.utf8);
    writer.string(text);
  } else {
    writer.u8(keyTag.utf16);
    writer.bytes(Buffer.from(text, 'utf16le'));
  }
}

function writeBigint(writer: ByteWriter, value: bigint): void {
  const negative = value < 0n;
  const digits = (negative ? -value : value).toString(16);
  writer.u8(keyTag.bigint);
  writer.u8(negative ? 1 : 0);
  writer.bytes(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex'));
}

/** Reads one key back. @throws CHECKPOINT_CORRUPT */
export function readKey(reader: ByteReader): unknown {
  return readPart(reader, 0);
}

function readPart(reader: ByteReader, depth: number): unknown {
  if (depth > depthMax) throw reader.corrupt(`a key is nested deeper than ${depthMax}`);
  const kind = reader.u8();
  switch (kind) {
    case keyTag.null:
      return null;
    case keyTag.false:
      return false;
    case keyTag.true:
      return true;
    case keyTag.integer: {
      const zigzag = reader.varint();
      if (zigzag > 0xffffffff) throw reader.corrupt('an integer key is out of range');
      return (zigzag >>> 1) ^ -(zigzag & 1);
    }
    case keyTag.number:
      return reader.f64();
    case keyTag.bigint: {
      const negative = reader.u8() === 1;
      const digits = Buffer.from(reader.bytes()).toString('hex');
      if (digits === '') throw reader.corrupt('a bigint key has no digits');
      const magnitude = BigInt(`0x${digits}`);
      return negative ? -magnitude : magnitude;
    }
    case keyTag.utf8:
    case keyTag.utf16:
      return readText(reader, kind);
    case keyTag.array: {
      const count = reader.varint();
      if (count > reader.remaining) throw reader.corrupt('an array key is longer than its bytes');
      const items: unknown[] = [];
      for (let i = 0; i < count; i++) items.push(readPart(reader, depth + 1));
      return items;
    }
    case keyTag.object: {
      const count = reader.varint();
      const properties: Record<string, unknown> = {};
      for (let i = 0; i < count; i++) {
        const name = readText(reader, reader.u8());
        if (isForbiddenName(name)) throw reader.corrupt(`the property name ${name} cannot occur in a key`);
        properties[name] = readPart(reader, depth + 1);
      }
      return properties;
    }
    default:
      throw reader.corrupt(`${kind} is no key type`);
  }
}

function readText(reader: ByteReader, kind: number): string {
  if (kind === keyTag.utf8) return reader.string();
  const bytes = kind === keyTag.utf16 ? reader.bytes() : undefined;
  if (bytes === undefined || bytes.length % 2 !== 0) throw reader.corrupt('a text in a key is malformed');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf16le');
}

function checkArray(value: readonly unknown[], depth: number, root: unknown): void {
  if (depth >= depthMax || Object.getPrototypeOf(value) !== Array.prototype) refuse(root);
}

/** The property names in ascending order of UTF-16 code units. */
function sortedNames(value: unknown, depth: number, root: unknown): string[] {
  if (typeof value !== 'object' || value === null || depth >= depthMax || !isPlainKeyObject(value)) refuse(root);
  const names = Object.keys(value).sort();
  for (const name of names) if (isForbiddenName(name)) refuse(root);
  return names;
}

function isPlainKeyObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return (prototype === Object.prototype || prototype === null) && Object.getOwnPropertySymbols(value).length === 0;
}

/** Finds what is wrong with a key that was refused, and throws it with its path. */
function refuse(root: unknown): never {
  const problem = findProblem(root, '$', 0, new Set()) ?? '$ cannot be encoded';
  throw new TidemarkError(
    'KEY_UNSUPPORTED',
    `A key cannot be used: ${problem}. Keys are numbers, strings, bigints, booleans, null, or arrays and plain objects of them.`,
  );
}

function findProblem(value: unknown, path: string, depth: number, above: Set<unknown>): string | undefined {
  if (value === null || ['string', 'number', 'bigint', 'boolean'].includes(typeof value)) return undefined;
  if (typeof value !== 'object') return `${path} is ${describeKind(value)}`;
  if (above.has(value)) return `${path} refers back to a value it is part of`;
  if (depth >= depthMax) return `${path} is nested deeper than ${depthMax}`;
  const isArray = Array.isArray(value);
  if (isArray ? Object.getPrototypeOf(value) !== Array.prototype : !isPlainKeyObject(value)) {
    return Object.getOwnPropertySymbols(value).length > 0
      ? `${path} has a property named by a symbol`
      : `${path} is ${describeKind(value)}`;
  }
  above.add(value);
  const parts: [string, unknown][] = isArray
    ? Array.from(value, (item: unknown, i) => [`${path}[${i}]`, item])
    : Object.entries(value).map(([name, item]) => [propertyPath(path, name), item]);
  if (!isArray) {
    const forbidden = Object.keys(value).find(isForbiddenName);
    if (forbidden !== undefined) return `${path} has a property named ${forbidden}`;
  }
  for (const [partPath, part] of parts) {
    const problem = findProblem(part, partPath, depth + 1, above);
    if (problem !== undefined) return problem;
  }
  above.delete(value);
  return undefined;
}
