import { invariant, TidemarkError } from '../base/errors.ts';
import { decodeValue } from '../base/value-codec.ts';
import { shufflesOf } from '../rdd/in-process-runner.ts';
import type { RDD } from '../rdd/rdd.ts';
import { pushRows } from '../rdd/row-loops.ts';
import type { ShuffleDependency, ShuffleOutputs } from '../rdd/shuffle-dependency.ts';
import type { StageRunner } from '../rdd/stage-runner.ts';
import { type JobRunner, runCollecting, TaskContext, type UpdateReceiver } from '../rdd/task.ts';
import { BlockWriter, decodeRows, encodeColumns, encodeResults } from './block-codec.ts';
import { toErrorRecord } from './error-record.ts';
import type { Exchange, SentBlocks, StepOutcome } from './exchange.ts';
import { ExchangedOutputs, type Root } from './exchanged-outputs.ts';
import { isBound, lineageOf, signatureOf } from './lineage.ts';
import type { Link, Reading } from './link.ts';
import { refusedInTask, refusedOutside } from './refused-actions.ts';
import { currentScope } from './scopes.ts';

/** What tasks have added to accumulators of the program, by their number in it. */
export type Updates = readonly (readonly [accumulator: number, update: unknown])[];

interface CollectiveRunnerFields {
  readonly index: number;
  /** By worker; a hole for this one. */
  readonly links: readonly (Link | undefined)[];
  readonly exchange: Exchange;
  readonly stages: StageRunner;
  /** Accumulators of the program. */
  readonly accumulators: () => readonly UpdateReceiver[];
  /** Takes what jobs of the program have added to accumulators. */
  readonly count: (updates: Updates) => void;
}

interface OtherRequest {
  readonly root: string;
  readonly ordinal: number;
  readonly partition: number;
}

/**
 * Runs jobs together with the other workers, which run the same program and so the same jobs.
 *
 * Partition p of every RDD is at home on worker p mod N: there its tasks run, and there the blocks of its shuffles go. A
 * shuffle is one step of the exchange: every worker computes its map partitions and sends away what others read. Results
 * of an action are given to all workers.
 *
 * Invariants
 *   C1. Jobs and shuffles have names that are the same on all workers (see Scope), and so have their steps. Nothing depends on
 *       the order in which workers come to them; jobs may overlap, and wait for each other.
 *   C2. A task is tried again where it has failed. Blocks that came from others stay encoded, so that they can be read again;
 *       own map partitions are computed again. No step is taken for it.
 *   C3. A partition that depends on a shuffle is computed at home only. A task that reads it from elsewhere (a union, a
 *       coalesce) is sent its rows.
 */
export class CollectiveRunner implements JobRunner {
  readonly #fields: CollectiveRunnerFields;
  readonly #roots = new Map<string, Root>();
  readonly #ordinals = new Map<string, readonly RDD<unknown>[]>();
  readonly #rootOf = new WeakMap<TaskContext, Root>();
  readonly #outputs = new WeakMap<ShuffleDependency, ExchangedOutputs>();
  /** Of shuffles whose map side has failed: on all workers alike. */
  readonly #failedTries = new WeakMap<ShuffleDependency, number>();
  #updates: [number, unknown][] = [];
  #progress = Promise.withResolvers<void>();
  #failure: Error | undefined;

  constructor(fields: CollectiveRunnerFields) {
    this.#fields = fields;
  }

