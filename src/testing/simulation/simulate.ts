import { TidemarkError, toError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { SeededRandom } from '../../base/random.ts';
import { type Duration, Seconds } from '../../base/time.ts';
import { verifyCheckpoint } from '../../inspect/verify-checkpoint.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { StreamingContext } from '../../streaming-context.ts';
import { Chaos } from './chaos.ts';
import type { SimulatedProgram } from './driver.ts';
import { drawFaults, noFaults, type SimulationFaults } from './faults.ts';
import type { CommittedBatch, SimulatedFence } from './history.ts';
import { SimulatedProcess } from './process.ts';
import { SimulatedStore } from './simulated-store.ts';
import { Simulation } from './simulation.ts';

export interface SimulatedInput<T> {
  /** Makes the row of a partition; what it depends on besides `random` is up to the caller. */
  readonly row: (random: Random, partition: number, sequence: number) => T;
  /** Default 2. */
  readonly partitions?: number | undefined;
  /** Partitions that come with every deployment. Default 0. */
  readonly partitionsPerVersion?: number | undefined;
  /** On average. Default 4. */
  readonly rowsPerBatch?: number | undefined;
  /** The most rows of a partition that a batch takes. Default: no bound. */
  readonly rowsPerPartitionMax?: number | undefined;
  /** The input knows the epoch of its reader and pushes older ones aside, as Event Hubs does. Default: drawn from the seed. */
  readonly hasOwner?: boolean | undefined;
}

export interface SimulationOptions<T> {
  /** Decides everything: rows, times, order, faults. */
  readonly seed: number;
  /** Builds the program for one driver, with its source, sinks and context options. Called at every start. */
  readonly program: (driver: SimulatedProgram<T>) => StreamingContext;
  readonly source: SimulatedInput<T>;
  /** Sees every batch once, in order, when it is committed; throws when its outputs are not what its rows should give. */
  readonly verify?: ((batch: CommittedBatch<T>) => void) | undefined;
  /** Sees, at the end, all rows that outputs of class `idempotent` have written: by output, then batch id. */
  readonly verifyWritten?:
    | ((written: ReadonlyMap<string, ReadonlyMap<number, readonly unknown[]>>) => void)
    | undefined;
  /** Sees every takeover. */
  readonly onFence?: ((fence: SimulatedFence) => void) | undefined;
  /** Default: drawn from the seed. What is not named here is drawn too; `none` for a quiet run. */
  readonly faults?: Partial<SimulationFaults> | 'none' | undefined;
  /** Default: 1 second. */
  readonly batchInterval?: Duration | undefined;
  /** Intervals in which rows arrive and faults happen. Default 20. */
  readonly intervals?: number | undefined;
  /** Versions of the program that are deployed one after the other. Default 1. */
  readonly versions?: number | undefined;
  /** Wraps every driver's connection to the store: to watch it, or to break what a store promises and see that it is found. */
  readonly wrapStore?: ((store: ObjectStore) => ObjectStore) | undefined;
  /** Sees what happens, line by line. The same seed gives the same lines. */
  readonly trace?: ((line: string) => void) | undefined;
}

/** What a simulation that held went through. */
export interface SimulationReport {
  readonly seed: number;
  readonly batches: number;
  readonly rows: number;
  readonly starts: number;
  readonly fences: number;
  readonly crashes: number;
  /** Writes of sleepers into emptied slots: what the floor rule is for. */
  readonly recreatedSlots: number;
  readonly steps: number;
  readonly simulatedMs: number;
  /** Of the last driver, which ran without faults: from its start to its graceful stop. */
  readonly calm: {
    readonly batches: number;
    readonly requests: Readonly<Record<'get' | 'head' | 'put' | 'list' | 'delete', number>>;
  };
  /** Equal for equal runs. */
  readonly fingerprint: string;
}

const stepsMax = 60_000;

/**
 * Runs a program through a life of faults, in simulated time, and checks at every step that what the engine promises
 * holds: see docs/simulation.md for the faults and the invariants. A seed always gives the same run.
 *
 * First there are faults, for as long as rows arrive. Then they stop; whoever still stands frozen wakes up. At last one
 * driver starts alone. It must not fail, and within a bounded time everything that had arrived must be committed and
 * published, and the stored checkpoint be without fault.
 *
 * @throws SIMULATION_FAILED with the seed, the violation and the time it was found at.
 */
export async function simulate<T>(options: SimulationOptions<T>): Promise<SimulationReport> {
  const { seed, source, versions = 1, intervals = 20 } = options;
  const draw = new SeededRandom(seed ^ 0x5eed);
  const rows = new SeededRandom(seed ^ 0x0da7a);
  const drawn = drawFaults(draw);
  const faults = options.faults === 'none' ? noFaults : { ...drawn, ...options.faults };
  const violated = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      simulation.verdict.violate(toError(error).message, error);
    }
  };
  const simulation: Simulation<T> = new Simulation<T>(
    seed,
    {
      batchInterval: options.batchInterval ?? Seconds(1),
      program: options.program,
      wrapStore: options.wrapStore ?? ((store) => store),
      faults,
      partitions: source.partitions ?? 2,
      partitionsPerVersion: source.partitionsPerVersion ?? 0,
      rowsPerPartitionMax: source.rowsPerPartitionMax ?? Number.POSITIVE_INFINITY,
      makeRow: (partition, sequence) => source.row(rows, partition, sequence),
      hasOwner: source.hasOwner ?? draw.next() < 0.5,
      isNear: draw.next() < 0.6,
      clockResolutionMs: draw.next() < 0.5 ? 1000 : 1,
      onBatch: (batch) => violated(() => options.verify?.(batch)),
      onFence: (fence) => violated(() => options.onFence?.(fence)),
    },
    options.trace,
  );
  try {
    const report = await run(simulation, seed, { intervals, rowsPerBatch: source.rowsPerBatch ?? 4, versions });
    options.verifyWritten?.(simulation.history.outputs.written());
    return report;
  } catch (error) {
    simulation.verdict.violate(toError(error).message, error);
    return fail(simulation, seed);
  }
}

