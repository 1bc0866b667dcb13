import type { Clock } from '../base/clock.ts';
import type { Driver } from './driver.ts';

/** Batch times from `nextTimeMs` on that have come already. */
export function batchesDue(clock: Clock, nextTimeMs: number, batchIntervalMs: number): number {
  return Math.max(0, Math.floor((clock.now() - nextTimeMs) / batchIntervalMs) + 1);
}

/**
 * The next time of the grid: multiples of the interval after zero time. Zero time belongs to the stream and the interval to
 * the program, so after a start with another interval the first batch may be a shorter one.
 */
export function gridTimeAfter(timeMs: number, zeroTimeMs: number, batchIntervalMs: number): number {
  return zeroTimeMs + (Math.floor((timeMs - zeroTimeMs) / batchIntervalMs) + 1) * batchIntervalMs;
}

/** The batch time after `timeMs`: the next one of the grid, or the first that is not passed over after a long absence. */
export function batchTimeAfter(driver: Driver, timeMs: number): number {
  return Math.max(gridTimeAfter(timeMs, driver.zeroTimeMs, driver.graph.batchIntervalMs), driver.passedOverUntilMs);
}
