import { TidemarkError } from '../base/errors.ts';
import type { Placement } from '../dstream/batch.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import type { StreamNode } from '../dstream/stream-node.ts';
import type { RDD } from '../rdd/rdd.ts';
import { markFinal } from '../rdd/stage-runner.ts';
import type { SourcePlan } from '../sources/source.ts';
import type { SealedPart } from '../state/sealed-part.ts';
import { BlockWriter, decodeRows } from './block-codec.ts';
import type { Updates } from './collective-runner.ts';
import type { Reading } from './link.ts';
import type { BatchMessage, PrepareCall, Prepared, RowsRead, SourceRead } from './protocol.ts';
import { RemoteRDD } from './remote-rdd.ts';
import type { Team } from './team.ts';
import type { WorkerGroup } from './worker-group.ts';

export interface RemoteBatchFields {
  readonly batchId: number;
  readonly timeMs: number;
  readonly zeroTimeMs: number;
  readonly generation: number;
  readonly isRemembered: boolean;
  /** By source uid. */
  readonly plans: ReadonlyMap<string, SourcePlan>;
}

/** A partition of a stream, and how many of them the driver's graph has. */
interface Wanted {
  readonly node: number;
  readonly expected: number;
  readonly partition: number;
}

/** After so many rows others may have their turn. */
const rowsPerLook = 1024;

/** A batch that ends so many teams would end any number of them. */
const teamsMax = 4;

/** What one team has been asked for in this batch, by the ids of streams. */
interface AskedOf {
  readonly team: Team;
  readonly prepared: Map<number, Promise<number | undefined>>;
  readonly advanced: Set<number>;
}

/**
 * One batch, as far as worker threads compute it: gives the driver's graph RDDs whose rows are there.
 *
 * Nothing is computed before the first row is asked for, or state is advanced. When the team is lost the next one is told of
 * the batch and asked again, unless rows had been handed on already: then the driver's task fails, and is tried again.
 */
export class RemoteBatch implements Placement {
  readonly #group: WorkerGroup;
  readonly #message: Omit<BatchMessage, 'keyCounts'>;
  readonly #plans: ReadonlyMap<string, SourcePlan>;
  readonly #advanced = new Map<StatefulNode<unknown>, number>();
  #asked: AskedOf | undefined;
  /** That have begun this batch. */
  #teams = 0;
  #isOver = false;

  constructor(group: WorkerGroup, { plans, ...fields }: RemoteBatchFields, seed: number) {
    this.#group = group;
    this.#plans = plans;
    this.#message = { ...fields, plans: [...plans], seed };
  }

