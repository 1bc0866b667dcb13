import type { Source, SourcePlan, SourceStart } from '../../../src/index.ts';

export type Pair = readonly [key: string, value: number];

/** Which thread reads it: the workers, or the driver's alone. */
export type Born = 'workers' | 'driver';

const keys = ['ant', 'bee', 'cat', 'dog', 'elk', ''];

/** Rows that follow from batch and partition, so that every thread can make them. */
export function rowsOf(batch: number, partition: number): Pair[] {
  return Array.from({ length: 3 + ((batch * 7 + partition * 5) % 9) }, (_, i): Pair => {
    const n = batch * 31 + partition * 17 + i * 13;
    return [keys[n % keys.length]!, (n % 23) - 5];
  });
}

export function rowsSource(numPartitions: number, born: Born): Source<Pair> {
  const source = new RowsSource(numPartitions);
  return born === 'workers' ? Object.assign(source, { startReading: async () => {} }) : source;
}

class RowsSource implements Source<Pair> {
  readonly kind = 'rows';
  readonly identity: Readonly<Record<string, string>>;
  readonly #numPartitions: number;
  #next = 1;

  constructor(numPartitions: number) {
    this.#numPartitions = numPartitions;
    this.identity = { numPartitions: String(numPartitions) };
  }

  async start({ position }: SourceStart): Promise<void> {
    this.#next = (position as number | undefined) ?? 1;
  }

  position(): number {
    return this.#next;
  }

  async plan(): Promise<SourcePlan> {
    const batch = this.#next++;
    const partitions = Array.from({ length: this.#numPartitions }, (_, partition) => ({ batch, partition }));
    return { partitions, position: this.#next, records: this.#numPartitions };
  }

  adopt(plan: SourcePlan): void {
    this.#next = plan.position as number;
  }

  async read(plan: SourcePlan, partition: number, push: (chunk: readonly Pair[]) => void): Promise<void> {
    const range = plan.partitions[partition] as { readonly batch: number; readonly partition: number };
    const rows = rowsOf(range.batch, range.partition);
    push(rows.slice(0, 2));
    push(rows.slice(2));
  }

  committed(): void {}

  backlog(): number {
    return 0;
  }

  async stop(): Promise<void> {}
}
