import type { PushChunk, Source, SourcePlan, SourceStart } from '../src/sources/source.ts';

interface Range {
  readonly from: number;
  readonly to: number;
}

/** Rows that follow from their offset, `perBatch` in every batch: replayable in any process without storing anything. */
export class GeneratedSource<T> implements Source<T> {
  readonly kind = 'generated';
  readonly identity = {};
  readonly #row: (offset: number) => T;
  readonly #perBatch: number;
  readonly #partitions: number;
  #next = 0;

  constructor(perBatch: number, row: (offset: number) => T, partitions = 1) {
    this.#perBatch = perBatch;
    this.#partitions = partitions;
    this.#row = row;
  }

  async start(start: SourceStart): Promise<void> {
    this.#next = (start.position as number | undefined) ?? 0;
  }

  /** Any thread can make any row. */
  async startReading(): Promise<void> {}

  position(): number {
    return this.#next;
  }

  async plan(): Promise<SourcePlan> {
    const from = this.#next;
    this.#next += this.#perBatch;
    const edge = (partition: number): number => from + Math.floor((partition * this.#perBatch) / this.#partitions);
    const partitions = Array.from({ length: this.#partitions }, (_, p) => ({ from: edge(p), to: edge(p + 1) }));
    return { partitions, position: this.#next, records: this.#perBatch };
  }

  adopt(plan: SourcePlan): void {
    this.#next = plan.position as number;
  }

  async read(plan: SourcePlan, partition: number, push: PushChunk<T>): Promise<void> {
    const { from, to } = plan.partitions[partition] as Range;
    for (let at = from; at < to; at += 4096) {
      const chunk: T[] = [];
      for (let offset = at; offset < Math.min(to, at + 4096); offset++) chunk.push(this.#row(offset));
      // What is made before it can be taken is kept for the rest of the batch.
      await push(chunk);
    }
  }

  committed(): void {}

  backlog(): number {
    return 0;
  }

  async stop(): Promise<void> {}
}
