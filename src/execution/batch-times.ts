import type { Clock } from '../base/clock.ts';
import type { Driver } from './driver.ts';

/** Batch times from `nextTimeMs` on that have come already. */
export function batchesDue(clock: Clock, nextTimeMs: number, batchIntervalMs: number): number {
  return Math.max(0, Math.floor((clock.now() - nextTimeMs) / batchIntervalMs) + 1);
}

/** The batch time after `timeMs`: the next one of the grid, or the first that is not passed over after a long absence. */
export function batchTimeAfter(driver: Driver, timeMs: number): number {
  return Math.max(timeMs + driver.graph.batchIntervalMs, driver.passedOverUntilMs);
}
