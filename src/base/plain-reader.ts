import { isForbiddenName } from './data-path.ts';
import { learnName, type ShapeStep, shapeRoot } from './object-shapes.ts';

/**
 * Reads the values that plain-writer.ts writes, where they lie.
 *
 * What else the value codec stores (escapes, records, bytes, bigints) is left to msgpackr, and so is what is large: it
 * decodes many texts in one go. The bytes are of this process, or were checked (packed-scan.ts); of others it makes some
 * plain value or none.
 */

/** Not for this reader. */
export const notPlain: unique symbol = Symbol('notPlain');

const bytesMaxHere = 2048;

let bytes: Buffer;
/** Beyond `end` once something was met that is not for this reader; it never goes back from there. */
let at = 0;
let end = 0;
/** Values of the objects that are being read. */
const parts: unknown[] = [];
let partCount = 0;

/** The value at `[start, stop)`, or {@link notPlain}. */
export function readPlain(buffer: Buffer, start: number, stop: number): unknown {
  if (stop - start > bytesMaxHere) return notPlain;
  bytes = buffer;
  at = start;
  end = stop;
  partCount = 0;
  const value = read();
  return at === end ? value : notPlain;
}

function read(): unknown {
  const token = bytes[at++]!;
  if (token < 0x80) return token;
  if (token >= 0xe0) return token - 0x100;
  if (token >= 0xa0 && token < 0xc0) return readText(token - 0xa0);
  if (token >= 0x90 && token < 0xa0) return readItems(token - 0x90);
  switch (token) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xcb:
      at += 8;
      return at <= end ? bytes.readDoubleBE(at - 8) : undefined;
    case 0xcc:
      return bytes[at++];
    case 0xcd:
      return unsigned16();
    case 0xce:
      return unsigned16() * 0x10000 + unsigned16();
    case 0xd0:
      return (bytes[at++]! << 24) >> 24;
    case 0xd1:
      return (unsigned16() << 16) >> 16;
    case 0xd2:
      return (unsigned16() << 16) | unsigned16();
    case 0xd4:
      // Undefined; otherwise a record.
      return unsigned16() === 0 ? undefined : giveUp();
    case 0xd9:
      return readText(bytes[at++]!);
    case 0xda:
      return readText(unsigned16());
    case 0xdc:
      return readItems(unsigned16());
    case 0xde:
      return readObject(unsigned16());
    default:
      return giveUp();
  }
}

function giveUp(): undefined {
  at = end + 1;
}

function unsigned16(): number {
  at += 2;
  return (bytes[at - 2]! << 8) | bytes[at - 1]!;
}

function readText(size: number): string {
  const start = at;
  at += size;
  if (at > end) return '';
  if (size === 1 && bytes[start]! < 0x80) return String.fromCharCode(bytes[start]!);
  return size === 0 ? '' : bytes.toString('utf8', start, at);
}

function readItems(size: number): unknown[] {
  const items: unknown[] = [];
  for (let i = 0; i < size && at <= end; i++) items.push(read());
  return items;
}

function readObject(size: number): Record<string, unknown> {
  const start = at;
  const base = partCount;
  let step: ShapeStep | undefined = shapeRoot();
  partCount += size;
  for (let i = 0; i < size; i++) {
    const after: ShapeStep = step;
    step = after.first;
    while (step !== undefined && !isNext(step.bytes)) step = step.other;
    step ??= learn(after);
    if (step === undefined) break;
    at += step.bytes.length;
    parts[base + i] = read();
    if (at > end) break;
  }
  partCount = base;
  if (at > end) return {};
  if (step === undefined) {
    at = start;
    return readNamed(size);
  }
  const object = step.make(parts, base);
  // What is not overwritten soon would be held on to.
  for (let i = base; i < base + size; i++) parts[i] = undefined;
  return object;
}

function isNext(name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[at + i]) return false;
  return true;
}

/** Leaves `at` where it is. */
function learn(after: ShapeStep): ShapeStep | undefined {
  const start = at;
  const name = read();
  if (typeof name !== 'string' || at > end) return undefined;
  const step = learnName(after, name, new Uint8Array(bytes.subarray(start, at)));
  at = start;
  return step;
}

/** An object whose names are not those of a known shape. */
function readNamed(size: number): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (let i = 0; i < size && at <= end; i++) {
    const name = read();
    if (typeof name !== 'string' || isForbiddenName(name)) {
      giveUp();
      break;
    }
    object[name] = read();
  }
  return object;
}
