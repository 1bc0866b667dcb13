import type { SimulatedWorld } from './world.ts';

/** One record of the simulated input: where it stands, and what the simulation was told to put there. */
export interface SimulatedRow<T> {
  readonly partition: number;
  /** From 0 and dense within its partition. */
  readonly sequence: number;
  readonly value: T;
}

interface Arrival<T> extends SimulatedRow<T> {
  readonly timeMs: number;
}

/** A partitioned log that outlives all drivers. Rows become visible at their arrival time; partitions can be added. */
export class SimulatedTopic<T> {
  readonly #world: SimulatedWorld;
  readonly #partitions: Arrival<T>[][] = [];
  readonly #makeRow: (partition: number, sequence: number) => T;
  constructor(world: SimulatedWorld, numPartitions: number, makeRow: (partition: number, sequence: number) => T) {
    this.#world = world;
    this.#makeRow = makeRow;
    this.addPartitions(numPartitions);
  }

  get numPartitions(): number {
    return this.#partitions.length;
  }

  addPartitions(count: number): void {
    for (let i = 0; i < count; i++) this.#partitions.push([]);
  }

  /** A row arrives now. */
  arrive(): void {
    const partition = this.#world.integer(0, this.#partitions.length - 1);
    const rows = this.#partitions[partition]!;
    const sequence = rows.length;
    rows.push({ partition, sequence, timeMs: this.#world.nowMs, value: this.#makeRow(partition, sequence) });
  }

  /** Per partition: the sequence number after the last row. */
  ends(): number[] {
    return this.#partitions.map((rows) => rows.length);
  }

  rows(partition: number, from: number, to: number): readonly SimulatedRow<T>[] {
    return (this.#partitions[partition] ?? []).slice(from, to);
  }
}

/** Who reads the topic for one stream, where the input knows owners: its driver is told when it is pushed aside. */
export class TopicOwner {
  #epoch = 0;
  #disown: (() => void) | undefined;

  /** False: a newer driver owns it. */
  own(epoch: number, disown: () => void): boolean {
    if (epoch < this.#epoch) return false;
    if (epoch > this.#epoch) this.#disown?.();
    this.#epoch = epoch;
    this.#disown = disown;
    return true;
  }
}
