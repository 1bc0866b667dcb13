import { TidemarkError } from '../../base/errors.ts';
import type { OutboxPosition } from '../../inspect/outbox-position.ts';
import { type OutboxEvent, readOutbox } from '../../inspect/read-outbox.ts';
import type { SimulatedProcess } from './process.ts';
import type { Simulation } from './simulation.ts';

const allowedEnds: ReadonlySet<string> = new Set(['STORE_UNAVAILABLE', 'STORE_FORBIDDEN']);

/**
 * Somebody who follows an outbox in a process of his own, and stores what he is given and the position in one transaction.
 * The process dies now and then, is frozen, and meets the faults of the store; another one goes on from the position.
 */
export class OutboxReader<T> {
  readonly counts = { events: 0, crashes: 0, expired: 0 };
  readonly #simulation: Simulation<T>;
  readonly #output: string;
  readonly #uid: string;
  process: SimulatedProcess | undefined;
  /** What his database holds: the events he has had, and the position. */
  #had = 0;
  #position: OutboxPosition | undefined;

  constructor(simulation: Simulation<T>, output: string, uid: string) {
    this.#simulation = simulation;
    this.#output = output;
    this.#uid = uid;
  }

  start(): void {
    void this.#read(undefined);
  }

  /** The process is gone; the next one comes some time later. */
  kill(): void {
    if (this.process === undefined) return;
    this.counts.crashes += 1;
    this.#simulation.kill(this.process);
    this.#restart();
  }

  /** Reads what is left, and ends. */
  async finish(): Promise<void> {
    if (this.process?.isAlive) this.#simulation.kill(this.process);
    do await this.#read(0);
    while (this.#position === undefined && this.counts.expired > 0 && this.#simulation.verdict.violation === undefined);
    const { history, verdict } = this.#simulation;
    if (this.#had === history.outbox.count) return;
    verdict.violate(
      `The reader of '${this.#output}' has had ${this.#had} of ${history.outbox.count} batches and rewinds, and there is no more.`,
    ); // H9
  }

  async #read(waitMs: number | undefined): Promise<void> {
    const simulation = this.#simulation;
    const process = simulation.spawn();
    this.process = process;
    const { world, options } = simulation;
    world.note(() => `reader ${process.id} of '${this.#output}' starts after ${this.#had} events`);
    try {
      const events = readOutbox(simulation.storeOf(process), this.#uid, {
        clock: process,
        from: this.#position ?? 'earliest',
        pollIntervalMs: Math.max(1, Math.floor(options.batchInterval.milliseconds * 0.7)),
        ...(waitMs === undefined ? {} : { waitMs }),
      });
      for await (const event of events) {
        await simulation.network(process, () => this.#store(event));
        // Between two events of one record, too.
        if (!world.chance(simulation.faults().readerCrash / 4)) continue;
        this.kill();
        return;
      }
    } catch (error) {
      if (process.isAlive) this.#ended(error);
    }
    if (!process.isAlive) return;
    process.kill(false);
    simulation.others.delete(process);
    if (waitMs === undefined) this.#restart();
  }

  #store(event: OutboxEvent<unknown>): void {
    const { outbox, log } = this.#simulation.history;
    this.counts.events += 1;
    const isAnew = this.#position === undefined;
    this.#had = outbox.delivered(this.#output, this.#had, isAnew, log.floor, event);
    this.#position = event.position;
  }

  #ended(error: unknown): void {
    const { history, verdict, world, mustLive } = this.#simulation;
    const code = error instanceof TidemarkError ? error.code : undefined;
    world.note(() => `reader of '${this.#output}' has ended: ${String(error)}`);
    if (code === 'OUTBOX_EXPIRED') {
      this.counts.expired += 1;
      if (history.log.floor <= (this.#position?.slot ?? 0)) {
        verdict.violate(`The floor is ${history.log.floor}, and a reader is told: ${String(error)}`, error); // H9
      }
      // He repairs what the missing batches would have changed, and begins at what is left.
      this.#position = undefined;
    } else if (mustLive || code === undefined || !allowedEnds.has(code)) {
      verdict.violate(`The reader of '${this.#output}' ended with ${String(error)}`, error); // H9
    }
  }

  #restart(): void {
    const { world, options } = this.#simulation;
    this.process = undefined;
    world.after(world.between(0, 2) * options.batchInterval.milliseconds, undefined, () => {
      if (!this.#simulation.place.isCalm) this.start();
    });
  }
}
