import type { Clock } from '../base/clock.ts';
import { TidemarkError } from '../base/errors.ts';
import type { PushChunk, Source, SourcePlan, SourceStart } from '../sources/source.ts';

interface Arrival<T> {
  readonly timeMs: number;
  readonly row: T;
}

interface OffsetRange {
  readonly partition: number;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

type Position = readonly number[];

/**
 * A partitioned log in memory that outlives the drivers reading it: what Event Hubs is, for programs on a manual clock.
 * Rows become visible at their arrival time, so the batches of a program follow from the clock alone.
 */
export class MemoryTopic<T> {
  readonly name: string;
  readonly #partitions: Arrival<T>[][];
  #owner = 0;
  #disown: (() => void) | undefined;

  constructor(name: string, numPartitions: number) {
    this.name = name;
    this.#partitions = Array.from({ length: numPartitions }, () => []);
  }

  get numPartitions(): number {
    return this.#partitions.length;
  }

  /** Appends rows that arrive at `timeMs`; arrival times of a partition must not go back. */
  send(timeMs: number, partition: number, ...rows: readonly T[]): void {
    const arrivals = this.#partitions[partition];
    if (arrivals === undefined) {
      throw new TidemarkError('OPTION_INVALID', `Partition ${partition} of topic '${this.name}' does not exist.`);
    }
    for (const row of rows) arrivals.push({ timeMs, row });
  }

  /** A source for one driver. A driver of a higher epoch takes the topic from the one before, as an owner level does. */
  source(): Source<T> {
    return new MemoryTopicSource(this);
  }

  /** Offset after the last row that has arrived at `timeMs`. */
  end(partition: number, timeMs: number): number {
    const arrivals = this.#partitions[partition]!;
    let end = arrivals.length;
    while (end > 0 && arrivals[end - 1]!.timeMs > timeMs) end -= 1;
    return end;
  }

  rows(range: OffsetRange): T[] {
    return this.#partitions[range.partition]!.slice(range.from, range.to).map(({ row }) => row);
  }

  /** @throws SOURCE_FENCED when a newer driver owns the topic. */
  own(epoch: number, disown: () => void): void {
    if (epoch < this.#owner) throw fenced(this.name, this.#owner);
    if (epoch > this.#owner) this.#disown?.();
    this.#owner = epoch;
    this.#disown = disown;
  }

  get owner(): number {
    return this.#owner;
  }
}

class MemoryTopicSource<T> implements Source<T> {
  readonly kind = 'memory-topic';
  readonly identity: Readonly<Record<string, string>>;
  readonly #topic: MemoryTopic<T>;
  #position: Position;
  #clock: Clock | undefined;
  #isFenced = false;

  constructor(topic: MemoryTopic<T>) {
    this.#topic = topic;
    this.identity = { topic: topic.name };
    this.#position = Array.from({ length: topic.numPartitions }, () => 0);
  }

  async start(start: SourceStart): Promise<void> {
    this.#clock = start.clock;
    if (start.position !== undefined) this.#position = start.position as Position;
    this.#topic.own(start.epoch, () => {
      this.#isFenced = true;
      start.fail(fenced(this.#topic.name, this.#topic.owner));
    });
  }

  position(): Position {
    return this.#position;
  }

  async plan(): Promise<SourcePlan> {
    const position = this.#position.map((_, partition) => this.#end(partition));
    const partitions = position.map(
      (to, partition): OffsetRange => ({ partition, from: this.#position[partition]!, to }),
    );
    this.#position = position;
    return { partitions, position, records: partitions.reduce((sum, { from, to }) => sum + to - from, 0) };
  }

  adopt(plan: SourcePlan): void {
    this.#position = plan.position as Position;
  }

  async read(plan: SourcePlan, partition: number, push: PushChunk<T>): Promise<void> {
    if (this.#isFenced) throw fenced(this.#topic.name, this.#topic.owner);
    await push(this.#topic.rows(plan.partitions[partition] as OffsetRange));
  }

  committed(): void {}

  backlog(): number {
    return this.#position.reduce((sum, from, partition) => sum + this.#end(partition) - from, 0);
  }

  async stop(): Promise<void> {}

  #end(partition: number): number {
    return this.#topic.end(partition, this.#clock?.now() ?? 0);
  }
}

function fenced(topic: string, owner: number): TidemarkError {
  return new TidemarkError('SOURCE_FENCED', `Topic '${topic}' is owned by the driver of epoch ${owner} now.`);
}
