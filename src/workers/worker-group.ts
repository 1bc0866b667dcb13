import { type Clock, SystemClock } from '../base/clock.ts';
import { TidemarkError, toError } from '../base/errors.ts';
import type { LoopBlockedInfo } from '../base/loop-blocked.ts';
import type { Random } from '../base/random.ts';
import type { Turns } from '../base/turns.ts';
import type { DStreamGraph } from '../dstream/graph.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import type { StreamNode } from '../dstream/stream-node.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import { outsideOfTasks } from '../rdd/task.ts';
import type { Updates } from './collective-runner.ts';
import { DividedState, type EncodedTable } from './divided-state.ts';
import { shapeOf } from './graph-shape.ts';
import type { Reading } from './link.ts';
import type { SourceRead } from './protocol.ts';
import { RemoteBatch, type RemoteBatchFields } from './remote-batch.ts';
import { SourceLines } from './source-lines.ts';
import { remoteStreams } from './stream-placement.ts';
import { Team } from './team.ts';

export interface WorkerGroupOptions {
  readonly count: number;
  /** URL of the module that builds the program. */
  readonly module: string;
  readonly graph: DStreamGraph;
  readonly rdds: RddContext;
  readonly clock: Clock;
  readonly random: Random;
  readonly warn: (text: string) => void;
  /** A function of the program held up a worker. */
  readonly loopBlocked: (info: LoopBlockedInfo) => void;
  /** Called once, when no worker threads can be had any more. */
  readonly fail: (error: Error) => void;
}

/** Lost teams within this time after which there is no new one. */
const lossesMax = 4;
const lossesWithinMs = 60_000;

/** Longest time a module may take to start its context. */
const loadMsMax = 60_000;

/**
 * The worker threads of a running program, seen from the driver's thread.
 *
 * Owns the threads: starts them, replaces all when one is lost, a bounded number of times, and ends them.
 *
 * A lost team loses nothing but work: what it computed follows from the plan of the batch and the committed state, and is
 * computed again by the next one, when it is asked for it or the driver's task that read it is tried again.
 */
export class WorkerGroup {
  /** Keyed state that the threads hold. */
  readonly state: DividedState;
  readonly #options: WorkerGroupOptions;
  readonly #shape: readonly string[];
  readonly #remote: ReadonlySet<StreamNode<unknown>>;
  readonly #closing = new Set<Promise<void>>();
  readonly #lines = new SourceLines(() => this.team());
  #team: Team;
  #batch: RemoteBatch | undefined;
  #lossesMs: number[] = [];
  #failure: Error | undefined;

  private constructor(options: WorkerGroupOptions) {
    this.#options = options;
    this.#shape = shapeOf(options.graph);
    const { graph } = options;
    this.#remote = remoteStreams(graph);
    const reachable = graph.reachable();
    this.state = new DividedState(graph.stateful.filter((node) => reachable.has(node) && this.#remote.has(node)));
    this.#team = this.#newTeam();
    this.#lines.divide(graph, options.count);
  }

  /** Resolves when all threads have the program. @throws WORKERS_DIVERGED, WORKER_LOST, what loading the module throws */
  static async start(options: WorkerGroupOptions): Promise<WorkerGroup> {
    const group = new WorkerGroup(options);
    try {
      await group.#loaded(group.#team);
    } catch (error) {
      await group.close();
      throw error;
    }
    return group;
  }

  get turns(): Turns {
    return this.#options.rdds.turns;
  }

  get graph(): DStreamGraph {
    return this.#options.graph;
  }

  runs(stream: StreamNode<unknown>): boolean {
    return this.#remote.has(stream);
  }

  /** Resolves when the threads have the committed state. @throws WORKER_LOST, and what reading it throws */
  async giveState(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.state.give(await this.team());
        return;
      } catch (error) {
        if (!this.isLoss(error) || tries > lossesMax) throw error;
      }
    }
  }

  /** The sealed batch is part of the state. `isStored`: there is a checkpoint. */
  mergeState(isStored: boolean): Promise<void> {
    return this.state.merge(isStored, (error) => this.isLoss(error));
  }

  /** For a manifest: see DividedState. Lost: the threads that had it are gone. */
  async encodeState(
    nodes: readonly StatefulNode<unknown>[],
    alpha: number,
  ): Promise<ReadonlyMap<StatefulNode<unknown>, EncodedTable> | 'lost'> {
    const team = this.#team;
    if (!nodes.some((node) => this.state.holds(node))) return new Map();
    try {
      // Threads that have only begun will be given the state with the next batch.
      if (!this.state.isGiven(team)) return 'lost';
      return await this.state.encode(team, nodes, alpha);
    } catch (error) {
      if (this.isLoss(error)) return 'lost';
      throw error;
    }
  }