  get #count(): number {
    return this.#fields.links.length;
  }

  /** What map sides have added to accumulators since the last call. */
  takeUpdates(): Updates {
    const updates = this.#updates;
    this.#updates = [];
    return updates;
  }

  /** The batch is over, and those before it: nobody asks for their partitions any more. */
  forget(batchId: number): void {
    for (const [key, root] of this.#roots) {
      if (root.batchId > batchId) continue;
      this.#roots.delete(key);
      this.#ordinals.delete(key);
    }
  }

  /** Nothing will come from the other workers any more. */
  fail(error: Error): void {
    this.#failure = error;
    this.#wake();
  }

  /** An action of the program, called in a function of transform and the like: on all workers, with all results for all. */
  async run<T, R>(
    rdd: RDD<T>,
    task: (partition: number, context: TaskContext) => R | Promise<R>,
    partitions: readonly number[] = Array.from({ length: rdd.numPartitions }, (_, i) => i),
  ): Promise<R[]> {
    if (TaskContext.get() !== undefined) throw refusedInTask(rdd);
    const scope = currentScope();
    if (scope === undefined) throw refusedOutside(rdd);
    const { batchId } = scope;
    const key = `${scope.key}/job ${scope.jobs++}`;
    try {
      return await this.#runJob({ key, rdd, batchId }, task, partitions);
    } finally {
      this.#fields.count(this.takeUpdates());
    }
  }

  /** Computes the shuffles that partitions of the root read. It is known by its key until its batch is over. */
  async prepare(root: Root): Promise<void> {
    this.#begin(root);
    await this.#materialise(root.rdd, root.batchId);
  }

  /**
   * Runs the tasks of all partitions that are at home here, for what they leave behind. Their failures are those of this
   * worker alone: whoever asks hears of them.
   */
  async advance(root: Root): Promise<void> {
    await this.prepare(root);
    const { rdd } = root;
    const own = Array.from({ length: rdd.numPartitions }, (_, i) => i).filter((p) => this.#isHome(p));
    await this.#runOwn(root, own, async (partition, context) => {
      await rdd.pipe(partition, context, () => {});
    });
  }

  #begin(root: Root): void {
    this.#roots.set(root.key, root);
    this.#wake();
  }

  /** The rows of a partition that is at home here. */
  async read(key: string, partition: number): Promise<Reading> {
    const root = this.#roots.get(key);
    invariant(root !== undefined, `${key} is read before it was prepared.`);
    const { rdd } = root;
    const [reading] = await this.#fields.stages.run(rdd, [partition], {
      beforeRetry: () => this.#repair(rdd),
      task: (_, context) => blocksOf(rdd, partition, context),
      attempt: async (context, work) => {
        this.#rootOf.set(context, root);
        const { result, updates } = await runCollecting(context, work);
        return { ...result, result: this.#numbered(updates) };
      },
    });
    return reading!;
  }

  // Partitions at home elsewhere

  pipeOther<T>(rdd: RDD<T>, partition: number, task: TaskContext, push: (row: T) => void): void | Promise<void> {
    const home = partition % this.#count;
    const root = this.#rootOf.get(task);
    if (home === this.#fields.index || root === undefined || !isBound(rdd)) return rdd.pipe(partition, task, push);
    return this.#fetch(this.#fields.links[home]!, root, rdd, partition, task, push as (row: unknown) => void);
  }

  async #fetch(
    link: Link,
    root: Root,
    rdd: RDD<unknown>,
    partition: number,
    task: TaskContext,
    push: (row: unknown) => void,
  ): Promise<void> {
    const ordinal = this.#lineage(root).indexOf(rdd);
    invariant(ordinal >= 0, `${rdd.name} is no part of ${root.key}.`);
    const request: OtherRequest = { root: root.key, ordinal, partition };
    const reader = link.read('other', request);
    try {
      for (let block = await reader.next(); block !== undefined; block = await reader.next()) {
        const done = pushRows(decodeRows(block), push, task);
        if (done !== undefined) await done;
      }
    } catch (error) {
      reader.cancel();
      throw error;
    }
    // Counts when the task that reads it succeeds.
    for (const [accumulator, update] of reader.result as Updates) {
      this.#fields.accumulators()[accumulator]?.merge(update);
    }
  }

  /** For another worker: see `pipeOther`. */
  async readOther(argument: unknown): Promise<Reading> {
    const { root: key, ordinal, partition } = argument as OtherRequest;
    // The one that asks may be ahead of us.
    const root = await this.#reached(() => this.#roots.get(key));
    const rdd = this.#lineage(root)[ordinal];
    invariant(rdd !== undefined, `${key} has no RDD ${ordinal}.`);
    await this.#reached(() => shufflesOf(rdd, () => false).every(({ hasOutputs }) => hasOutputs) || undefined);
    const context = this.#context(root, rdd, partition);
    const { result, updates } = await runCollecting(context, () => blocksOf(rdd, partition, context));
    return { ...result, result: this.#numbered(updates) };
  }

  /** What `look` gives, as soon as it gives something. */
  async #reached<R>(look: () => R | undefined): Promise<R> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const found = look();
      if (found !== undefined) return found;
      await this.#progress.promise;
    }
  }

  /** All RDDs a root is computed from, in an order that follows from the program alone. */
  #lineage(root: Root): readonly RDD<unknown>[] {
    let lineage = this.#ordinals.get(root.key);
    if (lineage === undefined) {
      lineage = lineageOf(root.rdd);
      this.#ordinals.set(root.key, lineage);
    }
    return lineage;
  }

  // Jobs and shuffles

  async #runJob<R>(
    root: Root,
    task: (partition: number, context: TaskContext) => R | Promise<R>,
    partitions: readonly number[],
  ): Promise<R[]> {
    const { rdd } = root;
    await this.prepare(root);
    const step = this.#fields.exchange.begin(root.key, `${signatureOf(rdd)}, partitions ${partitions.join(',')}`);
    const own = partitions.filter((partition) => this.#isHome(partition));
    const results = new Map<number, R>();
    const failure = await this.#stage(root, own, async (partition, context) => {
      results.set(partition, await task(partition, context));
    });
    const { values } = await step.end(failure === undefined ? this.#outcomeOf(results, rdd) : { failure });
    for (const bytes of values.values()) {
      for (const [partition, result] of decodeValue(bytes) as [number, R][]) results.set(partition, result);
    }
    return partitions.map((partition) => results.get(partition) as R);
  }

  /** In lineage order; what lies behind a shuffle first. Rows that are kept don't count: others may not have them. */
  async #materialise(rdd: RDD<unknown>, batchId: number): Promise<void> {
    for (const shuffle of shufflesOf(rdd, () => false)) {
      if (!shuffle.hasOutputs) await shuffle.materialise(() => this.#mapSide(shuffle, batchId));
    }
    this.#wake();
    await this.#repair(rdd);
  }

  async #mapSide(shuffle: ShuffleDependency, batchId: number): Promise<ShuffleOutputs<unknown>> {
    const { rdd } = shuffle;
    await this.#materialise(rdd, batchId);
    const tries = this.#failedTries.get(shuffle) ?? 0;
    const root = { key: `${shuffle.key}, try ${tries}`, rdd, batchId };
    const step = this.#fields.exchange.begin(
      root.key,
      `${shuffle.name}: ${rdd.numPartitions} map partitions, read by ${shuffle.readers}\n${signatureOf(rdd)}`,
    );
    this.#begin(root);
    const own = new Map<number, readonly unknown[]>();
    const partitions = Array.from({ length: rdd.numPartitions }, (_, i) => i).filter((p) => this.#isHome(p));
    const failure = await this.#stage(root, partitions, async (partition, context) => {
      const blocks = await shuffle.mapTask(partition, context);
      own.set(partition, blocks);
      for (const worker of step.peers) step.send(worker, partition, this.#blocksFor(worker, shuffle, blocks));
    });
    const { blocks: received } = await step.end({ failure }).catch((error) => {
      this.#failedTries.set(shuffle, tries + 1);
      throw error;
    });
    const outputs = new ExchangedOutputs(shuffle, root, own, received, (p) => this.#isHome(p));
    this.#outputs.set(shuffle, outputs);
    return outputs;
  }

  #blocksFor(worker: number, shuffle: ShuffleDependency, blocks: readonly unknown[]): SentBlocks {
    return blocks.flatMap((block, reducePartition) =>
      shuffle.readers === 'all' || reducePartition % this.#count === worker
        ? [[reducePartition, encodeColumns(shuffle.pack(block), shuffle.name)] as const]
        : [],
    );
  }

  #outcomeOf(results: ReadonlyMap<number, unknown>, rdd: RDD<unknown>): StepOutcome {
    try {
      return { value: encodeResults(results, rdd.name) };
    } catch (error) {
      return { failure: this.#failureOf(error, rdd, Math.min(...results.keys())) };
    }
  }

  #failureOf(error: unknown, { name: stageName }: RDD<unknown>, partition: number): StepOutcome['failure'] {
    return { partition, error: toErrorRecord(error, { worker: this.#fields.index, stageName }) };
  }

  /** Runs tasks of this worker. Resolves with the failure: the others must be told of it. */
  async #stage(
    root: Root,
    partitions: readonly number[],
    task: (partition: number, context: TaskContext) => Promise<void>,
  ): Promise<StepOutcome['failure']> {
    const failed = new Map<unknown, number>();
    try {
      await this.#runOwn(root, partitions, async (partition, context) => {
        try {
          return await task(partition, context);
        } catch (error) {
          failed.set(error, partition);
          throw error;
        }
      });
      return undefined;
    } catch (error) {
      const ownPartition = error instanceof TidemarkError ? error.context.partition : undefined;
      return this.#failureOf(error, root.rdd, failed.get(error) ?? Number(ownPartition ?? 0));
    }
  }

  async #runOwn(
    root: Root,
    partitions: readonly number[],
    task: (partition: number, context: TaskContext) => Promise<void>,
  ): Promise<void> {
    await this.#fields.stages.run(root.rdd, partitions, {
      beforeRetry: () => this.#repair(root.rdd),
      task,
      attempt: async (context, work) => {
        this.#rootOf.set(context, root);
        const { result, updates } = await runCollecting(context, work);
        this.#updates.push(...this.#numbered(updates));
        return result;
      },
    });
  }

  /** C2. */
  async #repair(rdd: RDD<unknown>): Promise<void> {
    for (const shuffle of shufflesOf(rdd, () => false)) {
      const outputs = this.#outputs.get(shuffle);
      if (shuffle.isMaterialised || outputs === undefined) continue;
      await this.#repair(shuffle.rdd);
      await shuffle.materialise(async () => {
        const own = new Map<number, readonly unknown[]>();
        for (const partition of outputs.ownPartitions) {
          const context = this.#context(outputs.root, shuffle.rdd, partition);
          const { result } = await runCollecting(context, () => shuffle.mapTask(partition, context));
          own.set(partition, result);
        }
        const repaired = outputs.withOwn(own);
        this.#outputs.set(shuffle, repaired);
        return repaired;
      });
    }
  }

  #context(root: Root, rdd: RDD<unknown>, partition: number): TaskContext {
    const context = this.#fields.stages.context(rdd, partition);
    this.#rootOf.set(context, root);
    return context;
  }

  #isHome(partition: number): boolean {
    return partition % this.#count === this.#fields.index;
  }

  /** Of accumulators of the program; those that a batch has made count in this thread. */
  #numbered(updates: ReadonlyMap<UpdateReceiver, unknown>): [number, unknown][] {
    const numbered: [number, unknown][] = [];
    const known = this.#fields.accumulators();
    for (const [receiver, update] of updates) {
      const number = known.indexOf(receiver);
      if (number >= 0) numbered.push([number, update]);
      else receiver.merge(update);
    }
    return numbered;
  }

  #wake(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers<void>();
  }
}

async function blocksOf(rdd: RDD<unknown>, partition: number, context: TaskContext): Promise<Reading> {
  const writer = new BlockWriter(rdd.name);
  await rdd.pipe(partition, context, writer.push);
  return { blocks: writer.finish() };
}
