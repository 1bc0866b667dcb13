import { TidemarkError } from '../../base/errors.ts';
import type { PushChunk, Source, SourcePlan, SourceStart } from '../source.ts';

/** What a queue holds: rows, or an RDD of them. */
export type QueueEntry<T> = readonly T[] | CollectableRows<T>;

/** An RDD fits. */
export interface CollectableRows<T> {
  collect(): Promise<T[]>;
}

/**
 * Batches from a queue in memory, which the program may go on filling: for tests. One entry per batch, or all that are
 * there; `defaultRows` when there is none. Source: Spark's `queueStream`. Cannot be recovered.
 */
export function queueSource<T>(
  queue: QueueEntry<T>[],
  oneAtATime = true,
  defaultRows: QueueEntry<T> | undefined = undefined,
): Source<T> {
  if (!Array.isArray(queue)) {
    throw new TidemarkError('OPTION_INVALID', 'queueStream needs a queue: an array of arrays of rows, or of RDDs.');
  }
  return new QueueSource(queue, oneAtATime, defaultRows);
}

class QueueSource<T> implements Source<T> {
  readonly kind = 'queue';
  readonly identity: Readonly<Record<string, string>> = {};
  readonly isRecoverable = false;
  readonly #queue: QueueEntry<T>[];
  readonly #oneAtATime: boolean;
  readonly #defaultRows: QueueEntry<T> | undefined;
  /** Rows of planned batches that are not committed, by position; one array per entry. */
  readonly #planned = new Map<number, readonly (readonly T[])[]>();
  #position = 0;

  constructor(queue: QueueEntry<T>[], oneAtATime: boolean, defaultRows: QueueEntry<T> | undefined) {
    this.#queue = queue;
    this.#oneAtATime = oneAtATime;
    this.#defaultRows = defaultRows;
  }

  async start({ store, warn }: SourceStart): Promise<void> {
    if (store === undefined) return;
    warn(
      "queueStream doesn't support checkpointing: its records end with this process, and this checkpoint cannot be gone on from.",
    );
  }

  position(): number {
    return this.#position;
  }

  async plan(): Promise<SourcePlan> {
    const entries = this.#queue.splice(0, this.#oneAtATime ? 1 : this.#queue.length);
    if (entries.length === 0 && this.#defaultRows != null) entries.push(this.#defaultRows);
    const rows = await Promise.all(entries.map((entry) => ('collect' in entry ? entry.collect() : [...entry])));
    this.#position += 1;
    this.#planned.set(this.#position, rows);
    const records = rows.reduce((sum, { length }) => sum + length, 0);
    return { partitions: rows.map((_, i) => i), position: this.#position, records };
  }

  adopt(plan: SourcePlan): void {
    this.#position = plan.position as number;
  }

  async read(plan: SourcePlan, partition: number, push: PushChunk<T>): Promise<void> {
    await push(this.#planned.get(plan.position as number)?.[partition] ?? []);
  }

  committed(plan: SourcePlan): void {
    this.#planned.delete(plan.position as number);
  }

  /** A graceful stop does not wait for a queue to be empty, as in Spark. */
  backlog(): number {
    return 0;
  }

  async stop(): Promise<void> {}
}
