import { isAscii } from 'node:buffer';
import { PlainValueReader } from './amqp-plain-value.ts';
import { type ArrivedEvents, form } from './arrived-events.ts';
import { RunCopies } from './copy-bytes.ts';
import {
  amqpPropertyNames,
  type BodyFormat,
  decodeData,
  type EventHubEvent,
  eventOverheadBytes,
  noProperties,
} from './event-hub-event.ts';
import { EventScanner } from './event-scanner.ts';
import {
  giveBackPackedMemory,
  type PackedMemory,
  packedBytesMax,
  packedEventsMax,
  takePackedMemory,
} from './packed-memory.ts';

const eventsMin = 16;

const scanner = new EventScanner();

/**
 * A run of events as bytes and columns: what an event takes while it waits. They become objects when they are asked for,
 * anew every time, and share no memory with it then. Who owns the run releases it when nobody asks any more.
 *
 * Invariants
 *   E1. Sequence numbers are dense, from `from` on.
 *   E2. `memory.bytes` holds what is kept of the events one after the other, event i ends at `memory.ends[i]`.
 *   E3. Every message in it was accepted by an EventScanner, so decoding one doesn't fail.
 */
export class PackedEvents {
  readonly from: number;
  readonly #partitionId: string;
  readonly #format: BodyFormat;
  readonly #memory: PackedMemory;
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
    const bytes = Math.max(firstBytes, Math.min(packedBytesMax, Math.max(3 * arrivedBytes, eventsMin * firstBytes)));
    const events = Math.min(packedEventsMax, Math.max(4 * (count - i), eventsMin));
    this.#memory = takePackedMemory(events, bytes);
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
    const { bytes, ends, times, offsets, forms } = this.#memory;
    if (n === ends.length || used > bytes.length) return false;
    arrived.source.copy(bytes, this.#used, start, end);
    this.#used = used;
    ends[n] = used;
    times[n] = arrived.enqueuedTimesMs[i]!;
    offsets[n] = arrived.offsets[i]!;
    forms[n] = arrived.forms[i]!;
    this.#count = n + 1;
    return true;
  }

  /** The last call: its memory is for others then. */
  release(): void {
    giveBackPackedMemory(this.#memory);
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
    const { bytes, ends, times, offsets, forms } = this.#memory;
    const format = this.#format;
    // One conversion to text for all of them; JSON.parse of a part of it makes no copy.
    const isText = format === 'json' && isAscii(bytes.subarray(start, end));
    const text = isText ? bytes.toString('latin1', start, end) : undefined;
    const copies = format === 'bytes' ? new RunCopies(bytes, ends, last) : undefined;
    for (let i = first, at = start; i < last; i++) {
      const next = ends[i]!;
      if (forms[i] !== form.bare) {
        into.push(this.#decodeMessage(i, at, next));
      } else {
        into.push({
          body: copies?.take(i, at) ?? decodeData(bytes, at, next, format, text, start),
          properties: noProperties,
          systemProperties: noProperties,
          partitionId: this.#partitionId,
          sequenceNumber: this.from + i,
          offset: String(offsets[i]),
          enqueuedTimeMs: times[i]!,
          partitionKey: undefined,
        });
      }
      at = next;
    }
  }

  #startOf(i: number): number {
    return i === 0 ? 0 : this.#memory.ends[i - 1]!;
  }

  #decodeMessage(i: number, start: number, end: number): EventHubEvent {
    const { bytes, times } = this.#memory;
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
      enqueuedTimeMs: times[i]!,
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
