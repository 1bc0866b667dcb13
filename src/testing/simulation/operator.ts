import { TidemarkError } from '../../base/errors.ts';
import { drainStream } from '../../operate/drain-stream.ts';
import type { BatchName } from '../../operate/find-point.ts';
import { type ForkReport, forkStream } from '../../operate/fork-stream.ts';
import type { OperatorOptions } from '../../operate/operator-options.ts';
import { type RewindReport, rewindStream } from '../../operate/rewind-stream.ts';
import { createSavepoint, removeSavepoint } from '../../operate/savepoints.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { savepointMark } from './marks.ts';
import { SimulatedStore } from './simulated-store.ts';
import { Simulation } from './simulation.ts';

/** What operators have done, by kind; an attempt that failed or died counts only if it took effect. */
export interface OperatorCounts {
  savepoints: number;
  savepointsRemoved: number;
  drains: number;
  rewinds: number;
  forks: number;
}

interface ToolOptions extends OperatorOptions {
  readonly timeoutMs: number;
}

const networkEnds = ['STORE_UNAVAILABLE', 'STORE_FORBIDDEN', 'COMMIT_UNKNOWN'];

/**
 * The people beside a stream: each takes a tool in a process of its own, which meets all that drivers meet. What a tool
 * says that it has done is compared with what the history has seen.
 *
 * Invariants
 *   H10. A tool that succeeds has done what it says; one that fails says why, and that is so. A drained stream has
 *        committed and published all that had arrived when it was asked.
 */
export class SimulatedOperator<T> {
  readonly counts: OperatorCounts = { savepoints: 0, savepointsRemoved: 0, drains: 0, rewinds: 0, forks: 0 };
  readonly forks: Simulation<T>[] = [];
  readonly #simulation: Simulation<T>;
  #made = 0;
  #busy = 0;

  constructor(simulation: Simulation<T>) {
    this.#simulation = simulation;
  }

  /** Two at a time: more only wait for each other. */
  get isBusy(): boolean {
    return this.#busy >= 2;
  }

  async savepoint(): Promise<void> {
    const { world, history } = this.#simulation;
    const [mark] = world.chance(0.5) ? this.#savepoints() : [];
    if (mark !== undefined) {
      const isGone = await this.#use(
        'savepoint rm',
        ['REQUEST_UNANSWERED', 'STREAM_NOT_STOPPED', 'OPTION_INVALID'],
        (store, options) => removeSavepoint(store, savepointMark(mark), options).then(() => true),
      );
      if (!isGone) return;
      this.counts.savepointsRemoved += 1;
      if (history.log.savepoints.has(mark)) this.#wrong(`Savepoint ${mark} is there after it was removed.`);
      return;
    }
    const made = ++this.#made;
    const refusals = ['REQUEST_UNANSWERED', 'STREAM_NOT_STOPPED', 'BATCH_NOT_RETAINED'];
    const row = await this.#use('savepoint', refusals, (store, options) =>
      createSavepoint(store, { ...options, name: savepointMark(made), takeOver: this.#simulation.world.chance(0.2) }),
    );
    if (row === undefined) return;
    this.counts.savepoints += 1;
    // Somebody may have removed it while this tool stood still.
    if (!history.log.hadSavepoint(made)) this.#wrong(`Savepoint ${made} is said to be made, and never was.`);
    if (history.ids.get(row.batchId) === undefined)
      this.#wrong(`Savepoint ${made} keeps batch ${row.batchId}, which is none.`);
  }

  /** Whether the stream was stopped. */
  async drain(): Promise<boolean> {
    const { history, topic, world } = this.#simulation;
    const askedMs = world.nowMs;
    const arrived = topic.ends();
    const before = history.stops.length;
    const { isDrained: wasDrained, drains } = history.log;
    const report = await this.#use('drain', ['REQUEST_UNANSWERED'], drainStream);
    if (report === undefined) return false;
    const isStopped = history.log.drains > drains || (report.wasStopped && wasDrained);
    if (!isStopped) this.#wrong('A drain says that the stream is stopped, and it was not.');
    const stops = history.stops.slice(before).filter(({ lastBatchId }) => lastBatchId === report.lastBatch?.batchId);
    // A driver that was stopping for another reason has not read what came later.
    const asked = stops.filter(({ driver }) => (history.drainsAccepted.get(driver) ?? 0) >= askedMs);
    const isComplete = asked.every(({ committedTo, unpublished }) => {
      return unpublished === 0 && arrived.every((end, partition) => (committedTo[partition] ?? 0) >= end);
    });
    if (!isComplete) {
      this.#wrong(`A drain has stopped the stream; [${arrived}] rows had arrived. Stops: ${JSON.stringify(asked)}.`);
    }
    if (asked.length > 0) this.counts.drains += 1;
    return true;
  }

