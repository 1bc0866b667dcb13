/**
 * Reads just enough of an encoded AMQP message to find its sections, and writes an event as a consumer will get it:
 * the sender's bytes with the service's annotations spliced in. Bodies and properties are never decoded, so whatever
 * types the sender used arrive unchanged.
 *
 * Source: AMQP 1.0 part 1 (type encodings) and part 3 (message sections); the batch format 0x80013700 of Event Hubs.
 */

export const batchFormat = 0x80013700;

const section = {
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  sequence: 0x76,
  value: 0x77,
  footer: 0x78,
} as const;

/** Message annotations only the service may set. */
const reservedAnnotations = new Set(['x-opt-sequence-number', 'x-opt-offset', 'x-opt-enqueued-time']);
const partitionKeyAnnotation = 'x-opt-partition-key';
const producerSequenceAnnotation = 'com.microsoft:producer-sequence-number';
const producerEpochAnnotation = 'com.microsoft:producer-epoch';
const producerIdAnnotation = 'com.microsoft:producer-id';

/** The bytes are not an AMQP message. */
export class MalformedMessage extends Error {}

/** One event inside a received buffer. All positions are absolute; an absent section has start === end. */
export interface EventBytes {
  readonly headerStart: number;
  readonly headerEnd: number;
  /** The items of the message-annotations map, without the map's own header. */
  readonly annotationsStart: number;
  readonly annotationsEnd: number;
  readonly annotationsCount: number;
  /** Everything after the annotations: properties, application properties, body, footer. */
  readonly restStart: number;
  readonly restEnd: number;
}

export interface SendBytes {
  readonly buffer: Buffer;
  readonly events: readonly EventBytes[];
  /** From the envelope of a batch, or from the single event. */
  readonly partitionKey: string | undefined;
  /** Set by producers with idempotent retries: identity of the producer and the number of the first event. */
  readonly producer: { readonly id: number; readonly epoch: number; readonly sequence: number } | undefined;
}

export function parseSend(buffer: Buffer, format: number): SendBytes {
  if (format !== batchFormat) {
    const event = scanEvent(buffer, 0, buffer.length);
    return { buffer, events: [event], ...sendAnnotations(buffer, event) };
  }
  const bodies: [number, number][] = [];
  const envelope = scanEvent(buffer, 0, buffer.length, bodies);
  if (bodies.length === 0) throw new MalformedMessage('a batch needs at least one data section');
  const events = bodies.map(([start, end]) => scanEvent(buffer, start, end));
  const annotations = sendAnnotations(buffer, envelope);
  if (annotations.producer === undefined && events[0] !== undefined) {
    annotations.producer = sendAnnotations(buffer, events[0]).producer;
  }
  return { buffer, events, ...annotations };
}

function sendAnnotations(
  buffer: Buffer,
  event: EventBytes,
): { partitionKey: string | undefined; producer: SendBytes['producer'] } {
  let partitionKey: string | undefined;
  let id: number | undefined;
  let epoch: number | undefined;
  let sequence: number | undefined;
  forEachAnnotation(buffer, event, (key, _keyStart, valueStart) => {
    if (key === partitionKeyAnnotation) partitionKey = readText(buffer, valueStart);
    else if (key === producerIdAnnotation) id = readInteger(buffer, valueStart);
    else if (key === producerEpochAnnotation) epoch = readInteger(buffer, valueStart);
    else if (key === producerSequenceAnnotation) sequence = readInteger(buffer, valueStart);
  });
  const complete = id !== undefined && epoch !== undefined && sequence !== undefined;
  return { partitionKey, producer: complete ? { id: id!, epoch: epoch!, sequence: sequence! } : undefined };
}

/** With `bodies`, collects the contents of the data sections instead of leaving them in the rest. */
function scanEvent(buffer: Buffer, start: number, end: number, bodies?: [number, number][]): EventBytes {
  let at = start;
  let previous = 0;
  let headerStart = start;
  let headerEnd = start;
  let annotationsStart = start;
  let annotationsEnd = start;
  let annotationsCount = 0;
  let restStart = end;
  while (at < end) {
    const sectionStart = at;
    const { code, valueStart } = readSectionCode(buffer, at, end);
    // Behind the annotations any order is passed on: rhea, for one, writes the footer before the body.
    if (code <= section.messageAnnotations && code <= previous) {
      throw new MalformedMessage(`section 0x${code.toString(16)} is out of order`);
    }
    previous = code;
    at = valueEnd(buffer, valueStart, end);
    if (code === section.header) {
      headerStart = sectionStart;
      headerEnd = at;
    } else if (code === section.messageAnnotations) {
      const map = mapItems(buffer, valueStart, at);
      annotationsStart = map.start;
      annotationsEnd = at;
      annotationsCount = map.count;
    } else if (code !== section.deliveryAnnotations) {
      if (restStart === end) restStart = sectionStart;
      if (bodies !== undefined && code === section.data) bodies.push(binaryContent(buffer, valueStart, at));
    }
  }
  const event = { headerStart, headerEnd, annotationsStart, annotationsEnd, annotationsCount, restStart, restEnd: end };
  // Walked once here, so that writing an event later cannot fail half way.
  if (forEachAnnotation(buffer, event, () => {}) !== annotationsEnd)
    throw new MalformedMessage('annotations of wrong size');
  return event;
}

