/** The only way the engine learns the time or waits (decision A8). */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Resolves when `now() >= timeMs`, at once if that has passed. Rejects with the signal's reason when it aborts. */
  waitUntil(timeMs: number, signal?: AbortSignal): Promise<void>;
}

// setTimeout fires at once above this bound (design trap 15).
const timeoutMsMax = 2 ** 31 - 1;

// A timer counts in whole milliseconds from a time the event loop read earlier: the last stretch is left to turns of the loop.
const timerSlackMs = 1;

/**
 * Wall clock. Waits on absolute due times, so a loop over it does not drift; never resolves early, and late only by what
 * else the event loop had to do.
 */
export class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  waitUntil(timeMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      let timer: NodeJS.Timeout | undefined;
      let turn: NodeJS.Immediate | undefined;
      const abort = (): void => {
        clearTimeout(timer);
        clearImmediate(turn);
        reject(signal?.reason);
      };
      const arm = (): void => {
        const leftMs = timeMs - Date.now();
        if (leftMs <= 0) {
          signal?.removeEventListener('abort', abort);
          resolve();
        } else if (leftMs <= timerSlackMs) {
          turn = setImmediate(arm);
        } else {
          timer = setTimeout(arm, Math.min(leftMs - timerSlackMs, timeoutMsMax));
        }
      };
      signal?.addEventListener('abort', abort, { once: true });
      arm();
    });
  }
}

interface Waiter {
  readonly timeMs: number;
  readonly resolve: () => void;
}

/** A clock that stands still until it is told to move: tests and simulations run on it. */
export class ManualClock implements Clock {
  #nowMs: number;
  #waiters: Waiter[] = [];

  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  /** Moves to `timeMs` (never back) and wakes who waited for it, earliest first. */
  advanceTo(timeMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, timeMs);
    const due = this.#waiters.filter((waiter) => waiter.timeMs <= this.#nowMs).sort((a, b) => a.timeMs - b.timeMs);
    this.#waiters = this.#waiters.filter((waiter) => waiter.timeMs > this.#nowMs);
    for (const waiter of due) waiter.resolve();
  }

  advanceBy(ms: number): void {
    this.advanceTo(this.#nowMs + ms);
  }

  waitUntil(timeMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (timeMs <= this.#nowMs) return resolve();
      const abort = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        timeMs,
        resolve: () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
      };
      this.#waiters.push(waiter);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}
