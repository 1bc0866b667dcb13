import { setImmediate } from 'node:timers/promises';
import { TidemarkError } from './errors.ts';

/**
 * Long work in steps: it yields wherever others may have their turn, every few dozen keys or so, and returns its result.
 * A yield costs next to nothing when nobody takes the turn.
 */
export type Steps<R = void> = Generator<undefined, R, void>;

/** Keys between two yields of long work: some tenths of a millisecond. */
export const keysPerStep = 32;

export interface TurnsOptions {
  /** Milliseconds on any scale; only differences count. Default `performance.now`. */
  readonly now?: (() => number) | undefined;
  /** Lets the event loop turn once. Default `setImmediate`. */
  readonly yieldToLoop?: (() => Promise<unknown>) | undefined;
  /** Longest stretch without a turn of the event loop, apart from one step. Default 8. */
  readonly stretchMsMax?: number | undefined;
}

/**
 * Keeps long work from holding up timers, sockets and heartbeats: one of it for all that runs in a thread, since what
 * counts is the time since the event loop turned last, whoever used it.
 *
 * Invariant
 *   T1. Those who give way stand in line, and one goes on per turn of the loop. If all went on in the same one, eight
 *       tasks would be eight stretches in a row.
 */
export class Turns {
  readonly now: () => number;
  readonly #yieldToLoop: () => Promise<unknown>;
  readonly #stretchMsMax: number;
  #sinceMs: number;
  readonly #line: { readonly order: number; readonly goOn: () => void }[] = [];
  #turning: Promise<void> | undefined;

  constructor(options: TurnsOptions = {}) {
    this.now = options.now ?? (() => performance.now());
    this.#yieldToLoop = options.yieldToLoop ?? (() => setImmediate());
    this.#stretchMsMax = options.stretchMsMax ?? 8;
    this.#sinceMs = this.now();
  }

  /** The stretch has been long enough. */
  get isOver(): boolean {
    return this.now() - this.#sinceMs > this.#stretchMsMax;
  }

  /** Lets the event loop turn. Of those in line the lowest order goes on first, then whoever came first. */
  give(order: number = 0): Promise<void> {
    return new Promise((goOn) => {
      this.#line.push({ order, goOn });
      this.#turning ??= this.#turn();
    });
  }

  /** Before work begins that can wait: nothing when nobody is in line, otherwise a promise for when nobody else is. */
  free(): Promise<void> | undefined {
    return this.#line.length === 0 ? undefined : this.give(Number.POSITIVE_INFINITY);
  }

  async #turn(): Promise<void> {
    while (this.#line.length > 0) {
      await this.#yieldToLoop();
      this.#sinceMs = this.now();
      let first = 0;
      for (let i = 1; i < this.#line.length; i++) if (this.#line[i]!.order < this.#line[first]!.order) first = i;
      this.#line.splice(first, 1)[0]?.goOn();
      // It goes on first, and may be back in line by then.
      await undefined;
    }
    this.#turning = undefined;
  }

  /** Lets the event loop turn. @throws CANCELLED when the signal has aborted by then */
  async giveUnlessAborted(signal: AbortSignal | undefined, order?: number): Promise<void> {
    await this.give(order);
    if (signal?.aborted) throw new TidemarkError('CANCELLED', 'It was stopped on request.', { cause: signal.reason });
  }

  /**
   * Runs the work to its end, giving way between steps. It is left where it is when it fails or the signal has aborted.
   * `took`, if given, hears how many milliseconds each step took.
   * @throws CANCELLED, and what the work throws
   */
  async run<R>(work: Steps<R>, signal?: AbortSignal, took?: (ms: number) => void): Promise<R> {
    for (;;) {
      // Before the first step, too: eight tasks that begin in the same turn would each take one.
      if (this.isOver) await this.giveUnlessAborted(signal);
      const startMs = took === undefined ? 0 : this.now();
      const step = work.next();
      took?.(this.now() - startMs);
      if (step.done) return step.value;
    }
  }
}

/** Runs the work to its end at once. */
export function finish<R>(work: Steps<R>): R {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}
