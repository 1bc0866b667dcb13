import type { Clock } from '../../base/clock.ts';
import type { Partition } from './hub.ts';
import type { LogCursor } from './log-cursor.ts';
import type { Reader, ReaderRegistry } from './readers.ts';
import type { AmqpError, RheaLink } from './rhea-internals.ts';
import { AddedSections, encodeRuntimeMetrics, serviceAnnotationsBytesMax } from './service-annotations.ts';
import type { TransferWriter } from './transfer-writer.ts';

/** Events one link sends before others get a turn. */
const turnEventsMax = 2000;
const addedBytesMax = 256 + serviceAnnotationsBytesMax;

export interface ConsumerLinkOptions {
  readonly link: RheaLink;
  readonly writer: TransferWriter;
  readonly partition: Partition;
  readonly readers: ReaderRegistry;
  readonly startSequenceNumber: number;
  readonly name: string;
  readonly epoch: number | undefined;
  /** Send the state of the partition with every event. */
  readonly runtimeMetrics: boolean;
  readonly clock: Clock;
}

/**
 * A receiver of the client: sends the events of one partition as far as credit, session window and socket allow, pre-settled
 * and in order. Woken by flow, append, a drained socket and the end of a freeze; all wake-ups of one turn make one send.
 */
export class ConsumerLink implements Reader {
  readonly link: RheaLink;
  readonly name: string;
  readonly epoch: number | undefined;
  readonly #options: ConsumerLinkOptions;
  readonly #cursor: LogCursor;
  readonly #unsubscribe: () => void;
  #scheduled = false;
  #closed = false;

  /** @throws Refusal when the rules of ownership don't allow the reader */
  constructor(options: ConsumerLinkOptions) {
    this.link = options.link;
    this.name = options.name;
    this.epoch = options.epoch;
    this.#options = options;
    this.#cursor = options.partition.log.cursor(options.startSequenceNumber);
    options.readers.add(this);
    this.#unsubscribe = options.partition.log.onChange(() => this.wake());
  }

  get partition(): Partition {
    return this.#options.partition;
  }

  wake(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  detach(error: AmqpError): void {
    this.dispose();
    this.link.close(error);
  }

  dispose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe();
    this.#options.readers.remove(this);
  }

  #send(): void {
    const { link, writer, partition } = this.#options;
    // Until our attach is on the wire, a transfer would overtake it.
    if (this.#closed || partition.frozen || !link.is_open() || link.state.open_requests > 0) return;
    const cursor = this.#cursor;
    const added = new AddedSections(this.#options.runtimeMetrics ? this.#metrics() : undefined);
    let sent = 0;
    writer.begin(link);
    while (writer.ready && cursor.ready()) {
      const { buffer, messageStart, messageEnd } = cursor;
      if (!writer.canSend(messageEnd - messageStart + addedBytesMax)) break;
      const addedBytes = cursor.isPlain
        ? added.forPlain(cursor.sequenceNumber, cursor.peekOffset(), cursor.peekTimeMs())
        : added.forWhole;
      writer.send(buffer, messageStart, messageEnd, cursor.headerSectionBytes, added.bytes, addedBytes);
      cursor.advance();
      if (++sent === turnEventsMax) {
        this.wake();
        break;
      }
    }
    writer.flush();
    if (link._draining && link.credit > 0 && !cursor.ready()) {
      link.set_drained(true);
      link.connection._register();
    }
  }

  #metrics(): Buffer {
    const { log } = this.#options.partition;
    return encodeRuntimeMetrics({
      lastSequenceNumber: log.next - 1,
      lastOffset: String(log.lastOffset),
      lastEnqueuedTimeMs: log.lastTimeMs,
      retrievalTimeMs: this.#options.clock.now(),
    });
  }
}