function readSectionCode(buffer: Buffer, at: number, end: number): { code: number; valueStart: number } {
  // Almost every encoder writes the descriptor as a small ulong.
  if (at + 3 > end || buffer[at] !== 0x00) throw new MalformedMessage('a message section must be a described value');
  const typeCode = buffer[at + 1]!;
  let code: number;
  let valueStart: number;
  if (typeCode === 0x53) {
    code = buffer[at + 2]!;
    valueStart = at + 3;
  } else if (typeCode === 0x80) {
    valueStart = at + 10;
    if (valueStart > end) throw new MalformedMessage('cut descriptor');
    code = buffer.readUInt32BE(at + 2) === 0 ? buffer.readUInt32BE(at + 6) : 0;
  } else if (typeCode === 0xa3) {
    valueStart = valueEnd(buffer, at + 1, end);
    code = symbolicSections[buffer.toString('latin1', at + 3, valueStart)] ?? 0;
  } else {
    throw new MalformedMessage(`section descriptor of type 0x${typeCode.toString(16)}`);
  }
  if (code < section.header || code > section.footer)
    throw new MalformedMessage(`unknown section 0x${code.toString(16)}`);
  return { code, valueStart };
}

const symbolicSections: Readonly<Record<string, number>> = {
  'amqp:header:list': section.header,
  'amqp:delivery-annotations:map': section.deliveryAnnotations,
  'amqp:message-annotations:map': section.messageAnnotations,
  'amqp:properties:list': section.properties,
  'amqp:application-properties:map': section.applicationProperties,
  'amqp:data:binary': section.data,
  'amqp:amqp-sequence:list': section.sequence,
  'amqp:value:*': section.value,
  'amqp:footer:map': section.footer,
};

const fixedWidths = [0, 1, 2, 4, 8, 16];
const describedDepthMax = 8;

/** The position after the value that starts at `at`. */
function valueEnd(buffer: Buffer, at: number, end: number, depth = 0): number {
  if (at >= end) throw new MalformedMessage('value cut off');
  const typeCode = buffer[at]!;
  if (typeCode === 0x00) {
    if (depth >= describedDepthMax) throw new MalformedMessage('descriptors nested too deep');
    return valueEnd(buffer, valueEnd(buffer, at + 1, end, depth + 1), end, depth + 1);
  }
  const category = typeCode >> 4;
  let next: number;
  if (category >= 0x4 && category <= 0x9) {
    next = at + 1 + fixedWidths[category - 4]!;
  } else if (category >= 0xa && category % 2 === 0) {
    next = at + 2 <= end ? at + 2 + buffer[at + 1]! : end + 1;
  } else if (category >= 0xb) {
    next = at + 5 <= end ? at + 5 + buffer.readUInt32BE(at + 1) : end + 1;
  } else {
    throw new MalformedMessage(`unknown type 0x${typeCode.toString(16)}`);
  }
  if (next > end) throw new MalformedMessage('value cut off');
  return next;
}

function mapItems(buffer: Buffer, at: number, end: number): { start: number; count: number } {
  const typeCode = buffer[at];
  if (typeCode === 0xc1 && at + 3 <= end) return { start: at + 3, count: buffer[at + 2]! };
  if (typeCode === 0xd1 && at + 9 <= end) return { start: at + 9, count: buffer.readUInt32BE(at + 5) };
  throw new MalformedMessage('annotations are not a map');
}

function binaryContent(buffer: Buffer, at: number, end: number): [number, number] {
  if (buffer[at] === 0xa0) return [at + 2, end];
  if (buffer[at] === 0xb0) return [at + 5, end];
  throw new MalformedMessage('a data section must hold binary');
}

function forEachAnnotation(
  buffer: Buffer,
  event: EventBytes,
  visit: (key: string | undefined, keyStart: number, valueStart: number, valueEnd: number) => void,
): number {
  let at = event.annotationsStart;
  for (let i = 0; i + 1 < event.annotationsCount; i += 2) {
    const valueStart = valueEnd(buffer, at, event.annotationsEnd);
    const next = valueEnd(buffer, valueStart, event.annotationsEnd);
    visit(readText(buffer, at), at, valueStart, next);
    at = next;
  }
  return at;
}

