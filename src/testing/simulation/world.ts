import { SeededRandom } from '../../base/random.ts';
import { EventQueue } from './event-queue.ts';
import type { SimulatedProcess } from './process.ts';

/**
 * Time, chance and the order of all that happens. One event is one step: an answer arrives, a timer fires, a request
 * reaches the store. After it everything that follows without waiting has happened before the next one is chosen.
 *
 * Invariants
 *   T1. The order of events depends on the seed alone: no wall clock and no true concurrency has a say in it.
 *   T2. Nothing of a dead process happens; what a frozen one would see waits until it thaws.
 */
export class SimulatedWorld {
  readonly random: SeededRandom;
  readonly #events = new EventQueue<SimulatedProcess>();
  #nowMs: number;
  #steps = 0;
  #trace: ((line: string) => void) | undefined;

  constructor(seed: number, startMs: number, trace?: (line: string) => void) {
    this.random = new SeededRandom(seed);
    this.#nowMs = startMs;
    this.#trace = trace;
  }

  /** True time: the store's, and that of a driver whose clock is right. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get steps(): number {
    return this.#steps;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.random.next() < probability;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.random.next();
  }

  integer(low: number, high: number): number {
    return low + Math.floor(this.random.next() * (high - low + 1));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.random.next() * choices.length)]!;
  }

  /** `run` happens `delayMs` from now. */
  after(delayMs: number, owner: SimulatedProcess | undefined, run: () => void): void {
    this.#events.push({ timeMs: this.#nowMs + Math.max(0, delayMs), tie: this.random.next(), owner, run });
  }

  /** What happened, for a person who replays a seed. `text` is only called when somebody looks. */
  note(text: () => string): void {
    this.#trace?.(`${(this.#nowMs / 1000).toFixed(3)} ${text()}`);
  }

  /** Takes step after step until `isDone`, or nothing is left to happen. */
  async run(isDone: () => boolean): Promise<void> {
    // What was begun just now gets as far as to wait for something.
    await settled();
    while (!isDone()) {
      const event = this.#events.pop();
      if (event === undefined) return;
      const { owner } = event;
      if (owner !== undefined) {
        if (!owner.isAlive) continue;
        if (owner.frozenUntilMs > event.timeMs) {
          event.timeMs = owner.frozenUntilMs;
          this.#events.push(event);
          continue;
        }
      }
      this.#nowMs = Math.max(this.#nowMs, event.timeMs);
      this.#steps += 1;
      event.run();
      await settled();
    }
  }
}

/** Promise jobs run before the timers' turn: when it comes, everybody waits for the world. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
