import { type Block, endOf } from './block.ts';
import { BlockMemory } from './block-memory.ts';
import { addedBytesMax, EventWriter } from './event-writer.ts';
import { LogCursor } from './log-cursor.ts';
import { recordHeaderBytes, sealRecord } from './record.ts';
import type { SegmentFiles } from './segment-files.ts';
import type { SentEvents } from './sent-events.ts';

export interface PartitionLimits {
  readonly retentionBytesMax: number;
  readonly retentionMs: number;
  /** Bytes of the newest blocks a file-backed log keeps in memory. */
  readonly cacheBytesMax: number;
}

const blockBytes = 64 * 1024;

/**
 * The events of one partition, oldest first, in memory or in append-only files.
 *
 * Invariants
 *   L1. Sequence numbers start at 0 and are dense: [begin, next) is readable, whatever was trimmed.
 *   L2. Enqueued times never decrease, offsets strictly increase.
 *   L3. append() returns after the bytes of all its events are written (page cache), or changes nothing.
 *   L4. With files, memory holds the index (one entry per block of about 64 KB) and at most `cacheBytesMax` of records
 *       plus the block being filled.
 *
 * Owns the files it is given. Does not own retention times (the caller passes the time) or readers.
 */
export class PartitionLog {
  readonly #limits: PartitionLimits;
  readonly #files: SegmentFiles | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #writer = new EventWriter();
  readonly #memory = new BlockMemory();
  #blocks: Block[] = [];
  #begin = 0;
  #next = 0;
  #nextOffset = 0;
  #lastTimeMs = 0;
  #lastOffset = -1;
  #cachedBytes = 0;
  /** Index of the oldest block whose buffer may be dropped. */
  #firstCached = 0;
  #oldest: LogCursor | undefined;

  constructor(limits: PartitionLimits, files?: SegmentFiles) {
    this.#limits = limits;
    this.#files = files;
    if (files === undefined) return;
    const recovered = files.open();
    this.#blocks = recovered.blocks;
    this.#firstCached = recovered.blocks.length;
    this.#begin = recovered.begin;
    this.#next = recovered.next;
    this.#nextOffset = recovered.nextOffset;
    this.#lastTimeMs = recovered.lastTimeMs;
    this.#lastOffset = recovered.lastOffset;
  }

  /** The oldest readable sequence number; equals `next` when nothing is retained. */
  get begin(): number {
    return this.#begin;
  }

  /** The sequence number the next event will get. */
  get next(): number {
    return this.#next;
  }

  get isEmpty(): boolean {
    return this.#begin === this.#next;
  }

  /** Of the last event ever stored; -1 and 0 when there never was one. */
  get lastOffset(): number {
    return this.#lastOffset;
  }

  get lastTimeMs(): number {
    return this.#lastTimeMs;
  }

