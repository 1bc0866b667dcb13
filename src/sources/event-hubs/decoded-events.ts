import type { EventHubEvent } from './event-hub-event.ts';

/** A run of events that came decoded. What is dropped is let go of at once. */
export class DecodedEvents {
  readonly #events: EventHubEvent[] = [];
  readonly #bytes: number[] = [];
  /** Sequence number of the first that is held. */
  #from: number;

  constructor(from: number) {
    this.#from = from;
  }

  get to(): number {
    return this.#from + this.#events.length;
  }

  append(event: EventHubEvent, bytes: number): void {
    this.#events.push(event);
    this.#bytes.push(bytes);
  }

  /** Of the events from sequence number `from` to `to`. */
  bytesBetween(from: number, to: number): number {
    let sum = 0;
    for (let i = from - this.#from; i < to - this.#from; i++) sum += this.#bytes[i]!;
    return sum;
  }

  collect(from: number, to: number, into: EventHubEvent[]): void {
    for (let i = from - this.#from; i < to - this.#from; i++) into.push(this.#events[i]!);
  }

  dropBelow(next: number): void {
    const count = next - this.#from;
    this.#events.splice(0, count);
    this.#bytes.splice(0, count);
    this.#from = next;
  }
}
