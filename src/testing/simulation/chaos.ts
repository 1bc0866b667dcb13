import type { SimulatedOperator } from './operator.ts';
import type { SimulatedProcess } from './process.ts';
import type { Simulation } from './simulation.ts';

/**
 * Decides what befalls the processes, and what people do, once per batch interval, and does what a supervisor does: there
 * is a driver again some time after the last one has died, ended or frozen.
 */
export class Chaos<T> {
  readonly #simulation: Simulation<T>;
  readonly #operator: SimulatedOperator<T>;
  readonly #rowsPerBatch: number;
  readonly #versions: number;
  #isOver = false;
  #isStarting = false;
  #intervalsWithRows: number;

  constructor(
    simulation: Simulation<T>,
    operator: SimulatedOperator<T>,
    input: { readonly intervals: number; readonly rowsPerBatch: number; readonly versions: number },
  ) {
    this.#simulation = simulation;
    this.#operator = operator;
    this.#rowsPerBatch = input.rowsPerBatch;
    this.#versions = input.versions;
    this.#intervalsWithRows = input.intervals;
  }

  get hasInput(): boolean {
    return this.#intervalsWithRows > 0;
  }

  begin(): void {
    this.#tick();
  }

  /** From now on nothing new happens to anybody. */
  end(): void {
    this.#isOver = true;
  }

  #tick(): void {
    if (this.#isOver) return;
    const { world, options } = this.#simulation;
    const intervalMs = options.batchInterval.milliseconds;
    if (this.#intervalsWithRows > 0) {
      this.#intervalsWithRows -= 1;
      this.#sendRows(intervalMs);
    }
    this.#misfortunes(intervalMs);
    this.#operate(intervalMs);
    this.#supervise(intervalMs);
    world.after(intervalMs * world.between(0.6, 1.4), undefined, () => this.#tick());
  }

  #sendRows(intervalMs: number): void {
    const { world, topic } = this.#simulation;
    const count = world.integer(0, 2 * this.#rowsPerBatch);
    for (let i = 0; i < count; i++) world.after(world.between(0, intervalMs), undefined, () => topic.arrive());
  }

  #misfortunes(intervalMs: number): void {
    const simulation = this.#simulation;
    const { world, storage } = simulation;
    const faults = simulation.faults();
    for (const life of [...simulation.lives]) {
      const { process } = life.driver;
      this.#befall(process, intervalMs);
      if (world.chance(faults.stop)) {
        this.#soon(intervalMs, process, () => simulation.stop(life, world.chance(0.6)));
      }
    }
    for (const process of [...simulation.others]) this.#befall(process, intervalMs);
    for (const reader of simulation.readers.values()) {
      const { process } = reader;
      if (process && world.chance(faults.readerCrash)) this.#soon(intervalMs, process, () => reader.kill());
    }
    if (world.chance(faults.outage)) {
      storage.outageUntilMs = world.nowMs + world.between(0, 2) * intervalMs;
      world.note(() => 'the store refuses everybody');
    }
    if (simulation.version + 1 < this.#versions && world.chance(faults.deploy)) {
      simulation.deploy();
      const isRolling = world.chance(0.3);
      for (const life of [...simulation.lives]) {
        if (isRolling) break;
        if (world.chance(0.5)) simulation.stop(life, world.chance(0.7));
        else simulation.kill(life.driver.process);
      }
      if (isRolling) simulation.start();
    }
    if (simulation.lives.size < 3 && world.chance(faults.secondDriver)) simulation.start();
  }

  /** What may happen to any process. Within the interval, not at its end: batches begin there. */
  #befall(process: SimulatedProcess, intervalMs: number): void {
    const simulation = this.#simulation;
    const { world } = simulation;
    const faults = simulation.faults();
    if (world.chance(faults.crash)) this.#soon(intervalMs, process, () => this.#kill(process));
    if (world.chance(faults.freeze)) this.#soon(intervalMs, process, () => this.#freeze(process));
    if (world.chance(faults.clockJump)) this.#soon(intervalMs, process, () => this.#jump(process, intervalMs));
    if (!world.chance(faults.forbidden)) return;
    process.forbiddenUntilMs = world.nowMs + world.between(0, 3) * intervalMs;
    world.note(() => `process ${process.id}: 403 from now on`);
  }

  /** What people do. They don't take up anything new when the faults have ended. */
  #operate(intervalMs: number): void {
    const { world } = this.#simulation;
    const { savepoint, drain, rewind, fork } = this.#simulation.faults();
    const operator = this.#operator;
    const act = (chance: number, work: () => Promise<unknown>): void => {
      if (!world.chance(chance)) return;
      world.after(world.between(0, intervalMs), undefined, () => {
        if (!this.#simulation.place.isCalm && !operator.isBusy) void work();
      });
    };
    act(savepoint, () => operator.savepoint());
    act(drain, () => operator.drain());
    act(rewind, () => operator.rewind());
    // Each is a stream of its own, that lives on at the end.
    act(operator.forks.length < 2 ? fork : 0, () => operator.fork());
  }

  #soon(intervalMs: number, process: SimulatedProcess, act: () => void): void {
    const { world, place } = this.#simulation;
    world.after(world.between(0, intervalMs), undefined, () => {
      if (process.isAlive && !place.isCalm) act();
    });
  }

  #kill(process: SimulatedProcess): void {
    const { readers } = this.#simulation;
    const reader = [...readers.values()].find((candidate) => candidate.process === process);
    if (reader === undefined) this.#simulation.kill(process);
    else reader.kill();
  }

  #freeze(process: SimulatedProcess): void {
    const { world, lives } = this.#simulation;
    this.#simulation.freeze(process);
    const isDriver = [...lives].some(({ driver }) => driver.process === process);
    if (isDriver && world.chance(0.5)) this.#simulation.start();
  }

  #jump(process: SimulatedProcess, intervalMs: number): void {
    const { world } = this.#simulation;
    const farMs = Math.min(24 * intervalMs, 86_400_000);
    const jumpMs = Math.floor(world.between(-1, 1) * (world.chance(0.5) ? farMs : 2 * intervalMs));
    // Corrected again some time later, as a daemon that keeps the time would do.
    process.clockAheadMs = process.clockAheadMs !== 0 && world.chance(0.5) ? 0 : jumpMs;
    world.note(() => `process ${process.id}: its clock is ${process.clockAheadMs} ms ahead now`);
  }

  #supervise(intervalMs: number): void {
    const simulation = this.#simulation;
    const { world, lives } = simulation;
    const runs = [...lives].some((life) => !life.driver.process.isFrozen && !life.isStopping);
    if (runs || this.#isStarting || simulation.holds > 0) return;
    this.#isStarting = true;
    world.after(world.between(0, simulation.place.isCalm ? 0.2 : 1.5) * intervalMs, undefined, () => {
      this.#isStarting = false;
      if (!this.#isOver && simulation.holds === 0) simulation.start();
    });
  }
}