  async rewind(): Promise<void> {
    const simulation = this.#simulation;
    const { world } = simulation;
    const way = world.pick(['over a driver', 'over a sleeper', 'after a drain', 'after a crash'] as const);
    simulation.holds += 1;
    try {
      let takeOver = way !== 'after a drain';
      if (way === 'after a drain' && !(await this.drain())) takeOver = world.chance(0.5);
      // It wakes when others have gone back behind what it was about to do.
      if (way === 'over a sleeper') {
        for (const { driver } of simulation.lives) simulation.freeze(driver.process, world.between(1, 7));
      }
      if (way === 'after a crash') for (const { driver } of [...simulation.lives]) simulation.kill(driver.process);
      await this.rewindTo(this.#point(), takeOver);
    } finally {
      simulation.holds -= 1;
    }
  }

  async rewindTo(to: BatchName, takeOver: boolean): Promise<RewindReport | undefined> {
    const { history } = this.#simulation;
    const lastBefore = history.ids.last;
    const report = await this.#use(
      `rewind to ${String(to)}`,
      ['BATCH_NOT_RETAINED', 'STREAM_NOT_STOPPED', 'OPTION_INVALID'],
      (store, options) => rewindStream(store, to, { ...options, takeOver }),
      (code) => code !== 'BATCH_NOT_RETAINED' || this.#mayBeRefused(to, lastBefore),
    );
    if (report === undefined) return undefined;
    this.counts.rewinds += 1;
    const done = history.ids.rewindOf(report.generation);
    const isDone = done?.batchId === report.batchId && done.station === history.ids.get(report.to.batchId)?.station;
    if (!isDone) this.#wrong(`A rewind says ${JSON.stringify(report)}, and the log does not.`);
    if (typeof to === 'number' && report.to.batchId !== to)
      this.#wrong(`A rewind to ${to} went to ${report.to.batchId}.`);
    return report;
  }

