import { crc32 } from 'node:zlib';
import { getUint32, putInt64, putUint32 } from './encoded-values.ts';

/**
 * One stored event, the same in memory and in a segment file. All numbers big endian.
 *
 * | bytes | field                                                            |
 * | 0-3   | length of the record, with this field                           |
 * | 4-7   | crc32 of everything after it                                     |
 * | 8-15  | sequence number                                                  |
 * | 16-23 | enqueued time, milliseconds since the epoch                      |
 * | 24-27 | length of the header section at the start of the message; the      |
 * |       | highest bit says that the message has no annotations section        |
 * | 28-   | the AMQP message, without delivery annotations                     |
 *
 * Without a section of annotations, that of the service goes behind the header when the event is delivered; it says what the
 * record and its place say.
 */
export const recordHeaderBytes = 28;
export const recordBytesMax = 64 * 2 ** 20;
const plainBit = 0x80000000;

/** Completes the record whose message already stands at `start + recordHeaderBytes`. */
export function sealRecord(
  target: Buffer,
  start: number,
  end: number,
  sequenceNumber: number,
  enqueuedTimeMs: number,
  headerSectionBytes: number,
  isPlain: boolean,
  withChecksum: boolean,
): void {
  putUint32(target, end - start, start);
  putInt64(target, sequenceNumber, start + 8);
  putInt64(target, enqueuedTimeMs, start + 16);
  putUint32(target, isPlain ? headerSectionBytes | plainBit : headerSectionBytes, start + 24);
  putUint32(target, withChecksum ? crc32(target.subarray(start + 8, end)) : 0, start + 4);
}

export function recordEnd(buffer: Buffer, start: number): number {
  return start + getUint32(buffer, start);
}

export function recordSequenceNumber(buffer: Buffer, start: number): number {
  return readUInt64(buffer, start + 8);
}

export function recordEnqueuedTime(buffer: Buffer, start: number): number {
  return readUInt64(buffer, start + 16);
}

export function recordHeaderSectionBytes(buffer: Buffer, start: number): number {
  return getUint32(buffer, start + 24) & ~plainBit;
}

/** The message has no annotations yet. */
export function recordIsPlain(buffer: Buffer, start: number): boolean {
  return buffer[start + 24]! >= 0x80;
}

export type RecordCheck = 'valid' | 'cut' | 'damaged';

/** `cut`: the bytes end before the record does. `damaged`: the bytes are there but are not a record. */
export function checkRecord(buffer: Buffer, start: number, end: number): RecordCheck {
  if (end - start < recordHeaderBytes) return 'cut';
  const length = buffer.readUInt32BE(start);
  if (length < recordHeaderBytes || length > recordBytesMax) return 'damaged';
  if (start + length > end) return 'cut';
  return crc32(buffer.subarray(start + 8, start + length)) === buffer.readUInt32BE(start + 4) ? 'valid' : 'damaged';
}

export function readUInt64(buffer: Buffer, at: number): number {
  return getUint32(buffer, at) * 2 ** 32 + getUint32(buffer, at + 4);
}