  generate<T>(stream: StreamNode<T>, compute: () => RDD<T> | undefined): RDD<T> | undefined {
    const local = compute();
    // After the batch only what is remembered can be read: rows that are kept here.
    if (local === undefined || this.#isOver) return local;
    if (!this.#group.runs(stream)) return local;
    return new RemoteRDD<T>(local, (partition, push) =>
      this.#read({ node: stream.id, expected: local.numPartitions, partition }, push as (row: unknown) => void),
    );
  }

  /** Runs the tasks of a stateful stream whose state the workers hold. `expected`: so many partitions has the driver's. */
  async advance(node: StatefulNode<unknown>, expected: number): Promise<void> {
    await this.#withTeam((team) => this.#advanceOn(team, node, expected));
    this.#advanced.set(node, expected);
  }

  /** What the batch has done to the state that workers hold: see DividedState. */
  seal(): Promise<ReadonlyMap<number, readonly SealedPart[]>> {
    return this.#withTeam(async (team) => {
      // A team that has taken the place of another has its state of before the batch.
      for (const [node, expected] of this.#advanced) await this.#advanceOn(team, node, expected);
      return this.#group.state.seal(team);
    });
  }

  async #advanceOn(team: Team, { id: node }: StatefulNode<unknown>, expected: number): Promise<void> {
    const { advanced } = this.#asked!;
    if (advanced.has(node)) return;
    const answers = (await team.callAll('advance', { batchId: this.#message.batchId, node })) as Prepared[];
    const { numPartitions } = answers[0]!;
    if (numPartitions !== expected) throw otherPartitions(this.#group, node, expected, numPartitions);
    advanced.add(node);
    // Once, however many teams it takes.
    const isFirst = ![...this.#advanced.keys()].some(({ id }) => id === node);
    if (isFirst) this.#group.countOutside(answers.flatMap(({ updates }) => updates));
  }

  /** As often as teams are lost meanwhile. */
  async #withTeam<R>(work: (team: Team) => Promise<R>): Promise<R> {
    for (;;) {
      try {
        const team = await this.#group.team();
        await this.#begin(team);
        return await work(team);
      } catch (error) {
        if (!this.#mayAskAgain(error)) throw error;
      }
    }
  }

  /** For workers: the rows of a source that only this thread can read. */
  async sendSource({ batchId, uid, partition }: SourceRead): Promise<Reading> {
    const node = this.#group.graph.sources.find((candidate) => candidate.uid === uid);
    const plan = this.#plans.get(uid);
    if (this.#isOver || batchId !== this.#message.batchId || node === undefined || plan === undefined)
      throw this.#over();
    const rows: unknown[] = [];
    await node.source.read(plan, partition, (chunk) => {
      for (let i = 0; i < chunk.length; i++) rows.push(chunk[i]);
    });
    const { turns } = this.#group;
    const writer = new BlockWriter(uid);
    for (let i = 0; i < rows.length; i++) {
      writer.push(rows[i]);
      if (i % rowsPerLook === 0 && turns.isOver) await turns.give();
    }
    return { blocks: writer.finish() };
  }

  /** The batch has been computed, or has failed: the workers let go of it. */
  end(): void {
    this.#isOver = true;
    this.#asked?.team.tellAll('end', this.#message.batchId);
  }

  /** It has failed: the state stays as it was. */
  discard(): void {
    if (this.#asked !== undefined) this.#group.state.discard(this.#asked.team);
  }

  async #read(wanted: Wanted, push: (row: unknown) => void): Promise<void> {
    let pushed = 0;
    const count = (row: unknown): void => {
      pushed++;
      push(row);
    };
    for (;;) {
      try {
        return await this.#readFrom(await this.#group.team(), wanted, count);
      } catch (error) {
        if (pushed > 0 || !this.#mayAskAgain(error)) throw error;
      }
    }
  }

  #mayAskAgain(error: unknown): boolean {
    return this.#group.isLoss(error) && this.#teams <= teamsMax;
  }

  /** What a worker has thrown for good: it has tried as often as a task is tried. */
  async #fromWorkers<R>(answer: Promise<R>): Promise<R> {
    try {
      return await answer;
    } catch (error) {
      if (!this.#mayAskAgain(error)) markFinal(error);
      throw error;
    }
  }

  async #readFrom(team: Team, { node, expected, partition }: Wanted, push: (row: unknown) => void): Promise<void> {
    await this.#begin(team);
    const numPartitions = await this.#fromWorkers(this.#prepare(team, node));
    if (numPartitions !== expected) throw otherPartitions(this.#group, node, expected, numPartitions);
    const { batchId } = this.#message;
    const reader = team.link(partition % team.count).read('rows', { batchId, node, partition } satisfies RowsRead);
    try {
      for (;;) {
        const block = await this.#fromWorkers(reader.next());
        if (block === undefined) break;
        const rows = decodeRows(block);
        for (let i = 0; i < rows.length; i++) push(rows[i]);
        if (this.#group.turns.isOver) await this.#group.turns.give();
      }
    } catch (error) {
      reader.cancel();
      throw error;
    }
    this.#group.countUpdates(reader.result as Updates);
  }

  /** Tells the team of the batch, once, when it has the state of before. */
  async #begin(team: Team): Promise<void> {
    if (this.#isOver) throw this.#over();
    if (this.#asked?.team === team) return;
    await this.#group.state.give(team);
    // Who waited may come with a team that was lost since: the next one must not be told of the batch twice.
    team.requireWhole();
    if (this.#asked?.team === team) return;
    this.#asked = { team, prepared: new Map(), advanced: new Set() };
    this.#teams++;
    const { keyCounts } = this.#group.state;
    team.tellAll('batch', { ...this.#message, keyCounts } satisfies BatchMessage);
  }

  /** Once per stream and team. Resolves with the partitions the workers have. */
  async #prepare(team: Team, node: number): Promise<number | undefined> {
    if (this.#isOver) throw this.#over();
    team.requireWhole();
    const { prepared } = this.#asked!;
    let partitions = prepared.get(node);
    if (partitions === undefined) {
      partitions = this.#prepareOn(team, node);
      partitions.catch(() => {}); // Met by whoever reads.
      prepared.set(node, partitions);
    }
    return partitions;
  }

  async #prepareOn(team: Team, node: number): Promise<number | undefined> {
    const { batchId } = this.#message;
    const answers = (await team.callAll('prepare', { batchId, node } satisfies PrepareCall)) as Prepared[];
    // They count once, whichever task of the driver was the first to ask.
    this.#group.countOutside(answers.flatMap(({ updates }) => updates));
    return answers[0]!.numPartitions;
  }

  #over(): TidemarkError {
    return new TidemarkError(
      'STATUS_INVALID',
      `Rows of batch ${this.#message.batchId} are asked for, and the batch is over: read an RDD within the function it is ` +
        'given to, or call remember(duration) on the context and use slice().',
    );
  }
}

function otherPartitions(group: WorkerGroup, node: number, here: number, there: number | undefined): TidemarkError {
  const { operator } = group.graph.streams[node]!;
  return new TidemarkError(
    'WORKERS_DIVERGED',
    `The stream #${node} ${operator} has ${here} partitions on the driver's thread and ${there ?? 'no RDD'} on the workers. ` +
      'What create() and the functions of transform build must not depend on time, randomness or the thread.',
  );
}
