import type { Duration } from '../../base/time.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { OperationCounters } from '../../storage/operation-counters.ts';
import { StreamingContext } from '../../streaming-context.ts';
import { SimulatedDriver, type SimulatedProgram } from './driver.ts';
import { noFaults, type SimulationFaults } from './faults.ts';
import { type CommittedBatch, History, type SimulatedFence } from './history.ts';
import { SimulatedProcess } from './process.ts';
import { type SimulatedStorage, SimulatedStore } from './simulated-store.ts';
import { StoredObjects } from './stored-objects.ts';
import { SimulatedTopic } from './topic.ts';
import { Verdict } from './verdict.ts';
import { SimulatedWorld } from './world.ts';

/** All that a simulation depends on besides its seed. */
export interface SimulationSettings<T> {
  readonly batchInterval: Duration;
  /** Builds the program, at every start of a driver. */
  readonly program: (driver: SimulatedProgram<T>) => StreamingContext;
  readonly wrapStore: (store: ObjectStore) => ObjectStore;
  readonly faults: SimulationFaults;
  readonly partitions: number;
  /** Added with every deployment. */
  readonly partitionsPerVersion: number;
  readonly rowsPerPartitionMax: number;
  readonly makeRow: (partition: number, sequence: number) => T;
  /** The input knows the epoch of its reader and pushes older ones aside, as Event Hubs does. */
  readonly hasOwner: boolean;
  /** Sources and sinks answer at once. */
  readonly isNear: boolean;
  readonly clockResolutionMs: number;
  readonly onBatch: (batch: CommittedBatch<T>) => void;
  readonly onFence: (fence: SimulatedFence) => void;
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

// 2020-09-13T12:26:40Z: far from zero, so that clocks can go back.
const startMs = 1_600_000_000_000;

/**
 * The parts of one simulation put together: world, store, input, verifier, and the drivers that live in it.
 * Starts and ends drivers when told; what befalls them when is decided by `Chaos`.
 */
export class Simulation<T> {
  readonly options: SimulationSettings<T>;
  readonly world: SimulatedWorld;
  readonly storage: SimulatedStorage;
  readonly topic: SimulatedTopic<T>;
  readonly history: History<T>;
  readonly verdict = new Verdict();
  readonly lives = new Set<Life<T>>();
  readonly counts = { starts: 0, crashes: 0, ended: 0 };
  version = 0;
  isCalm = false;
  /** From now on a driver must not fail. */
  mustLive = false;
  #versions: number[] = [];

  constructor(seed: number, options: SimulationSettings<T>, trace?: (line: string) => void) {
    this.options = options;
    this.world = new SimulatedWorld(seed, startMs, trace);
    this.topic = new SimulatedTopic(this.world, options.partitions, options.makeRow);
    this.history = new History<T>({
      verdict: this.verdict,
      topic: this.topic,
      versionOf: (driver) => this.#versions[driver] ?? 0,
      onBatch: (batch) => {
        this.world.note(() => `batch ${batch.batchId} of ${batch.timeMs} is committed, ${batch.rows.length} rows`);
        options.onBatch(batch);
      },
      onFence: (fence) => {
        this.world.note(() => `fence ${fence.slot}`);
        options.onFence(fence);
      },
    });
    this.storage = {
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
    return this.isCalm ? noFaults : this.options.faults;
  }

  /** A new process with the version of the program that is deployed. */
  start(): Life<T> {
    const process = new SimulatedProcess(this.#versions.length, this.world);
    this.#versions.push(this.version);
    const life: Life<T> = {
      driver: new SimulatedDriver(process, this, this.version),
      context: undefined,
      isStopping: false,
    };
    this.lives.add(life);
    this.counts.starts += 1;
    this.world.note(() => `driver ${process.id} starts, version ${this.version}`);
    void this.#live(life);
    return life;
  }

  kill(life: Life<T>): void {
    this.killed(life.driver.process);
  }

  /** The process is gone, wherever it stood. What it had sent may arrive. */
  killed(process: SimulatedProcess): void {
    process.kill(this.world.chance(0.5));
    for (const life of this.lives) if (life.driver.process === process) this.lives.delete(life);
    this.counts.crashes += 1;
    this.world.note(() => `driver ${process.id} is dead`);
  }

  /** For up to three intervals, or for longer than anything is retained; then it goes on as if nothing had happened. */
  freeze(process: SimulatedProcess): void {
    const intervals = this.world.chance(0.4) ? this.world.between(4, 16) : this.world.between(0, 3);
    process.frozenUntilMs = this.world.nowMs + intervals * this.options.batchInterval.milliseconds;
    this.world.note(() => `driver ${process.id} stands still for ${intervals.toFixed(1)} intervals`);
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

  async #live(life: Life<T>): Promise<void> {
    const { driver } = life;
    const { process } = driver;
    const epochBefore = this.history.log.epoch;
    let error: unknown;
    try {
      const store = this.options.wrapStore(new SimulatedStore(process, this.storage));
      const context = await StreamingContext.getOrCreate(store, () => this.options.program(driver));
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
