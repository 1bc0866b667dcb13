import { copyBytes } from './copy-bytes.ts';

/**
 * Encoded AMQP values that have one plain meaning: scalars, text, binary, lists, and maps with text keys.
 *
 * {@link plainValueEnd} decides whether a value is one of them and well formed, {@link PlainValueReader} decodes those for
 * which it said yes, to what rhea and `detach` of event-hub-event make of them together. Everything else (described
 * values, arrays, other keys, sizes that contradict each other) is left to rhea.
 *
 * Source: AMQP 1.0 part 1.6, type encodings.
 */
export const type = {
  null: 0x40,
  true: 0x41,
  false: 0x42,
  uint0: 0x43,
  ulong0: 0x44,
  list0: 0x45,
  ubyte: 0x50,
  byte: 0x51,
  smallUint: 0x52,
  smallUlong: 0x53,
  smallInt: 0x54,
  smallLong: 0x55,
  boolean: 0x56,
  ushort: 0x60,
  short: 0x61,
  uint: 0x70,
  int: 0x71,
  float: 0x72,
  char: 0x73,
  decimal32: 0x74,
  ulong: 0x80,
  long: 0x81,
  double: 0x82,
  timestamp: 0x83,
  decimal64: 0x84,
  decimal128: 0x94,
  uuid: 0x98,
  binary8: 0xa0,
  string8: 0xa1,
  symbol8: 0xa3,
  binary32: 0xb0,
  string32: 0xb1,
  symbol32: 0xb3,
  list8: 0xc0,
  map8: 0xc1,
  list32: 0xd0,
  map32: 0xd1,
} as const;

const depthMax = 8;
/** High words beyond it rhea hands on as bytes. */
const highWordMax = 2_097_153;

/** The position after the value at `at`, or -1 when it isn't plain or doesn't end by `end`. */
export function plainValueEnd(bytes: Buffer, at: number, end: number, depth = 0): number {
  if (at >= end) return -1;
  let next = at + 1;
  switch (bytes[at]) {
    case type.null:
    case type.true:
    case type.false:
    case type.uint0:
    case type.ulong0:
    case type.list0:
      break;
    case type.ubyte:
    case type.byte:
    case type.smallUint:
    case type.smallUlong:
    case type.smallInt:
    case type.smallLong:
    case type.boolean:
      next += 1;
      break;
    case type.ushort:
    case type.short:
      next += 2;
      break;
    case type.uint:
    case type.int:
    case type.float:
    case type.char:
    case type.decimal32:
      next += 4;
      break;
    case type.ulong:
    case type.long:
    case type.double:
    case type.decimal64:
      next += 8;
      break;
    case type.timestamp: {
      next += 8;
      if (next > end || Math.abs(bytes.readInt32BE(at + 1)) >= highWordMax) return -1;
      break;
    }
    case type.decimal128:
    case type.uuid:
      next += 16;
      break;
    case type.binary8:
    case type.string8:
    case type.symbol8:
      if (next >= end) return -1;
      next += 1 + bytes[next]!;
      break;
    case type.binary32:
    case type.string32:
    case type.symbol32:
      if (next + 4 > end) return -1;
      next += 4 + readUint32(bytes, next);
      break;
    case type.list8:
    case type.map8:
    case type.list32:
    case type.map32:
      return compoundEnd(bytes, at, end, depth);
    default:
      return -1;
  }
  return next <= end ? next : -1;
}

function compoundEnd(bytes: Buffer, at: number, end: number, depth: number): number {
  if (depth === depthMax) return -1;
  const items = compoundItems(bytes, at, end);
  if (items === undefined) return -1;
  let next = items.start;
  for (let i = 0; i < items.count; i++) {
    if (items.isMap && i % 2 === 0 && !isPlainKey(bytes, next, items.end)) return -1;
    next = plainValueEnd(bytes, next, items.end, depth + 1);
    if (next < 0) return -1;
  }
  return next === items.end ? next : -1;
}

interface CompoundItems {
  readonly isMap: boolean;
  readonly start: number;
  readonly end: number;
  readonly count: number;
}

/** Undefined when it is no list or map, or one that is cut off or has a key without a value. */
function compoundItems(bytes: Buffer, at: number, end: number): CompoundItems | undefined {
  const code = bytes[at];
  if (code === type.list0) return { isMap: false, start: at + 1, end: at + 1, count: 0 };
  const isMap = code === type.map8 || code === type.map32;
  let start: number;
  let itemsEnd: number;
  let count: number;
  if (code === type.list8 || code === type.map8) {
    if (at + 3 > end) return undefined;
    start = at + 3;
    itemsEnd = at + 2 + bytes[at + 1]!;
    count = bytes[at + 2]!;
  } else if (code === type.list32 || code === type.map32) {
    if (at + 9 > end) return undefined;
    start = at + 9;
    itemsEnd = at + 5 + readUint32(bytes, at + 1);
    count = readUint32(bytes, at + 5);
  } else {
    return undefined;
  }
  // Every item takes a byte at least, so the count is bounded by what has arrived.
  if (itemsEnd > end || count > itemsEnd - start || (isMap && count % 2 === 1)) return undefined;
  return { isMap, start, end: itemsEnd, count };
}