function readText(buffer: Buffer, at: number): string | undefined {
  const typeCode = buffer[at];
  if (typeCode === 0xa1 || typeCode === 0xa3) return buffer.toString('utf8', at + 2, at + 2 + buffer[at + 1]!);
  if (typeCode === 0xb1 || typeCode === 0xb3) {
    return buffer.toString('utf8', at + 5, at + 5 + buffer.readUInt32BE(at + 1));
  }
  return undefined;
}

function readInteger(buffer: Buffer, at: number): number | undefined {
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

const offsetDigitsMax = 20;
const mapHeader = Buffer.from([0x00, 0x53, section.messageAnnotations, 0xd1]);
const sequenceItem = Buffer.concat([encodeSymbol('x-opt-sequence-number'), Buffer.from([0x81])]);
const offsetItem = Buffer.concat([encodeSymbol('x-opt-offset'), Buffer.from([0xa1])]);
const timeItem = Buffer.concat([encodeSymbol('x-opt-enqueued-time'), Buffer.from([0x83])]);
const keyItem = encodeSymbol(partitionKeyAnnotation);
const annotationsBytesMax =
  mapHeader.length + 8 + sequenceItem.length + timeItem.length + 16 + offsetItem.length + 1 + offsetDigitsMax;

/** An upper bound of what {@link writeEvent} writes. */
export function eventBytesMax(event: EventBytes, partitionKey: string | undefined): number {
  const kept = event.headerEnd - event.headerStart + event.annotationsEnd - event.annotationsStart;
  const key = partitionKey === undefined ? 0 : keyItem.length + 5 + Buffer.byteLength(partitionKey);
  return kept + key + annotationsBytesMax + event.restEnd - event.restStart;
}

export interface EventStamp {
  readonly sequenceNumber: number;
  readonly offset: number;
  readonly enqueuedTimeMs: number;
  /** Added when the event itself doesn't carry a key. */
  readonly partitionKey: string | undefined;
}

/** Writes the event with its annotations at `at`; returns the end. The header section, if any, comes first. */
export function writeEvent(
  source: Buffer,
  event: EventBytes,
  stamp: EventStamp,
  target: Buffer,
  start: number,
): number {
  let at = start + source.copy(target, start, event.headerStart, event.headerEnd);
  at += mapHeader.copy(target, at);
  const sizeAt = at;
  at += 8;
  let count = 6;
  let hasKey = false;
  forEachAnnotation(source, event, (key, keyStart, _valueStart, end) => {
    if (key !== undefined && reservedAnnotations.has(key)) return;
    hasKey ||= key === partitionKeyAnnotation;
    at += source.copy(target, at, keyStart, end);
    count += 2;
  });
  at += sequenceItem.copy(target, at);
  at = writeLong(target, stamp.sequenceNumber, at);
  at += offsetItem.copy(target, at);
  const digits = String(stamp.offset);
  target[at++] = digits.length;
  at += target.write(digits, at, 'latin1');
  at += timeItem.copy(target, at);
  at = writeLong(target, stamp.enqueuedTimeMs, at);
  if (!hasKey && stamp.partitionKey !== undefined) {
    at += keyItem.copy(target, at);
    at = writeString(target, stamp.partitionKey, at);
    count += 2;
  }
  target.writeUInt32BE(at - sizeAt - 4, sizeAt);
  target.writeUInt32BE(count, sizeAt + 4);
  return at + source.copy(target, at, event.restStart, event.restEnd);
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
  let at = 12;
  const put = (name: string): void => {
    at += encodeSymbol(name).copy(target, at);
  };
  put('last_enqueued_sequence_number');
  target[at++] = 0x81;
  at = writeLong(target, metrics.lastSequenceNumber, at);
  put('last_enqueued_offset');
  at = writeString(target, metrics.lastOffset, at);
  put('last_enqueued_time_utc');
  target[at++] = 0x83;
  at = writeLong(target, metrics.lastEnqueuedTimeMs, at);
  put('runtime_info_retrieval_time_utc');
  target[at++] = 0x83;
  at = writeLong(target, metrics.retrievalTimeMs, at);
  target.writeUInt32BE(at - 8, 4);
  target.writeUInt32BE(8, 8);
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
  target.writeUInt32BE(bytes.length, at + 1);
  return at + 5 + bytes.copy(target, at + 5);
}

/** Integers up to 2^53, negative ones in two's complement. */
function writeLong(target: Buffer, value: number, at: number): number {
  target.writeInt32BE(Math.floor(value / 2 ** 32), at);
  target.writeUInt32BE(value >>> 0, at + 4);
  return at + 8;
}
