import { toError } from '../../base/errors.ts';
import { verifyCheckpoint } from '../../inspect/verify-checkpoint.ts';
import type { SimulatedOperator } from './operator.ts';
import { SimulatedProcess } from './process.ts';
import { SimulatedStore } from './simulated-store.ts';
import type { Simulation } from './simulation.ts';

/** Takes step after step until `isDone`, or the simulation is over. */
export type Run = (isDone: () => boolean) => Promise<void>;

/** The faults end; what still stands frozen stays so until it wakes. */
export function calm<T>(simulations: readonly Simulation<T>[]): void {
  for (const { world, place, storage, lives, others } of simulations) {
    if (!place.isCalm) world.note(() => 'the faults end');
    place.isCalm = true;
    storage.outageUntilMs = 0;
    for (const process of [...others, ...[...lives].map(({ driver }) => driver.process)]) {
      process.forbiddenUntilMs = 0;
      process.clockAheadMs = 0;
    }
  }
}

/** One driver alone, without faults: all that has arrived is committed and published in bounded time, then it stops cleanly. */
export async function liveOn<T>(simulation: Simulation<T>, run: Run): Promise<void> {
  const { world, history, verdict, topic, options } = simulation;
  const intervalMs = options.batchInterval.milliseconds;
  simulation.mustLive = true;
  const life = simulation.start();
  const isDone = (): boolean =>
    history.outputs.unpublished === 0 &&
    topic.ends().every((end, partition) => end === (history.committedTo[partition] ?? 0));
  // A clock that was ahead has led to batch times that lie in the future.
  const backlog = Math.max(...topic.ends()) / Math.max(1, Math.min(options.rowsPerPartitionMax, 1e6));
  const lastMs = Math.max(world.nowMs, history.lastTimeMs);
  const deadlineMs = lastMs + (10 + backlog) * intervalMs + 60_000;
  const isLate = (): boolean => world.nowMs > deadlineMs;
  // A graceful stop runs one more batch, and waits for its time to come.
  const stopsFromMs = lastMs + 2 * intervalMs;
  const isReady = (): boolean => life.context?.status === 'active' && world.nowMs >= stopsFromMs && isDone();
  await run(() => isLate() || isReady());
  if (verdict.violation === undefined && !isDone()) {
    verdict.violate(
      `Without faults, by ${deadlineMs}, [${history.committedTo}] of [${topic.ends()}] rows are committed and ` +
        `${history.outputs.unpublished} outputs are not published (${world.steps} steps).`,
    );
  }
  simulation.stop(life, true);
  await run(() => isLate() || !simulation.lives.has(life));
  if (simulation.lives.has(life)) verdict.violate('The last driver does not stop.');
}

/** The stream is at rest: its stored objects are without fault, and all that its outputs should have is there. */
export async function inspectEnd<T>(simulation: Simulation<T>, run: Run): Promise<void> {
  const { world, storage, verdict, history, readers } = simulation;
  const wait = async (work: Promise<unknown>, what: string): Promise<void> => {
    let isDone = false;
    work
      .catch((error) => verdict.violate(`${what}: ${toError(error).message}`, error))
      .finally(() => {
        isDone = true;
      });
    await run(() => isDone);
  };
  const store = new SimulatedStore(new SimulatedProcess(-1, world), storage);
  const verified = verifyCheckpoint(store).then(({ findings }) => {
    for (const { object, problem } of findings)
      verdict.violate(`The stored checkpoint has a fault: ${object}: ${problem}.`);
  });
  await wait(verified, 'The stored checkpoint cannot be verified');
  history.written.requireComplete();
  for (const reader of readers.values()) await wait(reader.finish(), 'A reader fails');
}

/**
 * Forks that were made live on as streams of their own. Then what people did in the faults is done once more without
 * them, and must succeed: a fork at a savepoint, a rewind of the stopped stream.
 */
export async function afterlife<T>(simulation: Simulation<T>, operator: SimulatedOperator<T>, run: Run): Promise<void> {
  const { world, history, options, verdict } = simulation;
  const finished = async <R>(work: Promise<R>): Promise<R | undefined> => {
    let result: { value: R } | undefined;
    work.then((value) => {
      result = { value };
    });
    await run(() => result !== undefined);
    return result?.value;
  };
  if (options.faults.savepoint > 0 && history.log.savepoints.size > 0 && world.chance(0.5)) {
    const [mark] = [...history.log.savepoints.keys()];
    await finished(operator.fork(operator.nameOf(mark!)));
  }
  for (const fork of operator.forks) {
    if (verdict.violation !== undefined) return;
    fork.version = simulation.version;
    await liveOn(fork, run);
    await inspectEnd(fork, run);
  }
  const target = operator.lastSafe();
  if (options.faults.rewind === 0 || target === undefined || verdict.violation !== undefined) return;
  if ((await finished(operator.rewindTo(target, false))) === undefined) {
    verdict.violate(`A stopped stream without faults does not go back to batch ${target}.`);
  }
  await liveOn(simulation, run);
  await inspectEnd(simulation, run);
}
