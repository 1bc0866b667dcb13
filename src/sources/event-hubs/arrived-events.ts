import type { BodyFormat } from './event-hub-event.ts';
import type { EventScanner } from './event-scanner.ts';
import type { FrameLayout } from './frame-layout.ts';

/** Events handed on at a time, at most. */
export const arrivedMax = 512;

/** What is kept of an event: its body alone, or the message from its annotations on. */
export const form = { bare: 0, message: 1 } as const;

/**
 * The events of one partition that one read of the socket brought, in order, still in the socket's memory.
 *
 * Columns instead of objects: row i of all of them is event i. Whoever is handed it must copy what it keeps before it
 * returns, because memory and columns are used again.
 */
export class ArrivedEvents {
  readonly partitionId: string;
  readonly body: BodyFormat;
  source: Buffer = Buffer.alloc(0);
  count = 0;
  readonly sequenceNumbers: Float64Array = new Float64Array(arrivedMax);
  /** Last sequence number of the partition when the event was sent, -1 when it didn't say. */
  readonly lastEnqueued: Float64Array = new Float64Array(arrivedMax);
  readonly enqueuedTimesMs: Float64Array = new Float64Array(arrivedMax);
  /** Only of bare events. */
  readonly offsets: Float64Array = new Float64Array(arrivedMax);
  readonly forms: Uint8Array = new Uint8Array(arrivedMax);
  /** What is kept: `source` from start to end. */
  readonly starts: Uint32Array = new Uint32Array(arrivedMax);
  readonly ends: Uint32Array = new Uint32Array(arrivedMax);

  constructor(partitionId: string, body: BodyFormat) {
    this.partitionId = partitionId;
    this.body = body;
  }

  get isFull(): boolean {
    return this.count === arrivedMax;
  }

  begin(source: Buffer): void {
    this.source = source;
    this.count = 0;
  }

  /** Adds what the scanner found in the message that ends at `messageEnd`. */
  add(found: EventScanner, messageEnd: number): void {
    const i = this.count++;
    this.sequenceNumbers[i] = found.sequenceNumber;
    this.lastEnqueued[i] = found.lastEnqueued;
    this.enqueuedTimesMs[i] = found.enqueuedTimeMs;
    this.offsets[i] = found.offset;
    if (found.isBare) {
      this.forms[i] = form.bare;
      this.starts[i] = found.bodyStart;
      this.ends[i] = found.bodyEnd;
    } else {
      this.forms[i] = form.message;
      this.starts[i] = found.usedFrom;
      this.ends[i] = messageEnd;
    }
  }

  /** Adds an event of a layout, of which there is no more than its body. */
  addBare(found: FrameLayout, bodyStart: number, bodyEnd: number): void {
    const i = this.count++;
    this.sequenceNumbers[i] = found.sequenceNumber;
    this.lastEnqueued[i] = found.lastEnqueued;
    this.enqueuedTimesMs[i] = found.enqueuedTimeMs;
    this.offsets[i] = found.offset;
    this.forms[i] = form.bare;
    this.starts[i] = bodyStart;
    this.ends[i] = bodyEnd;
  }
}
