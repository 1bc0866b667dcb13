import type { Life, Simulation } from './simulation.ts';

/**
 * Decides what befalls the drivers, once per batch interval, and does what a supervisor does: there is a driver again
 * some time after the last one has died, ended or frozen.
 */
export class Chaos<T> {
  readonly #simulation: Simulation<T>;
  readonly #rowsPerBatch: number;
  readonly #versions: number;
  #isOver = false;
  #isStarting = false;
  #intervalsWithRows: number;

  constructor(
    simulation: Simulation<T>,
    input: { readonly intervals: number; readonly rowsPerBatch: number; readonly versions: number },
  ) {
    this.#simulation = simulation;
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
      // Within the interval, not at its end: batches begin there.
      if (world.chance(faults.crash)) this.#soon(intervalMs, life, () => simulation.kill(life));
      if (world.chance(faults.freeze)) this.#soon(intervalMs, life, () => this.#freeze(life));
      if (world.chance(faults.clockJump)) this.#soon(intervalMs, life, () => this.#jump(life, intervalMs));
      if (world.chance(faults.stop)) {
        this.#soon(intervalMs, life, () => simulation.stop(life, world.chance(0.6)));
      }
      if (world.chance(faults.forbidden)) {
        life.driver.process.forbiddenUntilMs = world.nowMs + world.between(0, 3) * intervalMs;
        world.note(() => `driver ${life.driver.process.id}: 403 from now on`);
      }
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
        else simulation.kill(life);
      }
      if (isRolling) simulation.start();
    }
    if (simulation.lives.size < 3 && world.chance(faults.secondDriver)) simulation.start();
  }

  #soon(intervalMs: number, life: Life<T>, act: () => void): void {
    const { world, lives } = this.#simulation;
    world.after(world.between(0, intervalMs), undefined, () => {
      if (lives.has(life) && !this.#simulation.isCalm) act();
    });
  }

  #freeze(life: Life<T>): void {
    this.#simulation.freeze(life.driver.process);
    if (this.#simulation.world.chance(0.5)) this.#simulation.start();
  }

  #jump(life: Life<T>, intervalMs: number): void {
    const { world } = this.#simulation;
    const { process } = life.driver;
    const farMs = Math.min(24 * intervalMs, 86_400_000);
    const jumpMs = Math.floor(world.between(-1, 1) * (world.chance(0.5) ? farMs : 2 * intervalMs));
    // Corrected again some time later, as a daemon that keeps the time would do.
    process.clockAheadMs = process.clockAheadMs !== 0 && world.chance(0.5) ? 0 : jumpMs;
    world.note(() => `driver ${process.id}: its clock is ${process.clockAheadMs} ms ahead now`);
  }

  #supervise(intervalMs: number): void {
    const simulation = this.#simulation;
    const { world, lives } = simulation;
    const runs = [...lives].some((life) => !life.driver.process.isFrozen && !life.isStopping);
    if (runs || this.#isStarting) return;
    this.#isStarting = true;
    world.after(world.between(0, simulation.isCalm ? 0.2 : 1.5) * intervalMs, undefined, () => {
      this.#isStarting = false;
      if (!this.#isOver) simulation.start();
    });
  }
}
