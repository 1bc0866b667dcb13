import { TidemarkError } from '../../base/errors.ts';
import type { Source, SourcePlan, SourceStart } from '../../sources/source.ts';
import type { SimulatedDriver } from './driver.ts';
import { markOf, parseMark } from './marks.ts';
import type { SimulatedRow } from './topic.ts';

interface Position {
  readonly mark: string;
}

interface PlannedRange {
  readonly mark: string;
  readonly partition: number;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** The simulated topic as one driver reads it. Its positions and plans are marks: what they stand for, the history knows. */
export class SimulatedSource<T> implements Source<SimulatedRow<T>> {
  readonly kind = 'simulated-topic';
  readonly identity: Readonly<Record<string, string>> = { topic: 'simulated' };
  readonly #driver: SimulatedDriver<T>;
  #plan: number | undefined;
  #isFenced = false;

  constructor(driver: SimulatedDriver<T>) {
    this.#driver = driver;
  }

  async start(start: SourceStart): Promise<void> {
    const { history, owner, options } = this.#driver.simulation;
    await this.#driver.network();
    this.#plan =
      start.position === undefined
        ? history.plans.add({ previous: undefined, from: [], to: [], batchTimeMs: 0 })
        : parseMark('plan', (start.position as Position).mark);
    if (!options.hasOwner) return;
    const owned = owner.own(start.epoch, () => {
      // The news reaches the older driver as an answer does.
      this.#driver.process.world.after(this.#driver.process.world.between(0, 200), this.#driver.process, () => {
        this.#isFenced = true;
        start.fail(fenced());
      });
    });
    if (!owned) throw fenced();
  }

  position(): Position {
    return { mark: markOf('plan', this.#plan!) };
  }

  async plan(batchTimeMs: number): Promise<SourcePlan> {
    const { history, topic, options } = this.#driver.simulation;
    await this.#driver.network();
    if (this.#isFenced) throw fenced();
    const previous = this.#plan!;
    const from = history.plans.at(previous).to;
    const to = topic
      .ends()
      .map((end, partition) => Math.min(end, (from[partition] ?? 0) + options.rowsPerPartitionMax));
    this.#plan = history.plans.add({ previous, from, to, batchTimeMs });
    this.#driver.plans.set(batchTimeMs, this.#plan);
    const mark = markOf('range', this.#plan);
    const partitions = to.map((end, partition): PlannedRange => {
      return { mark, partition, from: from[partition] ?? 0, to: end };
    });
    return {
      partitions,
      position: this.position(),
      records: partitions.reduce((sum, range) => sum + range.to - range.from, 0),
    };
  }

  adopt(plan: SourcePlan): void {
    const id = parseMark('plan', (plan.position as Position).mark);
    const { history, verdict } = this.#driver.simulation;
    const made = history.plans.at(id);
    if (made.previous !== this.#plan) {
      verdict.violate(`Plan ${id} follows plan ${made.previous}, and is adopted after ${this.#plan}.`);
    }
    this.#plan = id;
    this.#driver.plans.set(made.batchTimeMs, id);
  }

  async read(plan: SourcePlan, partition: number, push: (chunk: readonly SimulatedRow<T>[]) => void): Promise<void> {
    const { simulation } = this.#driver;
    const { history, topic, verdict } = simulation;
    const range = plan.partitions[partition] as PlannedRange;
    const made = history.plans.at(parseMark('range', range.mark));
    if (range.from !== (made.from[range.partition] ?? 0) || range.to !== made.to[range.partition]) {
      verdict.violate(
        `Plan ${made.id} was given back with [${range.from}, ${range.to}) of partition ${range.partition}.`,
      );
    }
    await this.#driver.network();
    if (this.#isFenced) throw fenced();
    const { world } = this.#driver.process;
    if (world.chance(simulation.faults().failedRead)) {
      // A part has been pushed when it breaks: the next try begins anew.
      push(topic.rows(range.partition, range.from, world.integer(range.from, range.to)));
      throw new Error('Simulated: the source failed in the middle of a partition.');
    }
    push(topic.rows(range.partition, range.from, range.to));
  }

  committed(plan: SourcePlan): void {
    if (!this.#driver.process.isAlive) return;
    this.#driver.simulation.history.sourceToldOfCommit(parseMark('plan', (plan.position as Position).mark));
  }

  backlog(): number {
    const { history, topic } = this.#driver.simulation;
    const from = this.#plan === undefined ? [] : history.plans.at(this.#plan).to;
    return topic.ends().reduce((sum, end, partition) => sum + end - (from[partition] ?? 0), 0);
  }

  async stop(): Promise<void> {}
}

function fenced(): TidemarkError {
  return new TidemarkError('SOURCE_FENCED', 'Simulated: a newer driver reads the topic now.');
}
