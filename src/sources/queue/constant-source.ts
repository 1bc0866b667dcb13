import type { PushChunk, Source, SourcePlan } from '../source.ts';

/** The same rows in every batch. Source: Spark's `ConstantInputDStream`. Recoverable as long as the program gives the same rows. */
export function constantSource<T>(rows: readonly T[]): Source<T> {
  return new ConstantSource([...rows]);
}

class ConstantSource<T> implements Source<T> {
  readonly kind = 'constant';
  readonly identity: Readonly<Record<string, string>> = {};
  readonly #rows: readonly T[];

  constructor(rows: readonly T[]) {
    this.#rows = rows;
  }

  async start(): Promise<void> {}

  position(): number {
    return 0;
  }

  async plan(): Promise<SourcePlan> {
    return { partitions: [0], position: 0, records: this.#rows.length };
  }

  adopt(): void {}

  async read(_plan: SourcePlan, _partition: number, push: PushChunk<T>): Promise<void> {
    await push(this.#rows);
  }

  async startReading(): Promise<void> {}

  committed(): void {}

  backlog(): number {
    return 0;
  }

  async stop(): Promise<void> {}
}
