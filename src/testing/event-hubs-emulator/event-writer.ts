import { putInt64, putUint32 } from './encoded-values.ts';
import { MessageSections, partitionKeyAnnotation, type SentEvents, section } from './sent-events.ts';

/** Message annotations only the service may set. */
const reservedAnnotations = new Set(['x-opt-sequence-number', 'x-opt-offset', 'x-opt-enqueued-time']);

const offsetDigitsMax = 16;
const uint64Bytes = 8;
const keyItem = encodeSymbol(partitionKeyAnnotation);

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

/** An upper bound of the bytes that {@link EventWriter} adds to what the sender wrote. */
export function addedBytesMax(partitionKey: string | undefined): number {
  const key = partitionKey === undefined ? 0 : keyItem.length + 5 + Buffer.byteLength(partitionKey);
  return serviceAnnotations.length + offsetDigitsMax + key;
}

/** Writes events as a consumer will get them: the sender's bytes with the service's annotations spliced in. */
export class EventWriter {
  readonly #sections = new MessageSections();
  #items = 0;

  /**
   * Writes event `i` at `start` and returns the end. The header section, if any, comes first. A partition key of the send
   * is added when the event itself doesn't carry one.
   * @throws MalformedMessage; bytes of `target` may have been changed then
   */
  write(
    send: SentEvents,
    i: number,
    sequenceNumber: number,
    offset: number,
    enqueuedTimeMs: number,
    target: Buffer,
    start: number,
  ): number {
    const { buffer, bounds } = send;
    const sections = this.#sections;
    const sentEnd = bounds[2 * i + 1]!;
    sections.scan(buffer, bounds[2 * i]!, sentEnd, undefined);
    let at = start;
    for (let from = sections.headerStart; from < sections.headerEnd; from++) target[at++] = buffer[from]!;
    const mapAt = at;
    // Not `set`, which goes byte by byte in shared memory.
    serviceAnnotations.copy(target, at);
    putInt64(target, sequenceNumber, at + sequenceNumberAt);
    putInt64(target, enqueuedTimeMs, at + enqueuedTimeAt);
    at += serviceAnnotations.length;
    const digits = writeDecimal(target, offset, at);
    target[at - 1] = digits;
    at += digits;
    this.#items = 6;
    if (sections.hasAnnotations || send.partitionKey !== undefined) at = this.#addAnnotations(send, target, at);
    putUint32(target, at - mapAt - sizeAt - 4, mapAt + sizeAt);
    putUint32(target, this.#items, mapAt + countAt);
    return at + buffer.copy(target, at, sections.restStart, sentEnd);
  }

  /** Bytes of the header section that the event written last begins with. */
  get headerBytes(): number {
    return this.#sections.headerEnd - this.#sections.headerStart;
  }

  #addAnnotations({ buffer, partitionKey }: SentEvents, target: Buffer, start: number): number {
    let at = start;
    let hasKey = false;
    this.#sections.forEachAnnotation(buffer, (key, keyStart, _valueStart, end) => {
      if (key !== undefined && reservedAnnotations.has(key)) return;
      hasKey ||= key === partitionKeyAnnotation;
      at += buffer.copy(target, at, keyStart, end);
      this.#items += 2;
    });
    if (hasKey || partitionKey === undefined) return at;
    at += keyItem.copy(target, at);
    this.#items += 2;
    return writeString(target, partitionKey, at);
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

function encodeSymbol(text: string): Buffer {
  return Buffer.concat([Buffer.from([0xa3, text.length]), Buffer.from(text, 'latin1')]);
}

function writeString(target: Buffer, text: string, at: number): number {
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
