import type { Clock } from '../../base/clock.ts';
import { type Random, SeededRandom } from '../../base/random.ts';
import { writerId } from './marks.ts';
import type { SimulatedWorld } from './world.ts';

/**
 * One process, of a driver, a tool or a reader: what it may lose is its life, its time and its clock.
 *
 * All that a driver waits for comes through here: answers and timers. Death means that nothing of it happens any more,
 * so its code stands still for ever at the await it had reached. Requests it had sent may still take effect.
 */
export class SimulatedProcess implements Clock {
  readonly id: number;
  readonly world: SimulatedWorld;
  /** Its ids show whose they are: so the verifier knows who has written a record. */
  readonly random: Random;
  /** Resolves at its death. */
  readonly dead: Promise<void>;
  /** What its clock is ahead of true time. */
  clockAheadMs = 0;
  frozenUntilMs = 0;
  /** Its token has expired: the store refuses it. */
  forbiddenUntilMs = 0;
  #isAlive = true;
  #isSilent = false;
  readonly #die: () => void;

  constructor(id: number, world: SimulatedWorld) {
    this.id = id;
    this.world = world;
    const random = new SeededRandom(Math.floor(world.random.next() * 2 ** 32));
    this.random = { next: () => random.next(), id: () => writerId(id, random.id()) };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.dead = promise;
    this.#die = resolve;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isFrozen(): boolean {
    return this.#isAlive && this.frozenUntilMs > this.world.nowMs;
  }

  /** `isSilent`: what it has sent and nobody has received yet is gone, too. */
  kill(isSilent: boolean): void {
    this.#isAlive = false;
    this.#isSilent = isSilent;
    this.#die();
  }

  now(): number {
    return Math.floor(this.world.nowMs + this.clockAheadMs);
  }

  /** As timers are: they run on a clock that does not jump, and look at the one that does when they fire. */
  waitUntil(timeMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      let isOver = false;
      const abort = (): void => {
        isOver = true;
        reject(signal?.reason);
      };
      const arm = (): void => {
        if (isOver) return;
        const leftMs = timeMs - this.now();
        if (leftMs > 0) {
          this.world.after(leftMs, this, arm);
          return;
        }
        isOver = true;
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      signal?.addEventListener('abort', abort, { once: true });
      arm();
    });
  }

  /** `act` takes effect elsewhere after half of the time, also if this process has died; its answer arrives here after all of it. */
  request<T>(latencyMs: number, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.#isAlive) return;
      this.world.after(latencyMs / 2, undefined, () => {
        if (this.#isSilent) return;
        let settle: () => void;
        try {
          const result = act();
          settle = () => resolve(result);
        } catch (error) {
          settle = () => reject(error);
        }
        this.world.after(latencyMs / 2, this, settle);
      });
    });
  }

  /** Where the code of a dead process stands. */
  forever(): Promise<never> {
    return new Promise(() => {});
  }
}
