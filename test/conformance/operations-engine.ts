import { expect } from 'vitest';
import { PidRateEstimator } from '../../src/execution/backpressure/pid-rate-estimator.ts';
import { newFiles } from '../../src/sources/files/new-files.ts';
import { RateLimiter } from '../../src/sources/receiver/rate-limiter.ts';
import { ManualClock } from '../../src/testing.ts';
import type { Row, SparkCase } from './support/cases.ts';
import { expectRefused } from './support/check.ts';

function pidGains(proportional: unknown, integral: unknown, derived: unknown, minRate: unknown) {
  return { proportional, integral, derived, minRate } as Record<
    'proportional' | 'integral' | 'derived' | 'minRate',
    number
  >;
}

/** One estimator goes through all rows. */
async function pid({ params, rows }: SparkCase): Promise<void> {
  const { batchMs, proportional, integral, derivative, minRate } = params!;
  const estimator = new PidRateEstimator(batchMs!, pidGains(proportional, integral, derivative, minRate));
  for (const row of rows!) {
    const { time, elements, processingDelayMs, schedulingDelayMs } = row as Readonly<Record<string, number>>;
    const rate = estimator.compute({
      timeMs: time!,
      records: elements!,
      processingDelayMs: processingDelayMs!,
      schedulingDelayMs: schedulingDelayMs!,
    });
    expect(rate ?? null).toEqual(row.expected);
  }
}

export const engineCases: Readonly<Record<string, (sparkCase: SparkCase) => Promise<void>>> = { 'pid.compute': pid };

export const engineOperations: Readonly<Record<string, (row: Row) => unknown>> = {
  'pid.validation': (row) => {
    const { batchMs, p, i, d, minRate } = row as Readonly<Record<string, number>>;
    const make = (): unknown => new PidRateEstimator(batchMs!, pidGains(p, i, d, minRate));
    return row.throws ? expectRefused(make) : make();
  },
  rateLimiter: (row) => {
    const { maxRate, update } = row as Readonly<Record<string, number | null>>;
    const limiter = new RateLimiter(new ManualClock(0), maxRate ?? undefined);
    limiter.setRate(update!);
    expect(limiter.rate).toBe(row.expected);
  },
  'fileStream.select': (row) => {
    const files = (row.files as [string, number][]).map(([name, modifiedMs]) => ({
      name,
      path: name,
      modifiedMs,
      sizeBytes: 1,
    }));
    const chosen = row.alreadySelected as string[];
    const found = newFiles(files, {
      batchTimeMs: row.batchTime as number,
      initialThresholdMs: row.initialThreshold as number,
      rememberMs: row.rememberMs as number,
      // Nothing was missed: every file before this batch was chosen or refused.
      listedMs: row.batchTime as number,
      isRecent: ({ name }) => chosen.includes(name),
      filter: ({ name }) => !name.startsWith('.'),
    });
    expect(found.map(({ name }) => name)).toEqual(row.expected);
  },
};
