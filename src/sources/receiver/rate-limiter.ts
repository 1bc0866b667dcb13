import type { Clock } from '../../base/clock.ts';

/**
 * Spreads records over time: at most `rate` per second, with what was left unused in the last second to spare.
 * Whoever takes a permit takes it at once and waits for its due time, so callers are served in order.
 *
 * Source: the semantics of Spark's receiver limiter (starts at the smaller of initial and maximal rate, updates of 0 or
 * less are ignored, the maximum caps every update).
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #maxRate: number;
  #rate: number;
  /** When the next permit is due. */
  #nextMs: number;
  /** Unused permits, up to one second's worth. */
  #spare = 0;

  constructor(clock: Clock, maxRate: number = Number.POSITIVE_INFINITY, initialRate: number = maxRate) {
    this.#clock = clock;
    this.#maxRate = maxRate;
    this.#rate = Math.min(initialRate, maxRate);
    this.#nextMs = clock.now();
  }

  /** Records per second. */
  get rate(): number {
    return this.#rate;
  }

  setRate(recordsPerSecond: number): void {
    if (!(recordsPerSecond > 0)) return;
    this.#settle();
    this.#rate = Math.min(recordsPerSecond, this.#maxRate);
    this.#spare = Math.min(this.#spare, this.#rate);
  }

  /** Takes permits for `count` records and tells when the first of them is due. */
  take(count: number): number {
    if (this.#rate === Number.POSITIVE_INFINITY) return 0;
    this.#settle();
    const dueMs = this.#nextMs;
    const fresh = count - Math.min(count, this.#spare);
    this.#spare -= count - fresh;
    this.#nextMs += (fresh * 1000) / this.#rate;
    return dueMs;
  }

  #settle(): void {
    const nowMs = this.#clock.now();
    if (nowMs <= this.#nextMs) return;
    if (this.#rate !== Number.POSITIVE_INFINITY) {
      this.#spare = Math.min(this.#rate, this.#spare + ((nowMs - this.#nextMs) * this.#rate) / 1000);
    }
    this.#nextMs = nowMs;
  }
}
