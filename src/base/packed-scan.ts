import { depthMax, isForbiddenName } from './data-path.ts';

/**
 * Reads over packed bytes (MessagePack with msgpackr's records) without making anything of them, and throws where they
 * are not what the value codec writes: a length that the bytes cannot back, a nesting that no value has, an extension
 * type that would make a class instance, a property name that could reach a prototype, bytes left over.
 *
 * msgpackr allocates an array as soon as it has read its length, and knows types that we never write. After the scan it
 * meets only what is harmless. Cost: a fraction of decoding.
 */
// An escaped value takes up to three levels (map, list, list) for one of its own.
const levelsMax = 3 * depthMax + 8;

let bytes: Uint8Array;
let at = 0;
let end = 0;
/** Fields per record id; -1: not defined in this message. */
const fieldsOf = new Int32Array(64).fill(-1);
let hasRecords = false;

/** @throws Error */
export function scanPacked(packed: Uint8Array, start: number, stop: number = packed.length): void {
  bytes = packed;
  at = start;
  end = stop;
  if (hasRecords) fieldsOf.fill(-1);
  hasRecords = false;
  scanValue(0);
  if (at !== end) throw new Error(at > end ? 'It was cut.' : 'There are bytes left over.');
}

function scanValue(level: number): void {
  if (at >= end) throw new Error('It was cut.');
  const token = bytes[at++]!;
  if (token < 0x80) {
    const fields = token < 0x40 ? -1 : fieldsOf[token & 0x3f]!;
    if (fields >= 0) scanValues(fields, level);
  } else if (token < 0x90) scanMap(token - 0x80, level);
  else if (token < 0xa0) scanValues(token - 0x90, level);
  else if (token < 0xc0) at += token - 0xa0;
  else if (token < 0xe0) scanRare(token, level);
}

function scanRare(token: number, level: number): void {
  switch (token) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return;
    case 0xc4:
    case 0xd9:
      skip(count(1));
      return;
    case 0xc5:
    case 0xda:
      skip(count(2));
      return;
    case 0xc6:
    case 0xdb:
      skip(count(4));
      return;
    case 0xcc:
    case 0xd0:
      skip(1);
      return;
    case 0xcd:
    case 0xd1:
      skip(2);
      return;
    case 0xca:
    case 0xce:
    case 0xd2:
      skip(4);
      return;
    case 0xcb:
    case 0xcf:
    case 0xd3:
      skip(8);
      return;
    case 0xd4:
      scanExtension(level);
      return;
    case 0xdc:
      scanValues(count(2), level);
      return;
    case 0xdd:
      scanValues(count(4), level);
      return;
    case 0xde:
      scanMap(count(2), level);
      return;
    case 0xdf:
      scanMap(count(4), level);
      return;
    default:
      throw new Error(`Type 0x${token.toString(16)} is never written.`);
  }
}

/** Undefined, or the definition of a record and its first use. */
function scanExtension(level: number): void {
  const type = count(1);
  const id = count(1);
  if (type === 0) return;
  if (type !== 0x72) throw new Error(`Extension ${type} is never written.`);
  hasRecords = true;
  const token = count(1);
  const fields =
    token >= 0x90 && token < 0xa0 ? token - 0x90 : token === 0xdc ? count(2) : token === 0xdd ? count(4) : -1;
  if (fields < 0 || fields > end - at) throw new Error('A record has no list of fields.');
  for (let i = 0; i < fields; i++) scanName();
  fieldsOf[id & 0x3f] = fields;
  scanValues(fields, level);
}

function scanValues(size: number, level: number): void {
  if (level >= levelsMax) throw new Error('It is nested too deep.');
  if (size > end - at) throw new Error('A list is longer than its bytes.');
  for (let i = 0; i < size; i++) scanValue(level + 1);
}

function scanMap(size: number, level: number): void {
  if (level >= levelsMax) throw new Error('It is nested too deep.');
  if (2 * size > end - at) throw new Error('A map is longer than its bytes.');
  for (let i = 0; i < size; i++) {
    scanName();
    scanValue(level + 1);
  }
}

/** A text, or the small number of an escape. */
function scanName(): void {
  if (at >= end) throw new Error('It was cut.');
  const token = bytes[at++]!;
  let size: number;
  if (token >= 0xa0 && token < 0xc0) size = token - 0xa0;
  else if (token < 0x40) return;
  else if (token === 0xd9) size = count(1);
  else if (token === 0xda) size = count(2);
  else if (token === 0xdb) size = count(4);
  else throw new Error('A property is not named by a text.');
  const start = at;
  if (size > end - at) throw new Error('It was cut.');
  at += size;
  if (size !== 9 && size !== 11) return;
  let name = '';
  for (let i = start; i < at; i++) name += String.fromCharCode(bytes[i]!);
  if (isForbiddenName(name)) throw new Error(`A property is named ${name}.`);
}

/** A big-endian number of 1, 2 or 4 bytes. */
function count(size: 1 | 2 | 4): number {
  const from = at;
  skip(size);
  let value = 0;
  for (let i = from; i < at; i++) value = value * 256 + bytes[i]!;
  return value;
}

function skip(size: number): void {
  if (size > end - at) throw new Error('It was cut.');
  at += size;
}
