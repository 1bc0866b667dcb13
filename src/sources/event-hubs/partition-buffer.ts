import { invariant } from '../../base/errors.ts';
import type { EventHubEvent } from './event-hub-event.ts';

/** Sequence numbers `from` to `to`, exclusive, without a hole. */
export interface DenseRun {
  readonly from: number;
  readonly to: number;
}

interface Segment {
  readonly events: EventHubEvent[];
  readonly bytes: number[];
  from: number;
}

/**
 * The events of one partition that have arrived and are not committed, in order of sequence number.
 *
 * Invariants
 *   B1. Inside a segment sequence numbers are dense; between segments lies a range that is known to be lost.
 *   B2. Every event of [start, end) is held, except those lost ranges. Below `start` nothing is held; `end` is the next
 *       sequence number to receive.
 *
 * Doesn't limit itself: the credit given to the link does.
 */
export class PartitionBuffer {
  #segments: Segment[] = [];
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
    invariant(
      event.sequenceNumber === this.#end,
      `Event ${event.sequenceNumber} is appended where ${this.#end} belongs.`,
    );
    let segment = this.#segments.at(-1);
    if (segment === undefined || segment.from + segment.events.length !== this.#end) {
      segment = { events: [], bytes: [], from: this.#end };
      this.#segments.push(segment);
    }
    segment.events.push(event);
    segment.bytes.push(bytes);
    this.#end++;
    this.#size++;
    this.#bytes += bytes;
  }

  /** What lies between `end` and `next` is lost: the next event to receive is `next`. */
  skipTo(next: number): void {
    invariant(next >= this.#end, `A gap cannot end at ${next}, before ${this.#end}.`);
    this.#end = next;
  }

  /** The first dense run at or after `next`, cut to begin at `next` if that lies inside it. */
  runFrom(next: number): DenseRun | undefined {
    for (const segment of this.#segments) {
      const to = segment.from + segment.events.length;
      if (to > next) return { from: Math.max(segment.from, next), to };
    }
    return undefined;
  }

  /** Events held at or after `next`. */
  countFrom(next: number): number {
    let count = 0;
    for (const { from, events } of this.#segments) count += Math.max(0, from + events.length - Math.max(from, next));
    return count;
  }

  /** A fresh array with the events of a range that lies inside one run. */
  slice(from: number, to: number): EventHubEvent[] {
    const segment = this.#segments.find((candidate) => candidate.from + candidate.events.length > from);
    invariant(
      segment !== undefined && segment.from <= from && to <= segment.from + segment.events.length,
      `Events ${from} to ${to} are not held in one run.`,
    );
    return segment.events.slice(from - segment.from, to - segment.from);
  }

  dropBelow(next: number): void {
    while (this.#segments.length > 0) {
      const segment = this.#segments[0]!;
      const count = Math.min(segment.events.length, next - segment.from);
      if (count <= 0) break;
      segment.events.splice(0, count);
      for (const bytes of segment.bytes.splice(0, count)) this.#bytes -= bytes;
      segment.from += count;
      this.#size -= count;
      if (segment.events.length > 0) break;
      this.#segments.shift();
    }
    this.#start = Math.min(Math.max(this.#start, next), this.#end);
  }

  /** Forgets everything; the next event to receive is `next`, earlier or later than before. */
  reset(next: number): void {
    this.#segments = [];
    this.#size = 0;
    this.#bytes = 0;
    this.#start = next;
    this.#end = next;
  }
}
