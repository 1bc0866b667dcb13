import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { TidemarkError } from '../../base/errors.ts';
import type { Block, FileRange, Segment } from './block.ts';
import { putInt64 } from './encoded-values.ts';
import { checkRecord, readUInt64, recordEnd, recordEnqueuedTime, recordSequenceNumber } from './record.ts';

/** What trimming must not lose: the events themselves can be gone. */
export interface LogTail {
  readonly begin: number;
  readonly next: number;
  readonly nextOffset: number;
  readonly lastOffset: number;
  readonly lastTimeMs: number;
}

export interface RecoveredLog extends LogTail {
  readonly blocks: Block[];
}

const magic = 0x544d4548; // "TMEH"
const formatVersion = 1;
/** magic, version, first sequence number (8), first offset (8), crc32 of these 24 bytes, 4 unused. */
const segmentHeaderBytes = 32;
const blockBytesMin = 64 * 1024;

/**
 * The append-only files of one partition: a folder of segments named after their first sequence number, and `tail.json`
 * for what trimming removed. Events are only ever added at the end of the last segment; trimming deletes whole segments.
 *
 * Writes go to the page cache and are not synced: they survive the end of the process in any form, not a power cut.
 * A record that the end of a process cut off is removed by `open`; damage anywhere else is an error, nothing is skipped.
 */
export class SegmentFiles {
  readonly #folder: string;
  readonly #segmentBytesMax: number;
  #segments: Segment[] = [];
  #writer: number | undefined;
  #reader: { readonly path: string; readonly handle: number } | undefined;

  constructor(folder: string, segmentBytesMax: number) {
    this.#folder = folder;
    this.#segmentBytesMax = segmentBytesMax;
  }

