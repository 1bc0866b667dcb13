import { getUint32, MalformedMessage, readInteger, readText, valueEnd } from './encoded-values.ts';

/** Message format of a batch: data sections, each an encoded message. */
export const batchFormat = 0x80013700;

export const section = {
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

export const partitionKeyAnnotation = 'x-opt-partition-key';
const producerSequenceAnnotation = 'com.microsoft:producer-sequence-number';
const producerEpochAnnotation = 'com.microsoft:producer-epoch';
const producerIdAnnotation = 'com.microsoft:producer-id';

interface Producer {
  readonly id: number;
  readonly epoch: number;
  readonly sequence: number;
}

/**
 * The events of one send, found in the bytes they came in and not decoded: whatever types the sender used arrive
 * unchanged. Of the events of a batch only the places are known; {@link MessageSections} looks inside.
 *
 * Source: AMQP 1.0 part 3 (message sections); the batch format of Event Hubs.
 */
export class SentEvents {
  readonly buffer: Buffer;
  readonly count: number;
  /** Start and end of each event in the buffer. */
  readonly bounds: readonly number[];
  /** From the envelope of a batch, or from the single event. */
  readonly partitionKey: string | undefined;
  /** Set by producers with idempotent retries: identity of the producer and the number of the first event. */
  readonly producer: Producer | undefined;

  /** @throws MalformedMessage */
  constructor(buffer: Buffer, format: number) {
    this.buffer = buffer;
    const isBatch = format === batchFormat;
    const bodies: number[] = [];
    const envelope = new MessageSections();
    envelope.scan(buffer, 0, buffer.length, isBatch ? bodies : undefined);
    const { partitionKey, producer } = sendAnnotations(buffer, envelope);
    if (isBatch && bodies.length === 0) throw new MalformedMessage('a batch needs at least one data section');
    this.bounds = isBatch ? bodies : [0, buffer.length];
    this.count = this.bounds.length / 2;
    this.partitionKey = partitionKey;
    this.producer = producer;
    if (isBatch && producer === undefined) {
      const first = new MessageSections();
      first.scan(buffer, bodies[0]!, bodies[1]!, undefined);
      this.producer = sendAnnotations(buffer, first).producer;
    }
  }
}

function sendAnnotations(
  buffer: Buffer,
  sections: MessageSections,
): { partitionKey: string | undefined; producer: Producer | undefined } {
  let partitionKey: string | undefined;
  let id: number | undefined;
  let epoch: number | undefined;
  let sequence: number | undefined;
  sections.forEachAnnotation(buffer, (key, _keyStart, valueStart) => {
    if (key === partitionKeyAnnotation) partitionKey = readText(buffer, valueStart);
    else if (key === producerIdAnnotation) id = readInteger(buffer, valueStart);
    else if (key === producerEpochAnnotation) epoch = readInteger(buffer, valueStart);
    else if (key === producerSequenceAnnotation) sequence = readInteger(buffer, valueStart);
  });
  const complete = id !== undefined && epoch !== undefined && sequence !== undefined;
  return { partitionKey, producer: complete ? { id: id!, epoch: epoch!, sequence: sequence! } : undefined };
}

/**
 * Where the sections of a message are. One object is used for many messages: its fields speak of the last one scanned.
 * An absent section has start === end.
 */
export class MessageSections {
  headerStart = 0;
  headerEnd = 0;
  /** The items of the message-annotations map, without the map's own header. */
  annotationsStart = 0;
  annotationsEnd = 0;
  annotationsCount = 0;
  /** Everything after the annotations, up to the end: properties, application properties, body, footer. */
  restStart = 0;

  /**
   * Reads the message from `start` to `end`. With `bodies`, the contents of its data sections, start and end of each, are
   * added there. @throws MalformedMessage
   */
  scan(buffer: Buffer, start: number, end: number, bodies: number[] | undefined): void {
    let at = start;
    let previous = 0;
    this.headerStart = start;
    this.headerEnd = start;
    this.annotationsStart = start;
    this.annotationsEnd = start;
    this.annotationsCount = 0;
    this.restStart = end;
    while (at < end) {
      const sectionStart = at;
      let code: number;
      // Almost every encoder writes the descriptor as a small ulong.
      if (at + 3 <= end && buffer[at] === 0x00 && buffer[at + 1] === 0x53) {
        code = buffer[at + 2]!;
        at += 3;
      } else {
        at = descriptorEnd(buffer, at, end);
        code = sectionCode(buffer, sectionStart, at);
      }
      if (code < section.header || code > section.footer) {
        throw new MalformedMessage(`unknown section 0x${code.toString(16)}`);
      }
      // Behind the annotations any order is passed on: rhea, for one, writes the footer before the body.
      if (code <= section.messageAnnotations && code <= previous) {
        throw new MalformedMessage(`section 0x${code.toString(16)} is out of order`);
      }
      previous = code;
      const valueStart = at;
      at = valueEnd(buffer, valueStart, end);
      if (code >= section.properties) {
        if (this.restStart === end) this.restStart = sectionStart;
        if (bodies !== undefined && code === section.data) bodies.push(binaryStart(buffer, valueStart), at);
      } else if (code === section.header) {
        this.headerStart = sectionStart;
        this.headerEnd = at;
      } else if (code === section.messageAnnotations) {
        this.#placeAnnotations(buffer, valueStart, at);
      }
    }
  }

  get hasAnnotations(): boolean {
    return this.annotationsCount > 0 || this.annotationsEnd > this.annotationsStart;
  }

  /** @throws MalformedMessage */
  forEachAnnotation(
    buffer: Buffer,
    visit: (key: string | undefined, keyStart: number, valueStart: number, valueEnd: number) => void,
  ): void {
    let at = this.annotationsStart;
    for (let i = 0; i + 1 < this.annotationsCount; i += 2) {
      const valueStart = valueEnd(buffer, at, this.annotationsEnd);
      const next = valueEnd(buffer, valueStart, this.annotationsEnd);
      visit(readText(buffer, at), at, valueStart, next);
      at = next;
    }
    if (at !== this.annotationsEnd) throw new MalformedMessage('annotations of wrong size');
  }

  #placeAnnotations(buffer: Buffer, at: number, end: number): void {
    const typeCode = buffer[at];
    if (typeCode === 0xc1 && at + 3 <= end) {
      this.annotationsStart = at + 3;
      this.annotationsCount = buffer[at + 2]!;
    } else if (typeCode === 0xd1 && at + 9 <= end) {
      this.annotationsStart = at + 9;
      this.annotationsCount = getUint32(buffer, at + 5);
    } else {
      throw new MalformedMessage('annotations are not a map');
    }
    this.annotationsEnd = end;
  }
}

function descriptorEnd(buffer: Buffer, at: number, end: number): number {
  if (at + 3 > end || buffer[at] !== 0x00) throw new MalformedMessage('a message section must be a described value');
  return valueEnd(buffer, at + 1, end);
}

/** Of a descriptor in one of its rarer encodings. */
function sectionCode(buffer: Buffer, at: number, end: number): number {
  const typeCode = buffer[at + 1]!;
  if (typeCode === 0x80) return getUint32(buffer, at + 2) === 0 ? getUint32(buffer, at + 6) : 0;
  if (typeCode === 0xa3) return symbolicSections[buffer.toString('latin1', at + 3, end)] ?? 0;
  throw new MalformedMessage(`section descriptor of type 0x${typeCode.toString(16)}`);
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

function binaryStart(buffer: Buffer, at: number): number {
  if (buffer[at] === 0xa0) return at + 2;
  if (buffer[at] === 0xb0) return at + 5;
  throw new MalformedMessage('a data section must hold binary');
}
