import type { Random } from '../../base/random.ts';

export interface BackoffLimits {
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** Failing in a row for longer than this is final. */
  readonly totalMs: number;
}

/** Pauses between attempts: doubling, jittered, and ended by a total. One instance per thing that is retried. */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: Random;
  #failures = 0;
  #firstFailureMs = 0;

  constructor(limits: BackoffLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Pause before the next attempt, or undefined: the total is used up. */
  failed(nowMs: number): number | undefined {
    if (this.#failures++ === 0) this.#firstFailureMs = nowMs;
    const leftMs = this.#limits.totalMs - (nowMs - this.#firstFailureMs);
    if (leftMs <= 0) return undefined;
    const fullMs = Math.min(this.#limits.maxDelayMs, this.#limits.firstDelayMs * 2 ** Math.min(this.#failures - 1, 30));
    return Math.min(leftMs, fullMs * (0.5 + this.#random.next() / 2));
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
