import type { OutputRows } from './output-ledger.ts';
import type { SimulatedRow } from './topic.ts';

/** A batch that has happened: its record stands in the log. */
export interface CommittedBatch<T> {
  /** From 2: batch 1 is the empty one that fixes the starting positions. */
  readonly batchId: number;
  readonly timeMs: number;
  readonly generation: number;
  /** Of the program whose driver committed it. */
  readonly version: number;
  /** By partition, then sequence number. */
  readonly rows: readonly SimulatedRow<T>[];
  /** What was staged, and what acted, by output name; an output that did not run in this batch is missing. */
  readonly outputs: ReadonlyMap<string, OutputRows>;
}

/** A driver has taken the stream over. */
export interface SimulatedFence {
  readonly slot: number;
  /** Of its program. */
  readonly version: number;
  /** The last batch id before it, 0 for none. */
  readonly lastBatchId: number;
}

/** By output name: the rows, in any order. */
export type ExpectedRows = ReadonlyMap<string, readonly unknown[]>;

/** The program over arrays: what it should give. Made anew when a stream goes back or is forked, see `SimulationOptions`. */
export interface SimulationModel<T> {
  /**
   * Sees the batches of a stream in order; throws when `outputs` are not what the rows should give. What it returns is
   * what the outputs that act after the commit must get: those of `writer`, `ledger` and `outbox`.
   */
  batch(batch: CommittedBatch<T>): ExpectedRows | undefined;
  /** Sees every takeover by a driver. */
  fence?(fence: SimulatedFence): void;
}

/** One batch of a stream, with all that came before it. */
export interface Station<T> {
  readonly previous: Station<T> | undefined;
  readonly batchId: number;
  /** Where its input ends. */
  readonly plan: number;
  readonly timeMs: number;
  /** Undefined: the empty first one. */
  readonly batch: CommittedBatch<T> | undefined;
  /** Between the batch before and this one. */
  readonly fences: readonly SimulatedFence[];
}

/**
 * The batches that count, from the first one to the last: a rewind goes back along them, and a fork begins at one.
 * Batches that were given up are kept: they may be forked.
 */
export class Line<T> {
  readonly #makeModel: () => SimulationModel<T>;
  readonly #stations = new Map<number, Station<T>>();
  #model: SimulationModel<T>;
  #head: Station<T> | undefined;
  #fences: SimulatedFence[] = [];

  constructor(makeModel: () => SimulationModel<T>) {
    this.#makeModel = makeModel;
    this.#model = makeModel();
  }

  get head(): Station<T> | undefined {
    return this.#head;
  }

  fence(fence: SimulatedFence): void {
    this.#fences.push(fence);
    this.#model.fence?.(fence);
  }

  add(station: Omit<Station<T>, 'previous' | 'fences'>): ExpectedRows | undefined {
    this.#head = { ...station, previous: this.#head, fences: this.#fences };
    this.#fences = [];
    this.#stations.set(station.plan, this.#head);
    return station.batch && this.#model.batch(station.batch);
  }

  /** Also one that was given up. */
  find(plan: number): Station<T> | undefined {
    return this.#stations.get(plan);
  }

  /** Whether it still counts. */
  leadsTo(station: Station<T>): boolean {
    for (let at = this.#head; at !== undefined; at = at.previous) if (at === station) return true;
    return false;
  }

  /** Makes `station` the last one: a new model is given all up to it. */
  goTo(station: Station<T>): void {
    const path: Station<T>[] = [];
    for (let at: Station<T> | undefined = station; at !== undefined; at = at.previous) path.push(at);
    this.#head = station;
    this.#fences = [];
    this.#model = this.#makeModel();
    for (const { batch, fences } of path.reverse()) {
      for (const fence of fences) this.#model.fence?.(fence);
      if (batch !== undefined) this.#model.batch(batch);
    }
  }
}
