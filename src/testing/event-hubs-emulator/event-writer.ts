import { MessageSections, partitionKeyAnnotation, type SentEvents } from './sent-events.ts';
import {
  completeAnnotations,
  encodeSymbol,
  serviceAnnotationsBytesMax,
  writeServiceAnnotations,
  writeString,
} from './service-annotations.ts';

/** Message annotations only the service may set. */
const reservedAnnotations = new Set(['x-opt-sequence-number', 'x-opt-offset', 'x-opt-enqueued-time']);

const keyItem = encodeSymbol(partitionKeyAnnotation);

/** An upper bound of the bytes that {@link EventWriter} adds to what the sender wrote. */
export function addedBytesMax(partitionKey: string | undefined): number {
  const key = partitionKey === undefined ? 0 : keyItem.length + 5 + Buffer.byteLength(partitionKey);
  return serviceAnnotationsBytesMax + key;
}

/**
 * Writes events as they are stored. Most have no annotations: they are stored as they were sent (`isPlain`), and the service's
 * are put in front when they are delivered, which writes a third less. Others get them spliced into theirs here.
 */
export class EventWriter {
  readonly #sections = new MessageSections();
  #items = 0;
  /** The event written last has no annotations yet. */
  isPlain = false;

  /**
   * Writes event `i` at `start` and returns the end. The header section, if any, comes first. A partition key of the send
   * is added when the event itself doesn't carry one.
   * @throws MalformedMessage; bytes of `target` may have been changed then
   */
  write(
    send: SentEvents,
    i: number,
    sequenceNumber: number,
    offset: number,
    enqueuedTimeMs: number,
    target: Buffer,
    start: number,
  ): number {
    const { buffer, bounds } = send;
    const sections = this.#sections;
    const sentEnd = bounds[2 * i + 1]!;
    sections.scan(buffer, bounds[2 * i]!, sentEnd, undefined);
    let at = start;
    for (let from = sections.headerStart; from < sections.headerEnd; from++) target[at++] = buffer[from]!;
    this.isPlain = !sections.hasAnnotations && send.partitionKey === undefined;
    if (!this.isPlain) {
      const annotationsAt = at;
      at = writeServiceAnnotations(target, at, sequenceNumber, offset, enqueuedTimeMs);
      this.#items = 6;
      at = this.#addAnnotations(send, target, at);
      completeAnnotations(target, annotationsAt, at, this.#items);
    }
    return at + buffer.copy(target, at, sections.restStart, sentEnd);
  }

  /** Bytes of the header section that the event written last begins with. */
  get headerBytes(): number {
    return this.#sections.headerEnd - this.#sections.headerStart;
  }

  #addAnnotations({ buffer, partitionKey }: SentEvents, target: Buffer, start: number): number {
    let at = start;
    let hasKey = false;
    this.#sections.forEachAnnotation(buffer, (key, keyStart, _valueStart, end) => {
      if (key !== undefined && reservedAnnotations.has(key)) return;
      hasKey ||= key === partitionKeyAnnotation;
      at += buffer.copy(target, at, keyStart, end);
      this.#items += 2;
    });
    if (hasKey || partitionKey === undefined) return at;
    at += keyItem.copy(target, at);
    this.#items += 2;
    return writeString(target, partitionKey, at);
  }
}
