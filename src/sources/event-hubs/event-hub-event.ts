import { copyBytes } from './copy-bytes.ts';

/** An event as the stream hands it on: plain data, shares no memory with the connection it came by. */
export interface EventHubEvent {
  /**
   * As the option `body` says. A data section: parsed JSON or a Buffer (`json`), a Buffer (`bytes`), a string (`text`).
   * A value or sequence section of another AMQP client: its value, in every format.
   */
  readonly body: unknown;
  /** Application properties, as the sender set them. Dates are milliseconds. */
  readonly properties: Readonly<Record<string, unknown>>;
  /** AMQP properties by camelCase name (`messageId`, `contentType`, ...) and the annotations of the service (`iothub-...`). */
  readonly systemProperties: Readonly<Record<string, unknown>>;
  readonly partitionId: string;
  /** Dense within the partition: with `partitionId` the identity of the event. */
  readonly sequenceNumber: number;
  /** Opaque; for diagnostics only. */
  readonly offset: string;
  /** When the service took the event, ms since the Unix epoch. */
  readonly enqueuedTimeMs: number;
  readonly partitionKey: string | undefined;
}

export type BodyFormat = 'json' | 'bytes' | 'text';

/** The parts of a decoded AMQP message that an event is made of. */
export interface AmqpMessage {
  readonly body?: unknown;
  readonly message_annotations?: Readonly<Record<string, unknown>> | undefined;
  readonly delivery_annotations?: Readonly<Record<string, unknown>> | undefined;
  readonly application_properties?: Readonly<Record<string, unknown>> | undefined;
}

/** Of an event that carries none: one object for all of them. */
export const noProperties: Readonly<Record<string, unknown>> = Object.freeze({});

/** What an event is taken to need in memory beside its payload. */
export const eventOverheadBytes = 256;

const amqpProperties = [
  ['message_id', 'messageId'],
  ['user_id', 'userId'],
  ['to', 'to'],
  ['subject', 'subject'],
  ['reply_to', 'replyTo'],
  ['correlation_id', 'correlationId'],
  ['content_type', 'contentType'],
  ['content_encoding', 'contentEncoding'],
  ['absolute_expiry_time', 'absoluteExpiryTime'],
  ['creation_time', 'creationTime'],
  ['group_id', 'groupId'],
  ['group_sequence', 'groupSequence'],
  ['reply_to_group_id', 'replyToGroupId'],
] as const;

/** In the order of the fields of the properties section. */
export const amqpPropertyNames: readonly string[] = amqpProperties.map(([, name]) => name);

const dataSection = 0x75;

// A failed JSON.parse costs as much as the rest of the decoding together, so bytes that can't be JSON never reach it.
const canStartJson = new Uint8Array(256);
for (const start of Buffer.from('{["-0123456789tfn \t\r\n')) canStartJson[start] = 1;

/**
 * Decodes a message, once, in the callback that received it: what it returns pins no socket chunk.
 * @throws RangeError when the message carries no sequence number, so cannot be an event of a hub.
 */
export function decodeEvent(message: AmqpMessage, partitionId: string, format: BodyFormat): EventHubEvent {
  const annotations = message.message_annotations ?? noProperties;
  const sequenceNumber = annotations['x-opt-sequence-number'];
  if (typeof sequenceNumber !== 'number') throw new RangeError('A message without x-opt-sequence-number arrived.');
  const partitionKey = annotations['x-opt-partition-key'];
  return {
    body: decodeBody(message.body, format),
    properties: message.application_properties ? copyMap(message.application_properties) : noProperties,
    systemProperties: decodeSystemProperties(message, annotations),
    partitionId,
    sequenceNumber,
    offset: String(annotations['x-opt-offset'] ?? ''),
    enqueuedTimeMs: Number(annotations['x-opt-enqueued-time'] ?? 0),
    partitionKey: typeof partitionKey === 'string' ? partitionKey : undefined,
  };
}

/** Bytes the event takes in memory, roughly: the payload and 256 for the rest. */
export function estimateBytes(message: AmqpMessage): number {
  const content = contentOf(message.body);
  return eventOverheadBytes + (Buffer.isBuffer(content) ? content.length : 256);
}

function decodeSystemProperties(
  message: AmqpMessage,
  annotations: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined;
  for (const key in annotations) {
    switch (key) {
      case 'x-opt-sequence-number':
      case 'x-opt-offset':
      case 'x-opt-enqueued-time':
      case 'x-opt-partition-key':
        break;
      default:
        (found ??= {})[key] = detach(annotations[key]);
    }
  }
  const fields = message as Readonly<Record<string, unknown>>;
  for (const [amqpName, name] of amqpProperties) {
    const value = fields[amqpName];
    if (value !== undefined && value !== null) (found ??= {})[name] = detach(value);
  }
  return found ?? noProperties;
}

function decodeBody(body: unknown, format: BodyFormat): unknown {
  const content = contentOf(body);
  if (!Buffer.isBuffer(content) || !isData(body)) return detach(content);
  return decodeData(content, 0, content.length, format, undefined, 0);
}

/**
 * The body in `bytes` from `start` to `end`. `text`, if given, is the content of `bytes` from `textStart` on, which is ASCII
 * then.
 */
export function decodeData(
  bytes: Buffer,
  start: number,
  end: number,
  format: BodyFormat,
  text: string | undefined,
  textStart: number,
): unknown {
  switch (format) {
    case 'json':
      if (end > start && canStartJson[bytes[start]!] === 1) {
        try {
          return JSON.parse(text?.substring(start - textStart, end - textStart) ?? bytes.toString('utf8', start, end));
        } catch {
          // Not JSON: the bytes are the body.
        }
      }
      return copyBytes(bytes, start, end);
    case 'bytes':
      return copyBytes(bytes, start, end);
    case 'text':
      return bytes.toString('utf8', start, end);
  }
}

/** A data section of several pieces is one payload. */
function contentOf(body: unknown): unknown {
  if (!isSection(body)) return body;
  const { content } = body;
  return body.typecode === dataSection && Array.isArray(content) ? Buffer.concat(content as Buffer[]) : content;
}

function isData(body: unknown): boolean {
  return !isSection(body) || body.typecode === dataSection;
}

function isSection(body: unknown): body is { readonly typecode: number; readonly content: unknown } {
  return typeof body === 'object' && body !== null && 'typecode' in body && 'content' in body;
}

function copyMap(map: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const copy: Record<string, unknown> = {};
  for (const key in map) copy[key] = detach(map[key]);
  return copy;
}

/** The value without Dates and without views of the connection's memory. */
function detach(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return value.getTime();
  if (Buffer.isBuffer(value)) return copyBytes(value, 0, value.length);
  if (Array.isArray(value)) return value.map(detach);
  return copyMap(value as Record<string, unknown>);
}