  async fork(
    at: BatchName | undefined = this.#simulation.world.chance(0.5) ? this.#point() : undefined,
  ): Promise<ForkReport | undefined> {
    const simulation = this.#simulation;
    const { history, options, place } = simulation;
    const fork = new Simulation<T>(`memory:fork-${this.forks.length + 1}-${++this.#made}`, place, options, simulation);
    const lastBefore = history.ids.last;
    const report = await this.#use(
      `fork at ${String(at)}`,
      ['BATCH_NOT_RETAINED', 'OPTION_INVALID'],
      (store, tool, process) =>
        forkStream(store, new SimulatedStore(process, fork.storage), { ...tool, ...(at === undefined ? {} : { at }) }),
      (code) => code !== 'BATCH_NOT_RETAINED' || at === undefined || this.#mayBeRefused(at, lastBefore),
    );
    if (report === undefined) return undefined;
    this.counts.forks += 1;
    const isMeant = at === undefined ? report.batchId >= lastBefore : typeof at !== 'number' || report.batchId === at;
    if (!isMeant)
      this.#wrong(`A fork at ${at ?? `the last batch, ${lastBefore} or later,`} begins after batch ${report.batchId}.`);
    const origin = history.ids.get(report.batchId)?.station;
    if (origin === undefined || fork.history.line.head !== origin) {
      this.#wrong(
        `A fork says that it begins after batch ${report.batchId}; its record says ${fork.history.line.head?.batchId}.`,
      );
    } else {
      fork.history.ids.begin(origin, fork.history.log.tail, report.batchId);
    }
    this.forks.push(fork);
    return report;
  }

  nameOf(mark: number): string {
    return savepointMark(mark);
  }

  /** A batch that a stopped stream can always go back to; undefined: there is none. */
  lastSafe(): number | undefined {
    const { world, history } = this.#simulation;
    const safe = history.ids.all().filter(({ batchId, isRewind, givenUpBy, slot }) => {
      return !isRewind && givenUpBy === undefined && slot > history.log.manifestSlot && batchId < history.ids.last;
    });
    return safe.length === 0 ? undefined : world.pick(safe).batchId;
  }

  /** A recent batch, by id, time or savepoint; also such as are gone or given up. */
  #point(): BatchName {
    const { world, history } = this.#simulation;
    const [savepoint] = world.chance(0.35) ? this.#savepoints() : [];
    if (savepoint !== undefined) return savepointMark(savepoint);
    const ids = history.ids.all().slice(-8);
    if (ids.length === 0) return 1;
    const { batchId, station } = world.pick(ids);
    return world.chance(0.8) ? batchId : new Date(station.timeMs);
  }

  #savepoints(): readonly number[] {
    const marks = [...this.#simulation.history.log.savepoints.keys()];
    return marks.length === 0 ? [] : [this.#simulation.world.pick(marks)];
  }

  /** It is not behind, was given up, or is older than the newest manifest: what comes after that is always kept. */
  #mayBeRefused(to: BatchName, lastBefore: number): boolean {
    const { ids, log } = this.#simulation.history;
    if (to instanceof Date) return true;
    const id = typeof to === 'number' ? ids.get(to) : ids.all().findLast(({ slot }) => slot < (this.#slotOf(to) ?? 0));
    if (id === undefined || id.givenUpBy !== undefined || id.isRewind || id.batchId >= lastBefore) return true;
    return typeof to === 'number' && id.slot <= log.manifestSlot;
  }

  #slotOf(name: string): number | undefined {
    const mark = Number(name.slice(name.lastIndexOf('-') + 1, -1));
    return this.#simulation.history.log.savepoints.get(mark)?.slot;
  }

  /** One tool, from its start to its end or death. Undefined: it did not get through. */
  async #use<R>(
    what: string,
    refusals: readonly string[],
    work: (store: ObjectStore, options: ToolOptions, process: ReturnType<Simulation<T>['spawn']>) => Promise<R>,
    isTrue: (code: string) => boolean = () => true,
  ): Promise<R | undefined> {
    const simulation = this.#simulation;
    const { world, history, options, verdict } = simulation;
    const process = simulation.spawn();
    const isNew = history.counts.fences === 0;
    const fencesBefore = history.counts.fences;
    const deletionsBefore = history.log.deletions;
    world.note(() => `tool ${process.id}: ${what}`);
    this.#busy += 1;
    const timeoutMs = Math.min(300_000, world.between(1, 8) * options.batchInterval.milliseconds);
    const tool: ToolOptions = {
      clock: process,
      random: process.random,
      crashHook: simulation.crashHookOf(process),
      timeoutMs,
    };
    const done = work(simulation.storeOf(process), tool, process).then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    const outcome = await Promise.race([done, process.dead]);
    this.#busy -= 1;
    if (outcome === undefined) return undefined;
    process.kill(false);
    simulation.others.delete(process);
    if ('value' in outcome) {
      world.note(() => `tool ${process.id}: ${what}: done`);
      return outcome.value;
    }
    const { error } = outcome;
    const code = error instanceof TidemarkError ? error.code : '';
    world.note(() => `tool ${process.id}: ${what}: ${String(error)}`);
    const others = history.counts.fences - fencesBefore - (history.epochOf(process.id) === undefined ? 0 : 1);
    const isOvertaken = history.log.deletions > deletionsBefore && /cleaned up|removed/.test(String(error));
    const isExplained =
      (networkEnds.includes(code) && !simulation.mustLive) ||
      (refusals.includes(code) && isTrue(code) && !simulation.mustLive) ||
      (code === 'CHECKPOINT_MISSING' && isNew) ||
      (code === 'FENCED' && (others > 0 || isOvertaken));
    if (!isExplained) verdict.violate(`Tool '${what}' ended with ${String(error)}`, error); // H10
    return undefined;
  }

  #wrong(message: string): void {
    this.#simulation.verdict.violate(message); // H10
  }
}