  /** One batch at a time. */
  async beginBatch(fields: RemoteBatchFields): Promise<RemoteBatch> {
    await this.giveState();
    this.#batch = new RemoteBatch(this, fields, Math.floor(this.#options.random.next() * 2 ** 32));
    return this.#batch;
  }

  /** The threads as they are now, or the next ones, when they are ready. @throws WORKER_LOST when there are no more; CANCELLED */
  async team(): Promise<Team> {
    for (;;) {
      const team = this.#team;
      try {
        await team.ready;
        return team;
      } catch (error) {
        // A team that was lost while it was loading has a successor.
        if (this.#failure !== undefined) throw this.#failure;
        if (team === this.#team) throw error;
      }
    }
  }

  /** True: threads were lost, and there are others. */
  isLoss(error: unknown): boolean {
    if (this.#failure !== undefined || this.state.lossForGood !== undefined) return false;
    return error instanceof TidemarkError && error.code === 'WORKER_LOST';
  }

  /** What tasks on workers have added. Counts in the task of the driver that this is called in, if it is in one. */
  countUpdates(updates: Updates): void {
    const accumulators = this.#options.rdds.programAccumulators;
    for (const [accumulator, update] of updates) accumulators[accumulator]?.merge(update);
  }

  /** The same, whatever task it is called in. */
  countOutside(updates: Updates): void {
    outsideOfTasks(() => this.countUpdates(updates));
  }

  /** Tasks end with CANCELLED. Nothing is asked any more after it. */
  cancel(): void {
    this.#failure ??= new TidemarkError('CANCELLED', 'The work of the worker threads was stopped on request.');
    this.#team.tellAll('cancel', undefined);
    this.#team.fail(this.#failure);
  }

  /** Idempotent. Resolves when no thread is left. */
  async close(): Promise<void> {
    this.#failure ??= new TidemarkError('CANCELLED', 'The worker threads were stopped.');
    await Promise.all([this.#team.close(), ...this.#closing]);
  }

  #newTeam(): Team {
    const { count, module, random, warn, loopBlocked } = this.#options;
    return new Team(count, module, Math.floor(random.next() * 2 ** 32), {
      shape: this.#shape,
      warn,
      loopBlocked,
      readSource: (request) => this.#readSource(request),
      partTold: (worker, message) => this.#lines.told(worker, message),
      count: (updates) => this.countOutside(updates),
      lost: (team, error) => this.#lost(team, error),
    });
  }

  async #readSource(request: SourceRead): Promise<Reading> {
    const batch = this.#batch;
    if (batch !== undefined) return batch.sendSource(request);
    throw new TidemarkError('CANCELLED', `Batch ${request.batchId} is over.`);
  }

  #lost(team: Team, error: Error): void {
    if (team !== this.#team || this.#failure !== undefined) return;
    const closing = team.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    const { clock, warn } = this.#options;
    const nowMs = clock.now();
    this.#lossesMs = [...this.#lossesMs.filter((timeMs) => timeMs > nowMs - lossesWithinMs), nowMs];
    const isLoss = error instanceof TidemarkError && error.code === 'WORKER_LOST';
    if (!isLoss || this.#lossesMs.length > lossesMax) {
      this.#end(isLoss ? lostTooOften(error) : error);
      return;
    }
    warn(`${error.message} The worker threads are started again, and the batch goes on with them.`);
    this.#team = this.#newTeam();
    this.#team.ready.then(
      () => this.#lines.replaced(),
      () => {},
    );
    this.#loaded(this.#team).catch(() => {}); // Told to `lost`, or to whoever waits for the team.
  }

  #end(error: Error): void {
    this.#failure = error;
    this.#options.fail(error);
  }

  /** A module that neither starts a context nor ends to load is not waited for for ever. */
  async #loaded(team: Team): Promise<void> {
    const clock = new SystemClock();
    const giveUp = new AbortController();
    clock.waitUntil(clock.now() + loadMsMax, giveUp.signal).then(
      () => team.fail(notStarted(this.#options.module)),
      () => {},
    );
    try {
      await team.ready;
    } catch (error) {
      throw toError(error);
    } finally {
      giveUp.abort();
    }
  }
}

function lostTooOften(error: Error): TidemarkError {
  return new TidemarkError(
    'WORKER_LOST',
    `Worker threads were lost more than ${lossesMax} times within ${lossesWithinMs / 1000} s, the last time so: ` +
      `${error.message} The stream ends; the next start goes on with the same batch.`,
    { cause: error },
  );
}

function notStarted(module: string): TidemarkError {
  return new TidemarkError(
    'OPTION_INVALID',
    `module is '${module}', and loading it in a worker thread has not started a StreamingContext within ` +
      `${loadMsMax / 1000} s: what stands before start() at its top level runs there too.`,
  );
}
