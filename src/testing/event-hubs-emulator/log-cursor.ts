import { type Block, endOf } from './block.ts';
import type { PartitionLog } from './partition-log.ts';
import {
  recordEnd,
  recordEnqueuedTime,
  recordHeaderBytes,
  recordHeaderSectionBytes,
  recordIsPlain,
  recordSequenceNumber,
} from './record.ts';

const noBytes = Buffer.alloc(0);

/**
 * Walks a log from a sequence number. Survives trimming (goes on at the oldest retained event, as the service does) and
 * appending. `peek...` and the message fields are valid while `sequenceNumber < log.next`.
 */
export class LogCursor {
  readonly #log: PartitionLog;
  #sequenceNumber: number;
  #block: Block | undefined;
  #buffer: Buffer = noBytes;
  #at = 0;

  constructor(log: PartitionLog, sequenceNumber: number) {
    this.#log = log;
    this.#sequenceNumber = sequenceNumber;
  }

  /** Of the record the cursor stands on. */
  get sequenceNumber(): number {
    return this.#sequenceNumber;
  }

  get buffer(): Buffer {
    return this.#buffer;
  }

  get messageStart(): number {
    return this.#at + recordHeaderBytes;
  }

  get messageEnd(): number {
    return recordEnd(this.#buffer, this.#at);
  }

  get headerSectionBytes(): number {
    return recordHeaderSectionBytes(this.#buffer, this.#at);
  }

  /** The message has no annotations yet. */
  get isPlain(): boolean {
    return recordIsPlain(this.#buffer, this.#at);
  }

  /** Puts the cursor on its record; false when there is none yet. */
  ready(): boolean {
    if (this.#sequenceNumber < this.#log.begin) {
      this.#sequenceNumber = this.#log.begin;
      this.#block = undefined;
    }
    if (this.#sequenceNumber >= this.#log.next) return false;
    if (this.#block === undefined || this.#sequenceNumber >= endOf(this.#block)) this.#seek();
    return true;
  }

  peekTimeMs(): number {
    this.ready();
    return recordEnqueuedTime(this.#buffer, this.#at);
  }

  peekOffset(): number {
    this.ready();
    return this.#block!.firstOffset + this.#at;
  }

  /** Moves on by one; only after `ready()` or a `peek`. */
  advance(): void {
    this.#at = recordEnd(this.#buffer, this.#at);
    this.#sequenceNumber++;
  }

  #seek(): void {
    const block = this.#log.blockOf(this.#sequenceNumber);
    this.#buffer = this.#log.load(block);
    this.#block = block;
    this.#at = 0;
    while (recordSequenceNumber(this.#buffer, this.#at) < this.#sequenceNumber) {
      this.#at = recordEnd(this.#buffer, this.#at);
    }
  }
}
