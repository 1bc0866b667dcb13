import { TidemarkError, toError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { SeededRandom } from '../../base/random.ts';
import { type Duration, Seconds } from '../../base/time.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { StreamingContext } from '../../streaming-context.ts';
import { Chaos } from './chaos.ts';
import type { SimulatedProgram } from './driver.ts';
import { afterlife, calm, inspectEnd, liveOn, type Run } from './ending.ts';
import { drawFaults, noFaults, type SimulationFaults } from './faults.ts';
import type { SimulationModel } from './line.ts';
import { type OperatorCounts, SimulatedOperator } from './operator.ts';
import { Simulation } from './simulation.ts';
import { SimulatedTopic } from './topic.ts';
import { Verdict } from './verdict.ts';
import { SimulatedWorld } from './world.ts';

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
  /**
   * Makes the program over plain arrays, which says what every batch should give. Called at the beginning, after every
   * rewind, and for every fork; the new model then gets the batches that count again, from the first one on.
   */
  readonly model?: (() => SimulationModel<T>) | undefined;
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
  /** What people did with tools, in the faults and after them. */
  readonly tools: OperatorCounts;
  /** Of outputs that write after the commit, and how often one was told of a rewind. */
  readonly written: { readonly writes: number; readonly transactions: number; readonly rewindsTold: number };
  /** Of all readers of outboxes. */
  readonly outbox: { readonly events: number; readonly crashes: number; readonly expired: number };
  readonly steps: number;
  readonly simulatedMs: number;
  /** Of the last driver before any tool was used again, which ran without faults: from its start to its graceful stop. */
  readonly calm: {
    readonly batches: number;
    readonly requests: Readonly<Record<'get' | 'head' | 'put' | 'list' | 'delete', number>>;
  };
  /** Equal for equal runs. */
  readonly fingerprint: string;
}

const stepsMax = 60_000;
// 2020-09-13T12:26:40Z: far from zero, so that clocks can go back.
const startMs = 1_600_000_000_000;

/**
 * Runs a program through a life of faults, in simulated time, and checks at every step that what the engine promises
 * holds: see docs/simulation.md for the faults and the invariants. A seed always gives the same run.
 *
 * First there are faults, for as long as rows arrive. Then they stop; whoever still stands frozen wakes up. At last one
 * driver starts alone. It must not fail, and within a bounded time everything that had arrived must be committed and
 * published, and the stored checkpoint be without fault. Forks go on in the same way.
 *
 * @throws SIMULATION_FAILED with the seed, the violation and the time it was found at.
 */
export async function simulate<T>(options: SimulationOptions<T>): Promise<SimulationReport> {
  const { seed, source, versions = 1, intervals = 20 } = options;
  const draw = new SeededRandom(seed ^ 0x5eed);
  const rows = new SeededRandom(seed ^ 0x0da7a);
  const drawn = drawFaults(draw);
  const faults = options.faults === 'none' ? noFaults : { ...drawn, ...options.faults };
  const world = new SimulatedWorld(seed, startMs, options.trace);
  const verdict = new Verdict();
  const topic = new SimulatedTopic<T>(world, source.partitions ?? 2, (partition, sequence) =>
    source.row(rows, partition, sequence),
  );
  const simulation: Simulation<T> = new Simulation<T>(
    'memory:simulated',
    { world, verdict, topic, isCalm: false },
    {
      batchInterval: options.batchInterval ?? Seconds(1),
      program: options.program,
      wrapStore: options.wrapStore ?? ((store) => store),
      faults,
      partitionsPerVersion: source.partitionsPerVersion ?? 0,
      rowsPerPartitionMax: source.rowsPerPartitionMax ?? Number.POSITIVE_INFINITY,
      hasOwner: source.hasOwner ?? draw.next() < 0.5,
      isNear: draw.next() < 0.6,
      clockResolutionMs: draw.next() < 0.5 ? 1000 : 1,
      model: options.model ?? (() => ({ batch: () => undefined })),
    },
  );
  try {
    return await live(simulation, seed, { intervals, rowsPerBatch: source.rowsPerBatch ?? 4, versions });
  } catch (error) {
    verdict.violate(toError(error).message, error);
    return fail(simulation, seed);
  }
}

async function live<T>(
  simulation: Simulation<T>,
  seed: number,
  input: { readonly intervals: number; readonly rowsPerBatch: number; readonly versions: number },
): Promise<SimulationReport> {
  const { world, history, verdict, topic, storage, options } = simulation;
  const intervalMs = options.batchInterval.milliseconds;
  const operator = new SimulatedOperator(simulation);
  const run: Run = (isDone) =>
    world.run(() => {
      if (world.steps > stepsMax) verdict.violate(`The simulation did not end within ${stepsMax} steps.`);
      return verdict.violation !== undefined || isDone();
    });

  const chaos = new Chaos(simulation, operator, input);
  chaos.begin();
  const chaosEndMs = startMs + (input.intervals + 2) * intervalMs;
  await run(() => world.nowMs >= chaosEndMs && !chaos.hasInput);

  calm([simulation, ...operator.forks]);
  const thawedMs = Math.max(world.nowMs, ...[...simulation.lives].map(({ driver }) => driver.process.frozenUntilMs));
  const calmEndMs = thawedMs + 3 * intervalMs;
  await run(() => world.nowMs >= calmEndMs);

  chaos.end();
  for (const life of [...simulation.lives]) simulation.kill(life.driver.process);
  for (const process of [...simulation.others]) simulation.kill(process);
  // What was under way to the store arrives.
  await run(() => false);

  const batchesBefore = history.counts.batches;
  const requestsBefore = storage.operations.snapshot();
  while (simulation.version + 1 < input.versions) simulation.deploy();
  await liveOn(simulation, run);
  const requestsAfter = storage.operations.snapshot();
  const calmBatches = history.counts.batches - batchesBefore;
  if (verdict.violation === undefined) await inspectEnd(simulation, run);
  if (verdict.violation === undefined) await afterlife(simulation, operator, run);
  if (verdict.violation !== undefined) return fail(simulation, seed);

  const requests = { get: 0, head: 0, put: 0, list: 0, delete: 0 };
  for (const type of Object.keys(requests) as (keyof typeof requests)[]) {
    requests[type] = requestsAfter[type].requests - requestsBefore[type].requests;
  }
  const outbox = { events: 0, crashes: 0, expired: 0 };
  for (const { readers } of [simulation, ...operator.forks]) {
    for (const { counts } of readers.values()) {
      for (const name of Object.keys(outbox) as (keyof typeof outbox)[]) outbox[name] += counts[name];
    }
  }
  return {
    seed,
    batches: history.counts.batches,
    rows: topic.ends().reduce((sum, end) => sum + end, 0),
    starts: simulation.counts.starts,
    fences: history.counts.fences,
    crashes: simulation.counts.crashes,
    recreatedSlots: history.log.recreatedSlots,
    tools: { ...operator.counts },
    written: { ...history.written.counts },
    outbox,
    steps: world.steps,
    simulatedMs: world.nowMs - startMs,
    calm: { batches: calmBatches, requests },
    fingerprint: `${world.steps}-${Math.floor(world.nowMs)}-${world.random.id()}`,
  };
}

function fail<T>(simulation: Simulation<T>, seed: number): never {
  const { verdict, world } = simulation;
  const violation = verdict.violation ?? new Error('The simulation failed without a violation.');
  throw new TidemarkError(
    'SIMULATION_FAILED',
    `Seed ${seed}, at ${(world.nowMs / 1000).toFixed(3)} s (step ${world.steps}): ${violation.message}`,
    { cause: violation, context: { seed } },
  );
}
