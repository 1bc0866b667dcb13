import { isAscii } from 'node:buffer';
import { PlainValueReader } from './amqp-plain-value.ts';
import { type ArrivedEvents, form } from './arrived-events.ts';
import {
  amqpPropertyNames,
  type BodyFormat,
  decodeData,
  type EventHubEvent,
  eventOverheadBytes,
  noProperties,
} from './event-hub-event.ts';
import { EventScanner } from './event-scanner.ts';

const eventsMax = 512;
const eventsMin = 16;
const bytesMax = 128 * 1024;

const scanner = new EventScanner();

/**
 * A run of events as bytes and columns: what an event takes while it waits. They become objects when they are asked for,
 * anew every time, and share no memory with it then.
 *
 * Invariants
 *   E1. Sequence numbers are dense, from `from` on.
 *   E2. `bytes` holds what is kept of the events one after the other, event i ends at `ends[i]`.
 *   E3. Every message in it was accepted by an EventScanner, so decoding one doesn't fail.
 */
export class PackedEvents {
  readonly from: number;
  readonly #partitionId: string;
  readonly #format: BodyFormat;
  readonly #bytes: Buffer;
  readonly #ends: Uint32Array;
  readonly #times: Float64Array;
  readonly #offsets: Float64Array;
  readonly #forms: Uint8Array;
  #count = 0;
  #used = 0;

  /** For event `i` of `arrived` and those after it, with room for a few times as many: on a quiet link it stays small. */
  constructor(arrived: ArrivedEvents, i: number) {
    const { starts, ends, count } = arrived;
    this.from = arrived.sequenceNumbers[i]!;
    this.#partitionId = arrived.partitionId;
    this.#format = arrived.body;
    const firstBytes = ends[i]! - starts[i]!;
    const arrivedBytes = ends[count - 1]! - starts[i]!;
    const bytes = Math.max(firstBytes, Math.min(bytesMax, Math.max(3 * arrivedBytes, eventsMin * firstBytes)));
    const events = Math.min(eventsMax, Math.max(4 * (count - i), eventsMin));
    this.#bytes = Buffer.allocUnsafeSlow(bytes);
    this.#ends = new Uint32Array(events);
    this.#times = new Float64Array(events);
    this.#offsets = new Float64Array(events);
    this.#forms = new Uint8Array(events);
  }

  get to(): number {
    return this.from + this.#count;
  }

  /** False when there is no room for it. */
  append(arrived: ArrivedEvents, i: number): boolean {
    const start = arrived.starts[i]!;
    const end = arrived.ends[i]!;
    const used = this.#used + end - start;
    const n = this.#count;
    if (n === this.#ends.length || used > this.#bytes.length) return false;
    arrived.source.copy(this.#bytes, this.#used, start, end);
    this.#used = used;
    this.#ends[n] = used;
    this.#times[n] = arrived.enqueuedTimesMs[i]!;
    this.#offsets[n] = arrived.offsets[i]!;
    this.#forms[n] = arrived.forms[i]!;
    this.#count = n + 1;
    return true;
  }

  /** Of the events from sequence number `from` to `to`. */
  bytesBetween(from: number, to: number): number {
    const a = from - this.from;
    const b = to - this.from;
    return (b - a) * eventOverheadBytes + this.#startOf(b) - this.#startOf(a);
  }

  /** Adds the events from sequence number `from` to `to` as objects. */
  collect(from: number, to: number, into: EventHubEvent[]): void {
    const first = from - this.from;
    const last = to - this.from;
    const start = this.#startOf(first);
    const end = this.#startOf(last);
    // One conversion to text for all of them; JSON.parse of a part of it makes no copy.
    const isText = this.#format === 'json' && isAscii(this.#bytes.subarray(start, end));
    const text = isText ? this.#bytes.toString('latin1', start, end) : undefined;
    for (let i = first, at = start; i < last; i++) {
      const next = this.#ends[i]!;
      if (this.#forms[i] !== form.bare) {
        into.push(this.#decodeMessage(i, at, next));
      } else {
        into.push({
          body: decodeData(this.#bytes, at, next, this.#format, text, start),
          properties: noProperties,
          systemProperties: noProperties,
          partitionId: this.#partitionId,
          sequenceNumber: this.from + i,
          offset: String(this.#offsets[i]),
          enqueuedTimeMs: this.#times[i]!,
          partitionKey: undefined,
        });
      }
      at = next;
    }
  }

  #startOf(i: number): number {
    return i === 0 ? 0 : this.#ends[i - 1]!;
  }

  #decodeMessage(i: number, start: number, end: number): EventHubEvent {
    const bytes = this.#bytes;
    scanner.scan(bytes, start, end); // E3
    const { offsetAt, partitionKeyAt, applicationPropertiesAt } = scanner;
    let properties: Record<string, unknown> | undefined;
    if (applicationPropertiesAt >= 0) {
      properties = {};
      new PlainValueReader(bytes, applicationPropertiesAt).readMap(properties);
    }
    return {
      body: decodeData(bytes, scanner.bodyStart, scanner.bodyEnd, this.#format, undefined, 0),
      properties: properties ?? noProperties,
      systemProperties: readSystemProperties(bytes),
      partitionId: this.#partitionId,
      sequenceNumber: this.from + i,
      offset: offsetAt < 0 ? '' : (new PlainValueReader(bytes, offsetAt).read() as string),
      enqueuedTimeMs: this.#times[i]!,
      partitionKey: partitionKeyAt < 0 ? undefined : (new PlainValueReader(bytes, partitionKeyAt).read() as string),
    };
  }
}

/** Of the message the scanner has just read. */
function readSystemProperties(bytes: Buffer): Readonly<Record<string, unknown>> {
  const { hasOtherAnnotations, annotationsAt, propertiesAt } = scanner;
  let found: Record<string, unknown> | undefined;
  if (hasOtherAnnotations) {
    found = {};
    new PlainValueReader(bytes, annotationsAt).readMap(found);
    for (const name of ['x-opt-sequence-number', 'x-opt-offset', 'x-opt-enqueued-time', 'x-opt-partition-key']) {
      delete found[name];
    }
  }
  if (propertiesAt >= 0) {
    const values = new PlainValueReader(bytes, propertiesAt).readList();
    for (let i = 0; i < Math.min(values.length, amqpPropertyNames.length); i++) {
      if (values[i] !== null) (found ??= {})[amqpPropertyNames[i]!] = values[i];
    }
  }
  return found ?? noProperties;
}
