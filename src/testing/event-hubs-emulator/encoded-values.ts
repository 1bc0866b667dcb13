/**
 * Encoded AMQP values, as far as the emulator looks into them: where one ends, texts, whole numbers.
 *
 * Source: AMQP 1.0 part 1.6, type encodings.
 */

/** The bytes are not an AMQP message. */
export class MalformedMessage extends Error {}

const fixedWidths = [0, 1, 2, 4, 8, 16];
const describedDepthMax = 8;

/** The position after the value that starts at `at`. @throws MalformedMessage */
export function valueEnd(buffer: Buffer, at: number, end: number, depth = 0): number {
  if (at >= end) throw new MalformedMessage('value cut off');
  const typeCode = buffer[at]!;
  if (typeCode === 0x00) {
    if (depth >= describedDepthMax) throw new MalformedMessage('descriptors nested too deep');
    return valueEnd(buffer, valueEnd(buffer, at + 1, end, depth + 1), end, depth + 1);
  }
  const category = typeCode >> 4;
  let next: number;
  if (category >= 0xa && category % 2 === 0) {
    next = at + 2 <= end ? at + 2 + buffer[at + 1]! : end + 1;
  } else if (category >= 0xb) {
    next = at + 5 <= end ? at + 5 + getUint32(buffer, at + 1) : end + 1;
  } else if (category >= 0x4 && category <= 0x9) {
    next = at + 1 + fixedWidths[category - 4]!;
  } else {
    throw new MalformedMessage(`unknown type 0x${typeCode.toString(16)}`);
  }
  if (next > end) throw new MalformedMessage('value cut off');
  return next;
}

/** Undefined when the value is no text. */
export function readText(buffer: Buffer, at: number): string | undefined {
  const typeCode = buffer[at];
  if (typeCode === 0xa1 || typeCode === 0xa3) return buffer.toString('utf8', at + 2, at + 2 + buffer[at + 1]!);
  if (typeCode === 0xb1 || typeCode === 0xb3) {
    return buffer.toString('utf8', at + 5, at + 5 + getUint32(buffer, at + 1));
  }
  return undefined;
}

/** Undefined when the value is no whole number. */
export function readInteger(buffer: Buffer, at: number): number | undefined {
  switch (buffer[at]) {
    case 0x43:
    case 0x44:
      return 0;
    case 0x51:
    case 0x54:
    case 0x55:
      return buffer.readInt8(at + 1);
    case 0x50:
    case 0x52:
    case 0x53:
      return buffer[at + 1];
    case 0x60:
      return buffer.readUInt16BE(at + 1);
    case 0x61:
      return buffer.readInt16BE(at + 1);
    case 0x70:
      return buffer.readUInt32BE(at + 1);
    case 0x71:
      return buffer.readInt32BE(at + 1);
    case 0x80:
    case 0x81:
      return Number(buffer.readBigInt64BE(at + 1));
    default:
      return undefined;
  }
}

/** Without the checks of `readUInt32BE`, which cost more than the reading: several of these run per event. */
export function getUint32(buffer: Buffer, at: number): number {
  return ((buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!) >>> 0;
}

export function putUint32(target: Buffer, value: number, at: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

/** Whole numbers up to 2^53, negative ones in two's complement. */
export function putInt64(target: Buffer, value: number, at: number): void {
  putUint32(target, Math.floor(value / 2 ** 32), at);
  putUint32(target, value >>> 0, at + 4);
}
