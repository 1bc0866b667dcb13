import type { Station } from './line.ts';

/** What took a batch id: a batch, or a rewind, which stands for the batch it went back to. */
export interface BatchId<T> {
  readonly batchId: number;
  /** Of its record. */
  readonly slot: number;
  readonly station: Station<T>;
  readonly isRewind: boolean;
  /** Of the batches after it: as the rewind begins it. */
  readonly generation: number;
  /** The record of the rewind that gave it up. */
  givenUpBy: number | undefined;
}

/** The batch ids of one stream: dense, never used again, whatever rewinds there are. */
export class BatchIds<T> {
  readonly #ids = new Map<number, BatchId<T>>();
  /** By generation: the id that begins it. */
  readonly #rewinds = new Map<number, BatchId<T>>();
  #last = 0;
  #generation = 0;

  /** 0: none. */
  get last(): number {
    return this.#last;
  }

  get generation(): number {
    return this.#generation;
  }

  get(batchId: number): BatchId<T> | undefined {
    return this.#ids.get(batchId);
  }

  all(): readonly BatchId<T>[] {
    return [...this.#ids.values()];
  }

  /** The rewind that began a generation. */
  rewindOf(generation: number): BatchId<T> | undefined {
    return this.#rewinds.get(generation);
  }

  isCommitted(batchId: number): boolean {
    return this.#ids.get(batchId)?.isRewind === false;
  }

  add(id: Omit<BatchId<T>, 'generation' | 'givenUpBy'>): void {
    this.#last = id.batchId;
    this.#ids.set(id.batchId, { ...id, generation: this.#generation, givenUpBy: undefined });
  }

  /** A rewind takes an id, and gives up all after `station`. */
  giveUp(station: Station<T>, slot: number): void {
    for (const id of this.#ids.values()) {
      if (id.station.batchId > station.batchId) id.givenUpBy ??= slot;
    }
    this.#generation += 1;
    this.add({ batchId: this.#last + 1, slot, station, isRewind: true });
    this.#rewinds.set(this.#generation, this.#ids.get(this.#last)!);
  }

  /** A fork goes on with the ids of its origin. */
  begin(station: Station<T>, slot: number, batchId: number = station.batchId): void {
    this.#ids.clear();
    this.add({ batchId, slot, station, isRewind: true });
  }
}
