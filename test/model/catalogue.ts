/** A stored object; its content is in its name, as if it were addressed by it. */
export interface StoredObject {
  readonly kind: 'segment' | 'snapshot' | 'manifest';
  readonly epoch: number;
  /** The slot a segment is written for, or that a snapshot or manifest describes. */
  readonly slot: number;
  /** What a segment or snapshot adds to the state. */
  readonly batches: readonly number[];
}

export interface Manifest {
  readonly object: number;
  /** The record it describes the stream up to. */
  readonly at: number;
  readonly atSlot: number;
  readonly timeMs: number;
  readonly extents: readonly number[];
  /** Made for a rewind: its state is not that of the record, but of the record that the rewind goes back to. */
  readonly isPoint: boolean;
  /** Older ones that are kept, oldest first. */
  readonly history: readonly number[];
  readonly retired: readonly (readonly [object: number, slot: number])[];
  /** Announced by the record that adopts it. */
  readonly floor: number;
}

export interface LogRecord {
  readonly kind: 'fence' | 'batch' | 'pin' | 'unpin' | 'rewind';
  readonly slot: number;
  readonly epoch: number;
  /** The record it follows: stands for its hash. */
  readonly previous: number;
  /** Tells apart two contents of one driver for one slot, which only a mutation makes. */
  readonly attempt: number;
  /** A group of batches, all or none of them. */
  readonly from: number;
  readonly to: number;
  readonly segments: readonly number[];
  /** In force from this record on; 0: none. */
  readonly manifest: number;
  readonly floor: number;
  /** Of a rewind: the record whose state it goes back to. */
  readonly target: number;
}

export interface Pin {
  readonly record: number;
  readonly manifest: number;
}

/** What a chain of records says, whoever reads it. */
export interface Status {
  readonly slot: number;
  readonly epoch: number;
  readonly lastBatch: number;
  readonly generation: number;
  /** The state: the batches it was made of, in order. */
  readonly state: readonly number[];
  readonly manifest: number;
  readonly floor: number;
  readonly pins: readonly Pin[];
}

/** What must be in the store as long as the log ends with a given record. */
export interface Needs {
  readonly slots: readonly number[];
  readonly objects: readonly number[];
}

const emptyStatus: Status = {
  slot: 0,
  epoch: 0,
  lastBatch: 0,
  generation: 0,
  state: [],
  manifest: 0,
  floor: 0,
  pins: [],
};

/**
 * Every record, manifest and object that was ever made in an exploration, by number from 1. Equal ones share a number,
 * so that equal worlds are made of equal numbers. Also the specification: what a log means, told without any manifest.
 */
export class Catalogue {
  readonly #numbers = new Map<string, number>();
  readonly #objects: StoredObject[] = [];
  readonly #manifests: Manifest[] = [];
  readonly #records: LogRecord[] = [];
  readonly #statuses: Status[] = [];
  readonly #needs: (Needs | undefined)[] = [];

  addObject(object: StoredObject): number {
    return this.#add('o', this.#objects, object);
  }

  addManifest(manifest: Manifest): number {
    return this.#add('m', this.#manifests, manifest);
  }

  addRecord(record: LogRecord): number {
    const number = this.#add('r', this.#records, record);
    this.#statuses[number - 1] ??= this.#statusAfter(this.status(record.previous), record, number);
    return number;
  }

  object(number: number): StoredObject {
    return this.#objects[number - 1]!;
  }

  manifest(number: number): Manifest {
    return this.#manifests[number - 1]!;
  }

  record(number: number): LogRecord {
    return this.#records[number - 1]!;
  }

  status(record: number): Status {
    return record === 0 ? emptyStatus : this.#statuses[record - 1]!;
  }

  /** The record and those before it whose slot is above `slot`, newest first. */
  chain(record: number, slot: number): number[] {
    const found: number[] = [];
    for (let at = record; at !== 0 && this.record(at).slot > slot; at = this.record(at).previous) found.push(at);
    return found;
  }

  needs(tail: number): Needs {
    if (tail === 0) return { slots: [], objects: [] };
    return (this.#needs[tail - 1] ??= this.#needsOf(this.status(tail), tail));
  }

  #needsOf({ floor, manifest, pins }: Status, tail: number): Needs {
    const slots = new Set<number>();
    const objects = new Set<number>();
    const keepManifest = (number: number): void => {
      const { object, extents } = this.manifest(number);
      objects.add(object);
      for (const extent of extents) objects.add(extent);
    };
    const keepRecords = (last: number, after: number): void => {
      for (const number of this.chain(last, after)) {
        slots.add(this.record(number).slot);
        for (const segment of this.record(number).segments) objects.add(segment);
      }
    };
    keepRecords(tail, floor);
    if (manifest !== 0) {
      keepManifest(manifest);
      for (const older of this.manifest(manifest).history) {
        if (this.manifest(older).atSlot >= floor) keepManifest(older);
      }
    }
    for (const pin of pins) {
      if (pin.manifest !== 0) keepManifest(pin.manifest);
      keepRecords(pin.record, pin.manifest === 0 ? 0 : this.manifest(pin.manifest).atSlot);
    }
    return { slots: [...slots], objects: [...objects] };
  }

  #statusAfter(before: Status, record: LogRecord, number: number): Status {
    const { slot, manifest, floor } = record;
    const status = { ...before, slot, manifest, floor };
    switch (record.kind) {
      case 'fence':
        return { ...status, epoch: slot };
      case 'batch':
        return { ...status, lastBatch: record.to, state: [...before.state, ...range(record.from, record.to)] };
      case 'pin':
        return { ...status, pins: [...before.pins, { record: record.previous, manifest: before.manifest }] };
      case 'unpin':
        return { ...status, pins: before.pins.slice(1) };
      case 'rewind':
        return {
          ...status,
          lastBatch: record.to,
          generation: before.generation + 1,
          state: this.status(record.target === 0 ? number : record.target).state,
        };
    }
  }

  #add<T>(prefix: string, list: T[], item: T): number {
    const key = prefix + JSON.stringify(item);
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = list.push(item);
      this.#numbers.set(key, number);
    }
    return number;
  }
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
