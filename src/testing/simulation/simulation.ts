import type { CrashHook } from '../../base/crash-points.ts';
import type { Duration } from '../../base/time.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { OperationCounters } from '../../storage/operation-counters.ts';
import { StreamingContext } from '../../streaming-context.ts';
import { SimulatedDriver, type SimulatedProgram } from './driver.ts';
import { noFaults, type SimulationFaults } from './faults.ts';
import { History } from './history.ts';
import type { SimulationModel } from './line.ts';
import { OutboxReader } from './outbox-reader.ts';
import { SimulatedProcess } from './process.ts';
import { type SimulatedStorage, SimulatedStore } from './simulated-store.ts';
import { StoredObjects } from './stored-objects.ts';
import { type SimulatedTopic, TopicOwner } from './topic.ts';
import type { Verdict } from './verdict.ts';
import type { SimulatedWorld } from './world.ts';

/** All that a simulation depends on besides its seed. */
export interface SimulationSettings<T> {
  readonly batchInterval: Duration;
  /** Builds the program, at every start of a driver. */
  readonly program: (driver: SimulatedProgram<T>) => StreamingContext;
  readonly wrapStore: (store: ObjectStore) => ObjectStore;
  readonly faults: SimulationFaults;
  /** Added with every deployment. */
  readonly partitionsPerVersion: number;
  readonly rowsPerPartitionMax: number;
  /** The input knows the epoch of its reader and pushes older ones aside, as Event Hubs does. */
  readonly hasOwner: boolean;
  /** Sources and sinks answer at once. */
  readonly isNear: boolean;
  readonly clockResolutionMs: number;
  readonly model: () => SimulationModel<T>;
}

/** What all streams of a simulation share. */
export interface SimulatedPlace<T> {
  readonly world: SimulatedWorld;
  readonly verdict: Verdict;
  readonly topic: SimulatedTopic<T>;
  /** The faults have ended. */
  isCalm: boolean;
}

/** A driver under way. */
export interface Life<T> {
  readonly driver: SimulatedDriver<T>;
  context: StreamingContext | undefined;
  isStopping: boolean;
}

/** How a driver may end while there are faults. */
const allowedEnds: ReadonlySet<string> = new Set([
  'FENCED',
  'SOURCE_FENCED',
  'COMMIT_UNKNOWN',
  'STORE_UNAVAILABLE',
  'STORE_FORBIDDEN',
  'STOP_TIMEOUT',
  'TASK_FAILED',
]);
const noEnds: ReadonlySet<string> = new Set();

/**
 * The parts of one simulated stream put together: store, verifier, and the processes that live in it.
 * Starts and ends them when told; what befalls them when is decided by `Chaos`. A fork is a stream of its own.
 */
export class Simulation<T> {
  readonly options: SimulationSettings<T>;
  readonly place: SimulatedPlace<T>;
  readonly world: SimulatedWorld;
  readonly topic: SimulatedTopic<T>;
  readonly verdict: Verdict;
  readonly owner = new TopicOwner();
  readonly storage: SimulatedStorage;
  readonly history: History<T>;
  readonly lives = new Set<Life<T>>();
  /** Of tools, and of readers of outboxes. */
  readonly others = new Set<SimulatedProcess>();
  /** By output name. */
  readonly readers = new Map<string, OutboxReader<T>>();
  readonly counts = { starts: 0, crashes: 0, ended: 0 };
  version = 0;
  /** From now on nobody must fail. */
  mustLive = false;
  /** People who want no driver to be started at this time. */
  holds = 0;
  /** By process: the version of its program; undefined: it is no driver. */
  #versions: (number | undefined)[] = [];

  constructor(url: string, place: SimulatedPlace<T>, options: SimulationSettings<T>, origin?: Simulation<T>) {
    this.options = options;
    this.place = place;
    const { world, topic, verdict } = place;
    this.world = world;
    this.topic = topic;
    this.verdict = verdict;
    this.version = origin?.version ?? 0;
    this.history = new History<T>({
      verdict,
      topic,
      versionOf: (process) => this.#versions[process],
      model: options.model,
      note: (text) => world.note(() => (origin === undefined ? text() : `${url}: ${text()}`)),
      origin: origin?.history,
    });
    this.storage = {
      url,
      objects: new StoredObjects(this.history.log),
      faults: () => this.faults(),
      outageUntilMs: 0,
      clockResolutionMs: options.clockResolutionMs,
      batchIntervalMs: options.batchInterval.milliseconds,
      onWriteSent: (process) => {
        if (this.world.chance(this.faults().freezeAtPoint)) this.freeze(process);
      },
      operations: new OperationCounters(),
    };
  }

