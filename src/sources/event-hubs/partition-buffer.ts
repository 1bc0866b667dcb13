import { invariant } from '../../base/errors.ts';
import type { ArrivedEvents } from './arrived-events.ts';
import { DecodedEvents } from './decoded-events.ts';
import { type EventHubEvent, eventOverheadBytes } from './event-hub-event.ts';
import { PackedEvents } from './packed-events.ts';

/** Sequence numbers `from` to `to`, exclusive, without a hole. */
export interface DenseRun {
  readonly from: number;
  readonly to: number;
}

/** A dense run of events of one kind; `from` is the first that still counts. */
interface Part {
  readonly events: PackedEvents | DecodedEvents;
  from: number;
}

/**
 * The events of one partition that have arrived and are not committed, in order of sequence number.
 *
 * Invariants
 *   B1. Inside a part sequence numbers are dense; what lies between two parts is known to be lost.
 *   B2. Every event of [start, end) is held, except those lost ranges. Below `start` nothing is held; `end` is the next
 *       sequence number to receive.
 *
 * Doesn't limit itself: the credit given to the link does.
 */
export class PartitionBuffer {
  #parts: Part[] = [];
  #start: number;
  #end: number;
  #size = 0;
  #bytes = 0;

  constructor(next: number) {
    this.#start = next;
    this.#end = next;
  }

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  /** Events held. */
  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  append(event: EventHubEvent, bytes: number): void {
    this.#expect(event.sequenceNumber);
    let last = this.#parts.at(-1)?.events;
    if (!(last instanceof DecodedEvents && last.to === this.#end)) {
      last = new DecodedEvents(this.#end);
      this.#parts.push({ events: last, from: this.#end });
    }
    last.append(event, bytes);
    this.#appended(bytes);
  }

  /** Keeps a copy of event `i`; returns its bytes. */
  appendArrived(arrived: ArrivedEvents, i: number): number {
    this.#expect(arrived.sequenceNumbers[i]!);
    const last = this.#parts.at(-1)?.events;
    if (!(last instanceof PackedEvents && last.to === this.#end && last.append(arrived, i))) {
      const events = new PackedEvents(arrived, i);
      events.append(arrived, i);
      this.#parts.push({ events, from: this.#end });
    }
    const bytes = eventOverheadBytes + arrived.ends[i]! - arrived.starts[i]!;
    this.#appended(bytes);
    return bytes;
  }

  /** What lies between `end` and `next` is lost: the next event to receive is `next`. */
  skipTo(next: number): void {
    invariant(next >= this.#end, `A gap cannot end at ${next}, before ${this.#end}.`);
    this.#end = next;
  }

  /** The first dense run at or after `next`, cut to begin at `next` if that lies inside it. */
  runFrom(next: number): DenseRun | undefined {
    let run: { from: number; to: number } | undefined;
    for (const { from, events } of this.#parts) {
      if (run !== undefined && from !== run.to) break;
      if (run !== undefined) run.to = events.to;
      else if (events.to > next) run = { from: Math.max(from, next), to: events.to };
    }
    return run;
  }

  /** Events held at or after `next`. */
  countFrom(next: number): number {
    let count = 0;
    for (const { from, events } of this.#parts) count += Math.max(0, events.to - Math.max(from, next));
    return count;
  }

  /** A fresh array with the events of a range that lies inside one run. */
  slice(from: number, to: number): EventHubEvent[] {
    const found: EventHubEvent[] = [];
    let next = from;
    for (const part of this.#parts) {
      if (next === to || part.from > next) break;
      if (part.events.to <= next) continue;
      const until = Math.min(part.events.to, to);
      part.events.collect(next, until, found);
      next = until;
    }
    invariant(next === to, `Events ${from} to ${to} are not held in one run.`);
    return found;
  }

  dropBelow(next: number): void {
    while (this.#parts.length > 0) {
      const part = this.#parts[0]!;
      const to = Math.min(part.events.to, next);
      if (to <= part.from) break;
      this.#bytes -= part.events.bytesBetween(part.from, to);
      this.#size -= to - part.from;
      part.from = to;
      if (to < part.events.to) {
        // Packed events are let go of together.
        if (part.events instanceof DecodedEvents) part.events.dropBelow(to);
        break;
      }
      release(part);
      this.#parts.shift();
    }
    this.#start = Math.min(Math.max(this.#start, next), this.#end);
  }

  /** Forgets everything; the next event to receive is `next`, earlier or later than before. */
  reset(next: number): void {
    for (const part of this.#parts) release(part);
    this.#parts = [];
    this.#size = 0;
    this.#bytes = 0;
    this.#start = next;
    this.#end = next;
  }

  #expect(sequenceNumber: number): void {
    if (sequenceNumber === this.#end) return;
    invariant(false, `Event ${sequenceNumber} is appended where ${this.#end} belongs.`);
  }

  #appended(bytes: number): void {
    this.#end++;
    this.#size++;
    this.#bytes += bytes;
  }
}

function release({ events }: Part): void {
  if (events instanceof PackedEvents) events.release();
}
