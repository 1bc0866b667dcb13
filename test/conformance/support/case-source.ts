import type { Source, SourcePlan, SourceStart } from '../../../src/index.ts';

interface Slice {
  readonly batch: number;
  readonly partition: number;
}

/**
 * Yields `input[k - 1]` in batch k: null is no data set, and beyond the end every batch is empty. Zero time is 0.
 * Replayable, so it also serves the recovery cases.
 */
export class CaseSource<T> implements Source<T> {
  readonly kind = 'case';
  readonly identity: Readonly<Record<string, string>> = {};
  readonly #input: readonly (readonly T[] | null)[];
  readonly #numPartitions: number;
  #batchIntervalMs = 1;
  #position = 0;

  constructor(input: readonly (readonly T[] | null)[], numPartitions: number) {
    this.#input = input;
    this.#numPartitions = numPartitions;
  }

  async start({ position, batchIntervalMs }: SourceStart): Promise<void> {
    this.#batchIntervalMs = batchIntervalMs;
    if (position !== undefined) this.#position = position as number;
  }

  position(): number {
    return this.#position;
  }

  async plan(batchTimeMs: number): Promise<SourcePlan> {
    const batch = batchTimeMs / this.#batchIntervalMs - 1;
    this.#position = batch + 1;
    const rows = this.#input[batch];
    if (rows === null) return { partitions: [], position: this.#position, records: 0, isAbsent: true };
    const partitions = Array.from({ length: this.#numPartitions }, (_, partition): Slice => ({ batch, partition }));
    return { partitions, position: this.#position, records: rows?.length ?? 0 };
  }

  adopt(plan: SourcePlan): void {
    this.#position = plan.position as number;
  }

  async read(plan: SourcePlan, partition: number, push: (chunk: readonly T[]) => void): Promise<void> {
    const { batch } = plan.partitions[partition] as Slice;
    const rows = this.#input[batch] ?? [];
    const bound = (slice: number): number => Math.floor((slice * rows.length) / this.#numPartitions);
    push(rows.slice(bound(partition), bound(partition + 1)));
  }

  /** A worker thread builds the case, and with it the rows. */
  async startReading(): Promise<void> {}

  committed(): void {}

  backlog(): number {
    return 0;
  }

  async stop(): Promise<void> {}
}
