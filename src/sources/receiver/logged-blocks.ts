import type { SourcePlan } from '../source.ts';
import { decodeBlock, encodeBlock } from './block-bytes.ts';
import type { Block, BlockKeeper } from './block-keeper.ts';
import { BlockLog, type BlockLogOptions } from './block-log.ts';
import { type BlockRange, type LogObject, logObjectName, payloadsOf } from './log-object.ts';

/** Bytes of log objects kept in memory, so that a batch need not read back what was just written. */
export const cachedBytesMax: number = 64 * 1024 * 1024;
// A batch of more blocks than this gets one partition per object of the log, so that a plan stays small.
const partitionsByBlockMax = 256;

export interface LoggedBlocksOptions extends Omit<BlockLogOptions, 'onObject'> {
  /** Objects in the log that no committed batch has consumed: with more, the receiver has to wait. Default 100,000. */
  readonly objectsMax?: number | undefined;
}

interface KeptObject {
  readonly object: LogObject;
  /** Undefined: over the bound, read from the store when it is needed. */
  bytes: Uint8Array | undefined;
}

/**
 * Blocks in a write-ahead log: what was added survives the process and is handed out exactly once.
 *
 * A position is the slot after the last planned object. Rows are decoded anew for every read, from memory or from the
 * store, so that what a function does to its rows is never seen by a second try.
 */
export class LoggedBlocks<T> implements BlockKeeper<T> {
  readonly #log: BlockLog;
  readonly #kept: Map<number, KeptObject>;
  #position: number;
  #waiting: LogObject[] = [];
  #backlog = 0;
  #cachedBytes = 0;
  readonly #objectsMax: number;
  #room: PromiseWithResolvers<void> | undefined;
  #isClosed = false;

  /** Takes the log over; what earlier drivers left is waiting. @throws as BlockLog.open */
  static async open<T>(options: LoggedBlocksOptions): Promise<LoggedBlocks<T>> {
    // The log calls only after it is open.
    let arrived: BlockLogOptions['onObject'] = () => {};
    const { log, left } = await BlockLog.open({
      ...options,
      onObject: (object, bytes) => arrived(object, bytes),
    });
    const blocks = new LoggedBlocks<T>(log, options.position, options.objectsMax ?? 100_000);
    arrived = (object, bytes) => blocks.#arrived(object, bytes);
    for (const { object, bytes } of left) arrived(object, bytes);
    return blocks;
  }

  private constructor(log: BlockLog, position: number, objectsMax: number) {
    this.#log = log;
    this.#objectsMax = objectsMax;
    this.#position = position;
    this.#kept = new Map();
  }

  get position(): number {
    return this.#position;
  }

  get backlog(): number {
    return this.#backlog;
  }

  async add(block: Block<T>): Promise<void> {
    const encoded = encodeBlock(block);
    while (this.#kept.size >= this.#objectsMax && !this.#isClosed) {
      await (this.#room ??= Promise.withResolvers()).promise;
    }
    await this.#log.append(encoded);
  }

  take(): SourcePlan {
    const objects = this.#waiting;
    const records = this.#backlog;
    const last = objects.at(-1);
    if (last !== undefined) this.#position = last.slot + 1;
    this.#waiting = [];
    this.#backlog = 0;
    const byBlock = objects.flatMap(({ blocks }) => blocks);
    const partitions =
      byBlock.length <= partitionsByBlockMax ? byBlock : objects.flatMap(({ whole }) => (whole ? [whole] : []));
    return { partitions, position: this.#position, records };
  }

  takeUpTo(position: number): void {
    this.#position = Math.max(this.#position, position);
    this.#waiting = this.#waiting.filter(({ slot }) => slot >= position);
    this.#backlog = this.#waiting.reduce((sum, { whole }) => sum + (whole?.records ?? 0), 0);
  }

  async read(partition: unknown): Promise<readonly T[]> {
    const range = partition as BlockRange;
    const cached = this.#kept.get(range.slot)?.bytes;
    const bytes = cached?.subarray(range.offset, range.offset + range.length) ?? (await this.#log.read(range));
    const payloads = payloadsOf(logObjectName(range.slot), range, bytes);
    if (payloads.length === 1) return decodeBlock<T>(payloads[0]!);
    return payloads.flatMap((payload) => decodeBlock<T>(payload));
  }

  free(position: number): void {
    const slots: number[] = [];
    for (const [slot, { object, bytes }] of this.#kept) {
      if (slot >= position) break;
      this.#kept.delete(slot);
      this.#cachedBytes -= bytes?.length ?? 0;
      // Fences stay (L4 of the log).
      if (object.kind === 'blocks') slots.push(slot);
    }
    this.#log.delete(slots);
    this.#makeRoom();
  }

  idle(): Promise<void> {
    return this.#log.idle();
  }

  close(): void {
    this.#isClosed = true;
    this.#makeRoom();
    this.#log.close();
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  #arrived(object: LogObject, bytes: Uint8Array): void {
    const fits = this.#cachedBytes + bytes.length <= cachedBytesMax;
    this.#kept.set(object.slot, { object, bytes: fits ? bytes : undefined });
    if (fits) this.#cachedBytes += bytes.length;
    if (object.whole === undefined) return;
    this.#waiting.push(object);
    this.#backlog += object.whole.records;
  }
}
