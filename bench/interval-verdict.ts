import { quantile } from './quantile.ts';

/** What a side tells of its run: per batch its time, and when it began and was through, in milliseconds after that. */
export interface IntervalRun {
  readonly batches: readonly (readonly [batchTimeMs: number, startMs: number, endMs: number])[];
}

export interface IntervalVerdict {
  readonly intervalMs: number;
  readonly isSustained: boolean;
  /** Between the time of a batch and its start. */
  readonly delayP50Ms: number;
  readonly delayAtEndMs: number;
  /** Between the creation of an event and the end of its batch. */
  readonly latencyP50Ms: number;
  readonly latencyP99Ms: number;
}

/** The end of the run: before it, the compilers are at work, and what piles up meanwhile is worked off. */
export const measuredMs: number = 20_000;
const creationsPerBatch = 20;

/**
 * Sustained: in the last quarter of the measured time, batches begin no later than in the first, but for an interval, and
 * are not a queue that stands.
 */
export function verdictOn({ batches }: IntervalRun, intervalMs: number): IntervalVerdict {
  const [lastMs, , lastEndMs] = batches.at(-1)!;
  const warm = batches.filter(([timeMs, , endMs]) => timeMs + endMs >= lastMs + lastEndMs - measuredMs);
  const delays = warm.map(([, startMs]) => startMs);
  const quarter = Math.floor(delays.length / 4);
  const early = quantile(delays.slice(0, quarter), 0.5);
  const late = quantile(delays.slice(-quarter), 0.5);
  // Events are created evenly over the interval before the time of their batch.
  const latencies = warm.flatMap(([, , endMs]) =>
    Array.from({ length: creationsPerBatch }, (_, i) => endMs + (intervalMs * (i + 0.5)) / creationsPerBatch),
  );
  return {
    intervalMs,
    isSustained: quarter > 0 && late <= early + intervalMs && late <= 10 * intervalMs,
    delayP50Ms: quantile(delays, 0.5),
    delayAtEndMs: late,
    latencyP50Ms: quantile(latencies, 0.5),
    latencyP99Ms: quantile(latencies, 0.99),
  };
}
