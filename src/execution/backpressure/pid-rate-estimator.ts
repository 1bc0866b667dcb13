import { TidemarkError } from '../../base/errors.ts';

/** How strongly the rate reacts. Source: Spark's `spark.streaming.backpressure.pid.*`. */
export interface PidGains {
  /** To the error: the rate that was asked for minus the rate of processing. At least 0. */
  readonly proportional: number;
  /** To what has piled up: records that waited for their batch to start, as a rate. At least 0. */
  readonly integral: number;
  /** To the change of the error. At least 0. */
  readonly derived: number;
  /** Lowest rate that is ever asked for, in records per second. More than 0. */
  readonly minRate: number;
}

/** A finished batch, as seen by one source. */
export interface BatchSpeed {
  /** When the processing ended. */
  readonly timeMs: number;
  /** Records of the source. */
  readonly records: number;
  readonly processingDelayMs: number;
  readonly schedulingDelayMs: number;
}

/** @throws OPTION_INVALID */
export function requireGains(batchIntervalMs: number, gains: PidGains): void {
  const refuse = (name: string, value: number, accepted: string): never => {
    throw new TidemarkError('OPTION_INVALID', `${name} is ${value}; give ${accepted}.`);
  };
  if (!(batchIntervalMs > 0)) refuse('batchInterval', batchIntervalMs, 'a positive number of milliseconds');
  for (const name of ['proportional', 'integral', 'derived'] as const) {
    if (!(gains[name] >= 0)) refuse(`backpressure.pid.${name}`, gains[name], 'a number of at least 0');
  }
  if (!(gains.minRate > 0)) refuse('backpressure.pid.minRate', gains.minRate, 'a number above 0');
}

/**
 * The rate at which a source should deliver, from how fast its batches were processed: a PID controller whose set point is
 * the processing rate, and whose accumulated error is read off the scheduling delay instead of being summed up.
 *
 * The first usable batch gives no estimate, it is the starting point. A batch that is not newer, has no records or took
 * no time changes nothing.
 * Source: Spark's `PIDRateEstimator`.
 */
export class PidRateEstimator {
  readonly #batchIntervalMs: number;
  readonly #gains: PidGains;
  #latestTimeMs = -1;
  /** Undefined until the first usable batch. */
  #latestRate: number | undefined;
  #latestError = 0;

  /** @throws OPTION_INVALID */
  constructor(batchIntervalMs: number, gains: PidGains) {
    requireGains(batchIntervalMs, gains);
    this.#batchIntervalMs = batchIntervalMs;
    this.#gains = gains;
  }

  /** Records per second; undefined: no new estimate. */
  compute({ timeMs, records, processingDelayMs, schedulingDelayMs }: BatchSpeed): number | undefined {
    if (!(timeMs > this.#latestTimeMs && records > 0 && processingDelayMs > 0)) return undefined;
    const processingRate = (records / processingDelayMs) * 1000;
    const sinceSeconds = (timeMs - this.#latestTimeMs) / 1000;
    this.#latestTimeMs = timeMs;
    if (this.#latestRate === undefined) {
      this.#latestRate = processingRate;
      return undefined;
    }
    const { proportional, integral, derived, minRate } = this.#gains;
    const error = this.#latestRate - processingRate;
    const historicalError = (schedulingDelayMs * processingRate) / this.#batchIntervalMs;
    const errorChange = (error - this.#latestError) / sinceSeconds;
    const rate = this.#latestRate - proportional * error - integral * historicalError - derived * errorChange;
    this.#latestRate = Math.max(rate, minRate);
    this.#latestError = error;
    return this.#latestRate;
  }
}
