import { putInt64, putUint32 } from './encoded-values.ts';
import { section } from './sent-events.ts';

const uint64Bytes = 8;
const offsetDigitsMax = 16;

/** The annotations of the service, up to the digits of the offset: what changes has a fixed place, so they are copied as one. */
const annotationsHeaderBytes = 12;
const sequenceKey = Buffer.concat([encodeSymbol('x-opt-sequence-number'), Buffer.from([0x81])]);
const timeKey = Buffer.concat([encodeSymbol('x-opt-enqueued-time'), Buffer.from([0x83])]);
const offsetKey = Buffer.concat([encodeSymbol('x-opt-offset'), Buffer.from([0xa1, 0])]);
const serviceAnnotations = Buffer.concat([
  Buffer.from([0x00, 0x53, section.messageAnnotations, 0xd1, 0, 0, 0, 0, 0, 0, 0, 0]),
  sequenceKey,
  Buffer.alloc(uint64Bytes),
  timeKey,
  Buffer.alloc(uint64Bytes),
  offsetKey,
]);
const sizeAt = 4;
const countAt = 8;
const sequenceNumberAt = annotationsHeaderBytes + sequenceKey.length;
const enqueuedTimeAt = sequenceNumberAt + uint64Bytes + timeKey.length;

/** An upper bound of the bytes of the section. */
export const serviceAnnotationsBytesMax: number = serviceAnnotations.length + offsetDigitsMax;

/**
 * Writes the annotations section of an event at `start` and returns its end; `completeAnnotations` follows when more items
 * are added behind.
 */
export function writeServiceAnnotations(
  target: Buffer,
  start: number,
  sequenceNumber: number,
  offset: number,
  enqueuedTimeMs: number,
): number {
  // Not `set`, which goes byte by byte in shared memory.
  serviceAnnotations.copy(target, start);
  return fillServiceAnnotations(target, start, sequenceNumber, offset, enqueuedTimeMs);
}

/** The same where a section was written before. */
export function fillServiceAnnotations(
  target: Buffer,
  start: number,
  sequenceNumber: number,
  offset: number,
  enqueuedTimeMs: number,
): number {
  putInt64(target, sequenceNumber, start + sequenceNumberAt);
  putInt64(target, enqueuedTimeMs, start + enqueuedTimeAt);
  const digitsAt = start + serviceAnnotations.length;
  const digits = writeDecimal(target, offset, digitsAt);
  target[digitsAt - 1] = digits;
  completeAnnotations(target, start, digitsAt + digits, 6);
  return digitsAt + digits;
}

/** The section that begins at `start` ends at `end` and has so many keys and values. */
export function completeAnnotations(target: Buffer, start: number, end: number, items: number): void {
  putUint32(target, end - start - sizeAt - 4, start + sizeAt);
  putUint32(target, items, start + countAt);
}

/**
 * What goes in front of the events of one reader: what it is told of the partition, and the annotations of the service for
 * those events that are stored without. Written anew for each event, in the same memory.
 */
export class AddedSections {
  readonly bytes: Buffer;
  readonly #metricsBytes: number;

  constructor(metrics: Buffer | undefined) {
    this.#metricsBytes = metrics?.length ?? 0;
    this.bytes = Buffer.alloc(this.#metricsBytes + serviceAnnotationsBytesMax);
    metrics?.copy(this.bytes);
    serviceAnnotations.copy(this.bytes, this.#metricsBytes);
  }

  /** How many of the bytes are for an event that is stored whole. */
  get forWhole(): number {
    return this.#metricsBytes;
  }

  /** How many are for one that is stored as it was sent. */
  forPlain(sequenceNumber: number, offset: number, enqueuedTimeMs: number): number {
    return fillServiceAnnotations(this.bytes, this.#metricsBytes, sequenceNumber, offset, enqueuedTimeMs);
  }
}

/** How many digits there are. */
function writeDecimal(target: Buffer, value: number, at: number): number {
  let digits = 1;
  for (let bound = 10; bound <= value; bound *= 10) digits++;
  let rest = value;
  for (let place = at + digits - 1; place >= at; place--) {
    // With 32 bits it is five times as fast.
    const tens = rest < 2 ** 31 ? ((rest | 0) / 10) | 0 : Math.floor(rest / 10);
    target[place] = rest - tens * 10 + 0x30;
    rest = tens;
  }
  return digits;
}

export interface RuntimeMetrics {
  readonly lastSequenceNumber: number;
  readonly lastOffset: string;
  readonly lastEnqueuedTimeMs: number;
  readonly retrievalTimeMs: number;
}

/** The delivery-annotations section that tells a reader how far the partition reaches. */
export function encodeRuntimeMetrics(metrics: RuntimeMetrics): Buffer {
  const target = Buffer.alloc(256);
  target.set([0x00, 0x53, section.deliveryAnnotations, 0xd1]);
  let at = annotationsHeaderBytes;
  const put = (name: string): void => {
    at += encodeSymbol(name).copy(target, at);
  };
  const putLong = (typeCode: number, value: number): void => {
    target[at] = typeCode;
    putInt64(target, value, at + 1);
    at += 1 + uint64Bytes;
  };
  put('last_enqueued_sequence_number');
  putLong(0x81, metrics.lastSequenceNumber);
  put('last_enqueued_offset');
  at = writeString(target, metrics.lastOffset, at);
  put('last_enqueued_time_utc');
  putLong(0x83, metrics.lastEnqueuedTimeMs);
  put('runtime_info_retrieval_time_utc');
  putLong(0x83, metrics.retrievalTimeMs);
  putUint32(target, at - sizeAt - 4, sizeAt);
  putUint32(target, 8, countAt);
  return target.subarray(0, at);
}

export function encodeSymbol(text: string): Buffer {
  return Buffer.concat([Buffer.from([0xa3, text.length]), Buffer.from(text, 'latin1')]);
}

export function writeString(target: Buffer, text: string, at: number): number {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length < 256) {
    target[at] = 0xa1;
    target[at + 1] = bytes.length;
    return at + 2 + bytes.copy(target, at + 2);
  }
  target[at] = 0xb1;
  putUint32(target, bytes.length, at + 1);
  return at + 5 + bytes.copy(target, at + 5);
}