  faults(): SimulationFaults {
    return this.place.isCalm ? noFaults : this.options.faults;
  }

  /** A new process with the version of the program that is deployed. */
  start(): Life<T> {
    const process = this.spawn(this.version);
    const driver = new SimulatedDriver(process, this, this.version);
    const life: Life<T> = { driver, context: undefined, isStopping: false };
    this.lives.add(life);
    this.counts.starts += 1;
    this.world.note(() => `driver ${process.id} starts, version ${this.version}`);
    void this.#live(life);
    return life;
  }

  /** `version`: of the program of a driver. */
  spawn(version?: number): SimulatedProcess {
    const process = new SimulatedProcess(this.#versions.length, this.world);
    this.#versions.push(version);
    if (version === undefined) this.others.add(process);
    return process;
  }

  storeOf(process: SimulatedProcess): ObjectStore {
    return this.options.wrapStore(new SimulatedStore(process, this.storage));
  }

  /** Named crash points: a process dies there, or stands still. */
  crashHookOf(process: SimulatedProcess): CrashHook {
    return (point) => {
      if (!process.isAlive) return process.forever();
      const { crashAtPoint, freezeAtPoint } = this.faults();
      if (this.world.chance(freezeAtPoint)) {
        this.freeze(process);
        return process.request(0, () => {});
      }
      if (!this.world.chance(crashAtPoint)) return undefined;
      this.world.note(() => `process ${process.id} dies at ${point}`);
      this.kill(process);
      return process.forever();
    };
  }

  /** The process is gone, wherever it stood. What it had sent may arrive. */
  kill(process: SimulatedProcess): void {
    process.kill(this.world.chance(0.5));
    for (const life of this.lives) if (life.driver.process === process) this.lives.delete(life);
    this.others.delete(process);
    this.counts.crashes += 1;
    this.world.note(() => `process ${process.id} is dead`);
  }

  /** For up to three intervals, or for longer than anything is retained; then it goes on as if nothing had happened. */
  freeze(
    process: SimulatedProcess,
    intervals: number = this.world.chance(0.4) ? this.world.between(4, 16) : this.world.between(0, 3),
  ): void {
    process.frozenUntilMs = this.world.nowMs + intervals * this.options.batchInterval.milliseconds;
    this.world.note(() => `process ${process.id} stands still for ${intervals.toFixed(1)} intervals`);
  }

  stop(life: Life<T>, graceful: boolean): void {
    if (life.context === undefined) return;
    life.isStopping = true;
    this.world.note(() => `driver ${life.driver.process.id} is told to stop${graceful ? ' gracefully' : ''}`);
    void life.context.stop({ graceful });
  }

  deploy(): void {
    this.version += 1;
    this.topic.addPartitions(this.options.partitionsPerVersion);
    this.world.note(() => `version ${this.version} is deployed`);
  }

  /** An output of a program is an outbox: somebody follows it from now on. */
  followOutbox(output: string, uid: string): void {
    if (this.readers.has(output)) return;
    const reader = new OutboxReader(this, output, uid);
    this.readers.set(output, reader);
    reader.start();
  }

  /** Something at another place, such as the hub or a database. Some simulations have it next door, and lose no time. */
  network<R = void>(process: SimulatedProcess, act?: () => R): Promise<R> {
    if (!process.isAlive) return process.forever();
    if (this.options.isNear) return Promise.resolve().then(() => (process.isAlive ? act?.() : process.forever()) as R);
    return process.request(process.world.between(1, 60), () => act?.() as R);
  }

  async #live(life: Life<T>): Promise<void> {
    const { driver } = life;
    const { process } = driver;
    const epochBefore = this.history.log.epoch;
    let error: unknown;
    try {
      const context = await StreamingContext.getOrCreate(this.storeOf(process), () => this.options.program(driver));
      life.context = context;
      await context.start();
      await context.awaitTermination();
    } catch (thrown) {
      error = thrown;
    }
    if (!process.isAlive) return;
    this.lives.delete(life);
    process.kill(false);
    this.counts.ended += 1;
    this.world.note(() => `driver ${process.id} has ended: ${error === undefined ? 'stopped' : String(error)}`);
    this.history.driverEnded(process.id, epochBefore, error, this.mustLive ? noEnds : allowedEnds);
  }
}
