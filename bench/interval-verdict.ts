import { quantile } from './quantile.ts';

/** What a side tells of its run: per batch its time, when it began and was through, in milliseconds after that, and CPU time. */
export interface IntervalRun {
  readonly batches: readonly (readonly [batchTimeMs: number, startMs: number, endMs: number, cpuUs: number])[];
}

export interface IntervalVerdict {
  readonly intervalMs: number;
  /** It keeps up, and what happens is known soon enough. */
  readonly isHeld: boolean;
  readonly isSustained: boolean;
  /** No noise of the machine explains it. */
  readonly isFarOff: boolean;
  /** Between the time of a batch and its start. */
  readonly delayP50Ms: number;
  readonly delayAtEndMs: number;
  /** Between the creation of an event and the end of its batch. */
  readonly latencyP50Ms: number;
  readonly latencyP99Ms: number;
  /** Of the whole process, while it was measured. */
  readonly cpuMsPerBatch: number;
}

/** The end of the run: before it, the compilers are at work, and what piles up meanwhile is worked off. */
export const measuredMs: number = 15_000;
/** What the latency of 99 of 100 events must stay below. */
export const latencyIntervalsMax: number = 3;
const delayIntervalsMax = 10;
const farOffMs = 2000;
const creationsPerBatch = 20;

/**
 * Held: (1) in the last quarter of the measured time, batches begin no later than in the first, but for an interval;
 * (2) nor so late that a queue stands; (3) 99 of 100 events are through within three intervals of their creation.
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
  const latencyP99Ms = quantile(latencies, 0.99);
  const isSustained = quarter > 0 && late <= early + intervalMs && late <= delayIntervalsMax * intervalMs;
  return {
    intervalMs,
    isHeld: isSustained && latencyP99Ms < latencyIntervalsMax * intervalMs,
    isSustained,
    isFarOff: !isSustained && !(late < farOffMs),
    delayP50Ms: quantile(delays, 0.5),
    delayAtEndMs: late,
    latencyP50Ms: quantile(latencies, 0.5),
    latencyP99Ms,
    cpuMsPerBatch: (warm.at(-1)![3] - warm[0]![3]) / 1000 / Math.max(1, warm.length - 1),
  };
}