  /** Called after each append and after the log changed in another way that readers should look at. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stores the events in order; returns the sequence number of the first. @throws MalformedMessage */
  append(send: SentEvents, nowMs: number): number {
    const first = this.#next;
    const timeMs = Math.max(nowMs, this.#lastTimeMs);
    const { buffer: sent, count, partitionKey } = send;
    const block = this.#blockFor(sent.length + count * (recordHeaderBytes + addedBytesMax(partitionKey)), timeMs);
    const start = block.bytes;
    const buffer = block.buffer!;
    let at = start;
    let offset = this.#lastOffset;
    for (let i = 0; i < count; i++) {
      offset = block.firstOffset + at;
      const end = this.#writer.write(send, i, first + i, offset, timeMs, buffer, at + recordHeaderBytes);
      sealRecord(
        buffer,
        at,
        end,
        first + i,
        timeMs,
        this.#writer.headerBytes,
        this.#writer.isPlain,
        this.#files !== undefined,
      );
      at = end;
    }
    this.#files?.append(block.range!, buffer.subarray(start, at));
    block.bytes = at;
    block.count += count;
    this.#cachedBytes += at - start;
    this.#next = first + count;
    this.#nextOffset = block.firstOffset + at;
    this.#lastOffset = offset;
    this.#lastTimeMs = timeMs;
    this.#dropCached();
    this.retain(nowMs);
    for (const listener of this.#listeners) listener();
    return first;
  }

  /** Frees what age and size no longer allow. Cheap when there is nothing to free. */
  retain(nowMs: number): void {
    const oldestTimeMs = nowMs - this.#limits.retentionMs;
    if (
      this.isEmpty ||
      (this.#retainedBytes() <= this.#limits.retentionBytesMax && this.#beginTimeMs() >= oldestTimeMs)
    )
      return;
    let begin = this.#begin;
    const cursor = this.#oldestCursor();
    while (begin < this.#next) {
      const tooMuch = this.#nextOffset - cursor.peekOffset() > this.#limits.retentionBytesMax;
      if (!tooMuch && cursor.peekTimeMs() >= oldestTimeMs) break;
      cursor.advance();
      begin++;
    }
    this.#trimTo(begin, false);
  }

  /** Forgets the events before `sequenceNumber`, for good. */
  trimTo(sequenceNumber: number): void {
    this.#trimTo(sequenceNumber, true);
  }

  #trimTo(sequenceNumber: number, keep: boolean): void {
    const begin = Math.min(Math.max(sequenceNumber, this.#begin), this.#next);
    if (begin === this.#begin) return;
    this.#begin = begin;
    let dropped = 0;
    while (dropped < this.#blocks.length && endOf(this.#blocks[dropped]!) <= begin) {
      const block = this.#blocks[dropped]!;
      if (dropped >= this.#firstCached && block.buffer !== undefined) this.#cachedBytes -= block.bytes;
      dropped++;
    }
    for (const { buffer } of this.#blocks.splice(0, dropped)) {
      // A cursor that still stands there looks for its place anew before it reads.
      if (this.#files === undefined && buffer !== undefined) this.#memory.giveBack(buffer);
    }
    this.#firstCached = Math.max(0, this.#firstCached - dropped);
    const tail = {
      begin,
      next: this.#next,
      nextOffset: this.#nextOffset,
      lastOffset: this.#lastOffset,
      lastTimeMs: this.#lastTimeMs,
    };
    this.#files?.trimmed(tail, keep);
  }

  cursor(sequenceNumber: number): LogCursor {
    return new LogCursor(this, sequenceNumber);
  }

  /** The first retained event whose offset is above `offset` (or equal, when inclusive); `next` if there is none. */
  findOffset(offset: number, inclusive: boolean): number {
    return this.#find(
      (block) => block.firstOffset,
      (cursor) => cursor.peekOffset(),
      inclusive ? offset : offset + 1,
    );
  }

  /** The first retained event enqueued after `timeMs`; `next` if there is none. */
  findTimeAfter(timeMs: number): number {
    return this.#find(
      (block) => block.firstTimeMs,
      (cursor) => cursor.peekTimeMs(),
      timeMs + 1,
    );
  }

  /** The block that holds a retained sequence number. */
  blockOf(sequenceNumber: number): Block {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#blocks[middle]!.firstSequenceNumber <= sequenceNumber) low = middle;
      else high = middle - 1;
    }
    return this.#blocks[low]!;
  }

  load(block: Block): Buffer {
    return block.buffer ?? this.#files!.read(block.range!, block.bytes);
  }

  close(): void {
    this.#listeners.clear();
    this.#files?.close();
  }

  #find(ofBlock: (block: Block) => number, ofRecord: (cursor: LogCursor) => number, atLeast: number): number {
    if (this.isEmpty) return this.#next;
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (ofBlock(this.#blocks[middle]!) < atLeast) low = middle;
      else high = middle - 1;
    }
    const cursor = this.cursor(Math.max(this.#begin, this.#blocks[low]!.firstSequenceNumber));
    while (cursor.sequenceNumber < this.#next && ofRecord(cursor) < atLeast) cursor.advance();
    return cursor.sequenceNumber;
  }

  #blockFor(room: number, timeMs: number): Block {
    const last = this.#blocks.at(-1);
    const range = last?.range;
    if (
      last?.buffer !== undefined &&
      last.bytes + room <= last.buffer.length &&
      (!range || this.#files!.canExtend(range))
    ) {
      return last;
    }
    const block: Block = {
      firstSequenceNumber: this.#next,
      firstTimeMs: timeMs,
      firstOffset: this.#nextOffset,
      count: 0,
      bytes: 0,
      buffer: this.#files ? Buffer.allocUnsafeSlow(Math.max(blockBytes, room)) : this.#memory.take(room),
      range: this.#files?.beginRange(this.#next, this.#nextOffset),
    };
    // An empty block left by a failed write must not stay in the index.
    if (last?.count === 0) this.#blocks.pop();
    this.#blocks.push(block);
    return block;
  }

  #dropCached(): void {
    if (this.#files === undefined) return;
    while (this.#cachedBytes > this.#limits.cacheBytesMax && this.#firstCached < this.#blocks.length - 1) {
      const block = this.#blocks[this.#firstCached++]!;
      if (block.buffer === undefined) continue;
      this.#cachedBytes -= block.bytes;
      block.buffer = undefined;
    }
  }

  #oldestCursor(): LogCursor {
    if (this.#oldest?.sequenceNumber !== this.#begin) this.#oldest = this.cursor(this.#begin);
    return this.#oldest;
  }

  #beginTimeMs(): number {
    return this.#oldestCursor().peekTimeMs();
  }

  #retainedBytes(): number {
    return this.#nextOffset - this.#oldestCursor().peekOffset();
  }
}