async function run<T>(
  simulation: Simulation<T>,
  seed: number,
  input: { readonly intervals: number; readonly rowsPerBatch: number; readonly versions: number },
): Promise<SimulationReport> {
  const { world, history, verdict, topic, storage, options } = simulation;
  const intervalMs = options.batchInterval.milliseconds;
  const startMs = world.nowMs;
  const isOver = (): boolean => verdict.violation !== undefined || world.steps > stepsMax;

  const chaos = new Chaos(simulation, input);
  chaos.begin();
  const chaosEndMs = startMs + (input.intervals + 2) * intervalMs;
  await world.run(() => isOver() || (world.nowMs >= chaosEndMs && !chaos.hasInput));

  calm(simulation);
  const thawedMs = Math.max(world.nowMs, ...[...simulation.lives].map(({ driver }) => driver.process.frozenUntilMs));
  const calmEndMs = thawedMs + 3 * intervalMs;
  await world.run(() => isOver() || world.nowMs >= calmEndMs);

  chaos.end();
  for (const life of [...simulation.lives]) simulation.kill(life);
  // What was under way to the store arrives.
  await world.run(isOver);

  const batchesBefore = history.batches.length;
  const requestsBefore = storage.operations.snapshot();
  while (simulation.version + 1 < input.versions) simulation.deploy();
  await liveOn(simulation, isOver);
  if (verdict.violation !== undefined) return fail(simulation, seed);

  const requestsAfter = storage.operations.snapshot();
  await verifyStored(simulation);
  if (verdict.violation !== undefined) return fail(simulation, seed);
  const requests = { get: 0, head: 0, put: 0, list: 0, delete: 0 };
  for (const type of Object.keys(requests) as (keyof typeof requests)[]) {
    requests[type] = requestsAfter[type].requests - requestsBefore[type].requests;
  }
  return {
    seed,
    batches: history.batches.length,
    rows: topic.ends().reduce((sum, end) => sum + end, 0),
    starts: simulation.counts.starts,
    fences: history.fences,
    crashes: simulation.counts.crashes,
    recreatedSlots: history.log.recreatedSlots,
    steps: world.steps,
    simulatedMs: world.nowMs - startMs,
    calm: { batches: history.batches.length - batchesBefore, requests },
    fingerprint: `${world.steps}-${Math.floor(world.nowMs)}-${world.random.id()}`,
  };
}