  /** @throws TidemarkError EMULATOR_DATA_CORRUPT */
  open(): RecoveredLog {
    mkdirSync(this.#folder, { recursive: true });
    const tail = this.#readTail();
    const blocks: Block[] = [];
    const names = readdirSync(this.#folder)
      .filter((name) => name.endsWith('.events'))
      .sort();
    let log: LogTail = { begin: 0, next: 0, nextOffset: 0, lastOffset: -1, lastTimeMs: 0 };
    let first = true;
    for (const [i, name] of names.entries()) {
      const last = i === names.length - 1;
      const recovered = this.#recover(join(this.#folder, name), last, first ? undefined : log);
      if (recovered === undefined) continue;
      log = { ...recovered.log, begin: first ? recovered.log.begin : log.begin };
      blocks.push(...recovered.blocks);
      first = false;
    }
    if (tail !== undefined) {
      if (log.next < tail.next) {
        throw corrupt(this.#folder, 0, `events up to ${tail.next - 1} were stored, the files end at ${log.next - 1}`);
      }
      // Trimming does not delete parts of a segment, and a crash may have left whole ones: the tail decides.
      log = {
        ...log,
        begin: Math.max(log.begin, tail.begin),
        lastOffset: Math.max(log.lastOffset, tail.lastOffset),
        lastTimeMs: Math.max(log.lastTimeMs, tail.lastTimeMs),
      };
    }
    const keep = blocks.findIndex((block) => block.firstSequenceNumber + block.count > log.begin);
    return { ...log, blocks: keep === -1 ? [] : blocks.slice(keep) };
  }

  /** Whether the next bytes may go behind `range` in the same block. */
  canExtend(range: FileRange): boolean {
    return range.segment === this.#segments.at(-1) && range.segment.bytes < this.#segmentBytesMax;
  }

  /** The place of a new block; starts a new segment when the last one is full. */
  beginRange(firstSequenceNumber: number, firstOffset: number): FileRange {
    let segment = this.#segments.at(-1);
    if (segment === undefined || segment.bytes >= this.#segmentBytesMax) {
      this.#closeWriter();
      segment = this.#createSegment(firstSequenceNumber, firstOffset);
      this.#segments.push(segment);
    }
    return { segment, position: segment.bytes };
  }

  append(range: FileRange, bytes: Buffer): void {
    const segment = range.segment;
    this.#writer ??= openSync(segment.path, 'r+');
    try {
      let written = 0;
      while (written < bytes.length) {
        written += writeSync(this.#writer, bytes, written, bytes.length - written, segment.bytes + written);
      }
    } catch (error) {
      // A half-written batch must not stay: the next append writes at the same position.
      ftruncateSync(this.#writer, segment.bytes);
      throw error;
    }
    segment.bytes += bytes.length;
  }

  read(range: FileRange, length: number): Buffer {
    const handle = this.#readerOf(range.segment.path);
    const bytes = Buffer.allocUnsafeSlow(length);
    let done = 0;
    while (done < length) {
      const count = readSync(handle, bytes, done, length - done, range.position + done);
      if (count === 0) throw corrupt(range.segment.path, range.position + done, 'the file ends too early');
      done += count;
    }
    return bytes;
  }

  /**
   * Deletes the segments that `tail.begin` left behind. What retention trimmed inside a segment is trimmed again after a
   * restart, so only `keep` (or a deletion) costs a write.
   */
  trimmed(tail: LogTail, keep: boolean): void {
    const deletable = (): boolean => this.#segments.length > 1 && this.#segments[1]!.firstSequenceNumber <= tail.begin;
    if (!keep && !deletable()) return;
    const path = join(this.#folder, 'tail.json');
    writeFileSync(`${path}.new`, JSON.stringify(tail));
    renameSync(`${path}.new`, path);
    while (deletable()) {
      const segment = this.#segments.shift()!;
      if (this.#reader?.path === segment.path) this.#closeReader();
      rmSync(segment.path, { force: true });
    }
  }

  close(): void {
    this.#closeWriter();
    this.#closeReader();
  }

  #createSegment(firstSequenceNumber: number, firstOffset: number): Segment {
    const path = join(this.#folder, `${String(firstSequenceNumber).padStart(16, '0')}.events`);
    const header = Buffer.alloc(segmentHeaderBytes);
    header.writeUInt32BE(magic, 0);
    header.writeUInt32BE(formatVersion, 4);
    putInt64(header, firstSequenceNumber, 8);
    putInt64(header, firstOffset, 16);
    header.writeUInt32BE(crc32(header.subarray(0, 24)), 24);
    writeFileSync(path, header);
    return { path, firstSequenceNumber, firstOffset, bytes: segmentHeaderBytes };
  }

  /** Reads one segment; undefined when a crash left it without a complete header. */
  #recover(path: string, last: boolean, before: LogTail | undefined): { log: LogTail; blocks: Block[] } | undefined {
    const bytes = readFileSync(path);
    if (bytes.length < segmentHeaderBytes) {
      if (!last) throw corrupt(path, bytes.length, 'the segment has no complete header');
      rmSync(path);
      return undefined;
    }
    if (bytes.readUInt32BE(0) !== magic || crc32(bytes.subarray(0, 24)) !== bytes.readUInt32BE(24)) {
      throw corrupt(path, 0, 'the segment header is damaged');
    }
    if (bytes.readUInt32BE(4) !== formatVersion) {
      throw corrupt(path, 4, `format version ${bytes.readUInt32BE(4)} is not ${formatVersion}`);
    }
    const firstSequenceNumber = readUInt64(bytes, 8);
    const firstOffset = readUInt64(bytes, 16);
    if (before !== undefined && (before.next !== firstSequenceNumber || before.nextOffset !== firstOffset)) {
      throw corrupt(path, 8, `the segment starts at ${firstSequenceNumber}, the one before ends at ${before.next}`);
    }
    const segment: Segment = { path, firstSequenceNumber, firstOffset, bytes: segmentHeaderBytes };
    const blocks: Block[] = [];
    let next = firstSequenceNumber;
    let lastTimeMs = before?.lastTimeMs ?? 0;
    let lastOffset = before?.lastOffset ?? -1;
    let at = segmentHeaderBytes;
    while (at < bytes.length) {
      const check = checkRecord(bytes, at, bytes.length);
      if (check === 'cut' && last) break;
      if (check !== 'valid') throw corrupt(path, at, check === 'cut' ? 'the file ends too early' : 'bad checksum');
      if (recordSequenceNumber(bytes, at) !== next) throw corrupt(path, at, `expected sequence number ${next}`);
      let block = blocks.at(-1);
      lastTimeMs = recordEnqueuedTime(bytes, at);
      lastOffset = firstOffset + at - segmentHeaderBytes;
      if (block === undefined || block.bytes >= blockBytesMin) {
        block = {
          firstSequenceNumber: next,
          firstTimeMs: lastTimeMs,
          firstOffset: lastOffset,
          count: 0,
          bytes: 0,
          buffer: undefined,
          range: { segment, position: at },
        };
        blocks.push(block);
      }
      const end = recordEnd(bytes, at);
      block.count++;
      block.bytes += end - at;
      next++;
      at = end;
    }
    if (at < bytes.length) truncateSync(path, at);
    segment.bytes = at;
    this.#segments.push(segment);
    const nextOffset = firstOffset + at - segmentHeaderBytes;
    return { log: { begin: firstSequenceNumber, next, nextOffset, lastOffset, lastTimeMs }, blocks };
  }

  #readTail(): LogTail | undefined {
    const path = join(this.#folder, 'tail.json');
    if (!existsSync(path)) return undefined;
    try {
      const tail = JSON.parse(readFileSync(path, 'utf8')) as LogTail;
      const numbers = [tail.begin, tail.next, tail.nextOffset, tail.lastOffset, tail.lastTimeMs];
      if (numbers.every((value) => Number.isSafeInteger(value))) return tail;
    } catch {
      // Reported below, like a file with other content.
    }
    throw corrupt(path, 0, 'the file is not a tail record');
  }

  #readerOf(path: string): number {
    if (this.#reader?.path !== path) {
      this.#closeReader();
      this.#reader = { path, handle: openSync(path, 'r') };
    }
    return this.#reader.handle;
  }

  #closeReader(): void {
    if (this.#reader !== undefined) closeSync(this.#reader.handle);
    this.#reader = undefined;
  }

  #closeWriter(): void {
    if (this.#writer !== undefined) closeSync(this.#writer);
    this.#writer = undefined;
  }
}

function corrupt(path: string, position: number, reason: string): TidemarkError {
  return new TidemarkError(
    'EMULATOR_DATA_CORRUPT',
    `The emulator's data file ${path} is damaged at byte ${position}: ${reason}. Delete the data folder to start with empty hubs.`,
    { context: { path, position } },
  );
}