/** A key that becomes an own property of a plain object. */
function isPlainKey(bytes: Buffer, at: number, end: number): boolean {
  switch (bytes[at]) {
    case type.string8:
    case type.symbol8:
      return bytes[at + 1] !== 9 || at + 11 > end || bytes.toString('ascii', at + 2, at + 11) !== '__proto__';
    case type.string32:
    case type.symbol32:
      return at + 14 > end || bytes.toString('ascii', at + 5, at + 14) !== '__proto__';
    default:
      return false;
  }
}

/** Walks plain values that {@link plainValueEnd} has accepted. What it returns shares no memory with the bytes. */
export class PlainValueReader {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** The entries of the map that begins here go into `target`. */
  readMap(target: Record<string, unknown>): void {
    const { count } = this.#beginCompound();
    for (let i = 0; i < count; i += 2) {
      const key = this.read() as string;
      target[key] = this.read();
    }
  }

  readList(): unknown[] {
    const { count } = this.#beginCompound();
    const items: unknown[] = [];
    for (let i = 0; i < count; i++) items.push(this.read());
    return items;
  }

  read(): unknown {
    const bytes = this.#bytes;
    const at = this.at + 1;
    switch (bytes[this.at]) {
      case type.null:
        return this.#moved(at, null);
      case type.true:
        return this.#moved(at, true);
      case type.false:
        return this.#moved(at, false);
      case type.uint0:
      case type.ulong0:
        return this.#moved(at, 0);
      case type.ubyte:
      case type.smallUint:
      case type.smallUlong:
      case type.boolean: // rhea makes a number of a boolean in this encoding
        return this.#moved(at + 1, bytes[at]!);
      case type.byte:
      case type.smallInt:
      case type.smallLong:
        return this.#moved(at + 1, bytes.readInt8(at));
      case type.ushort:
        return this.#moved(at + 2, bytes.readUInt16BE(at));
      case type.short:
        return this.#moved(at + 2, bytes.readInt16BE(at));
      case type.uint:
      case type.char:
        return this.#moved(at + 4, readUint32(bytes, at));
      case type.int:
        return this.#moved(at + 4, bytes.readInt32BE(at));
      case type.float:
        return this.#moved(at + 4, bytes.readFloatBE(at));
      case type.double:
        return this.#moved(at + 8, bytes.readDoubleBE(at));
      case type.ulong:
        return this.#moved(at + 8, readUint32(bytes, at) < highWordMax ? readUint64(bytes, at) : copy(bytes, at, 8));
      case type.long: {
        const isNumber = Math.abs(bytes.readInt32BE(at)) < highWordMax;
        return this.#moved(at + 8, isNumber ? readInt64(bytes, at) : copy(bytes, at, 8));
      }
      case type.timestamp:
        return this.#moved(at + 8, new Date(readInt64(bytes, at)).getTime());
      case type.decimal32:
        return this.#moved(at + 4, copy(bytes, at, 4));
      case type.decimal64:
        return this.#moved(at + 8, copy(bytes, at, 8));
      case type.decimal128:
      case type.uuid:
        return this.#moved(at + 16, copy(bytes, at, 16));
      case type.binary8:
        return this.#moved(at + 1 + bytes[at]!, copy(bytes, at + 1, bytes[at]!));
      case type.binary32: {
        const length = readUint32(bytes, at);
        return this.#moved(at + 4 + length, copy(bytes, at + 4, length));
      }
      case type.string8:
        return this.#moved(at + 1 + bytes[at]!, bytes.toString('utf8', at + 1, at + 1 + bytes[at]!));
      case type.symbol8:
        return this.#moved(at + 1 + bytes[at]!, bytes.toString('ascii', at + 1, at + 1 + bytes[at]!));
      case type.string32: {
        const end = at + 4 + readUint32(bytes, at);
        return this.#moved(end, bytes.toString('utf8', at + 4, end));
      }
      case type.symbol32: {
        const end = at + 4 + readUint32(bytes, at);
        return this.#moved(end, bytes.toString('ascii', at + 4, end));
      }
      case type.list0:
      case type.list8:
      case type.list32:
        return this.readList();
      case type.map8:
      case type.map32: {
        const map: Record<string, unknown> = {};
        this.readMap(map);
        return map;
      }
      default:
        throw new RangeError(`Type 0x${bytes[this.at]!.toString(16)} is not plain.`);
    }
  }

  #beginCompound(): CompoundItems {
    const items = compoundItems(this.#bytes, this.at, this.#bytes.length);
    if (items === undefined) throw new RangeError('A list or map is expected.');
    this.at = items.start;
    return items;
  }

  #moved<T>(to: number, value: T): T {
    this.at = to;
    return value;
  }
}

export function readUint32(bytes: Buffer, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function readUint64(bytes: Buffer, at: number): number {
  return readUint32(bytes, at) * 2 ** 32 + readUint32(bytes, at + 4);
}

/** The high word is within {@link highWordMax}. */
export function readInt64(bytes: Buffer, at: number): number {
  return (readUint32(bytes, at) | 0) * 2 ** 32 + readUint32(bytes, at + 4);
}

function copy(bytes: Buffer, at: number, length: number): Buffer {
  return copyBytes(bytes, at, at + length);
}