function calm<T>(simulation: Simulation<T>): void {
  const { world, storage, lives } = simulation;
  world.note(() => 'the faults end');
  simulation.isCalm = true;
  storage.outageUntilMs = 0;
  for (const { driver } of lives) {
    driver.process.forbiddenUntilMs = 0;
    driver.process.clockAheadMs = 0;
  }
}

/** One driver alone, without faults: all that has arrived is committed and published in bounded time, then it stops cleanly. */
async function liveOn<T>(simulation: Simulation<T>, isOver: () => boolean): Promise<void> {
  const { world, history, verdict, topic, options } = simulation;
  const intervalMs = options.batchInterval.milliseconds;
  simulation.mustLive = true;
  const life = simulation.start();
  const isDone = (): boolean =>
    history.outputs.unpublished === 0 &&
    topic.ends().every((end, partition) => end === (history.committedTo[partition] ?? 0));
  // A clock that was ahead has led to batch times that lie in the future.
  const backlog = Math.max(...topic.ends()) / Math.max(1, Math.min(options.rowsPerPartitionMax, 1e6));
  const lastMs = Math.max(world.nowMs, history.batches.at(-1)?.timeMs ?? 0);
  const deadlineMs = lastMs + (10 + backlog) * intervalMs + 60_000;
  const isLate = (): boolean => world.nowMs > deadlineMs;
  // A graceful stop runs one more batch, and waits for its time to come.
  const stopsFromMs = lastMs + 2 * intervalMs;
  const isReady = (): boolean => life.context?.status === 'active' && world.nowMs >= stopsFromMs && isDone();
  await world.run(() => isOver() || isLate() || isReady());
  if (verdict.violation === undefined && !isDone()) {
    verdict.violate(
      `Without faults, by ${deadlineMs}, [${history.committedTo}] of [${topic.ends()}] rows are committed and ` +
        `${history.outputs.unpublished} outputs are not published (${world.steps} steps).`,
    );
  }
  simulation.stop(life, true);
  await world.run(() => isOver() || isLate() || !simulation.lives.has(life));
  if (simulation.lives.has(life)) verdict.violate('The last driver does not stop.');
}

async function verifyStored<T>(simulation: Simulation<T>): Promise<void> {
  const { world, storage, verdict } = simulation;
  const reader = new SimulatedStore(new SimulatedProcess(-1, world), storage);
  let isDone = false;
  verifyCheckpoint(reader).then(
    ({ findings }) => {
      isDone = true;
      for (const { object, problem } of findings)
        verdict.violate(`The stored checkpoint has a fault: ${object}: ${problem}.`);
    },
    (error) => {
      isDone = true;
      verdict.violate(`The stored checkpoint cannot be verified: ${toError(error).message}`, error);
    },
  );
  await world.run(() => isDone);
}

function fail<T>(simulation: Simulation<T>, seed: number): never {
  const { verdict, world } = simulation;
  const violation = verdict.violation ?? new Error(`The simulation did not end within ${stepsMax} steps.`);
  throw new TidemarkError(
    'SIMULATION_FAILED',
    `Seed ${seed}, at ${(world.nowMs / 1000).toFixed(3)} s (step ${world.steps}): ${violation.message}`,
    { cause: violation, context: { seed } },
  );
}
