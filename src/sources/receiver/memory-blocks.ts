import { TidemarkError } from '../../base/errors.ts';
import type { SourcePlan } from '../source.ts';
import { decodeBlock } from './block-bytes.ts';
import type { Block, BlockKeeper } from './block-keeper.ts';

/** Records that may wait for a batch; more than that, and the receiver has to wait. */
export const waitingRecordsMax = 4_000_000;

/** Blocks of a stream without a checkpoint: they end with the process. A position counts blocks. */
export class MemoryBlocks<T> implements BlockKeeper<T> {
  readonly #kept = new Map<number, readonly T[]>();
  #next = 1;
  #position = 1;
  #backlog = 0;
  #isClosed = false;
  #room: PromiseWithResolvers<void> | undefined;

  get position(): number {
    return this.#position;
  }

  get backlog(): number {
    return this.#backlog;
  }

  async add(block: Block<T>): Promise<void> {
    const rows = 'rows' in block ? block.rows : decodeBlock<T>(block.bytes);
    while (this.#backlog >= waitingRecordsMax && !this.#isClosed) {
      this.#room ??= Promise.withResolvers();
      await this.#room.promise;
    }
    if (this.#isClosed)
      throw new TidemarkError('CANCELLED', 'The receiver was stopped before this block was taken in.');
    this.#kept.set(this.#next++, rows);
    this.#backlog += rows.length;
  }

  take(): SourcePlan {
    const partitions: number[] = [];
    for (let block = this.#position; block < this.#next; block++) partitions.push(block);
    const records = this.#backlog;
    this.#position = this.#next;
    this.#backlog = 0;
    this.#makeRoom();
    return { partitions, position: this.#position, records };
  }

  /** Nothing is recorded without a checkpoint, so no plan is from before. */
  takeUpTo(): void {}

  async read(partition: unknown): Promise<readonly T[]> {
    return this.#kept.get(partition as number) ?? [];
  }

  free(position: number): void {
    for (const block of this.#kept.keys()) {
      if (block >= position) break;
      this.#kept.delete(block);
    }
  }

  async idle(): Promise<void> {}

  close(): void {
    this.#isClosed = true;
    this.#makeRoom();
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
