import { describe, expect, test } from 'vitest';
import { type PidGains, PidRateEstimator } from '../../../src/execution/backpressure/pid-rate-estimator.ts';

function gains(proportional: number, integral: number, derived: number, minRate: number): PidGains {
  return { proportional, integral, derived, minRate };
}

type Row = readonly [timeMs: number, records: number, processingDelayMs: number, schedulingDelayMs: number];

function estimates(estimator: PidRateEstimator, rows: readonly Row[]): (number | undefined)[] {
  return rows.map(([timeMs, records, processingDelayMs, schedulingDelayMs]) =>
    estimator.compute({ timeMs, records, processingDelayMs, schedulingDelayMs }),
  );
}

describe('the PID estimator', () => {
  test('pid.first-estimate-is-none', () => {
    expect(estimates(new PidRateEstimator(20, gains(1, 0, 0, 10)), [[0, 10, 10, 0]])).toEqual([undefined]);
  });

  test('pid.no-estimate-when-no-records-in-previous-batch', () => {
    const rows: Row[] = [
      [0, 10, 10, 0],
      [10, 0, 10, 0],
      [20, -10, 10, 0],
    ];
    expect(estimates(new PidRateEstimator(20, gains(1, 0, 0, 10)), rows)).toEqual([undefined, undefined, undefined]);
  });

  test('gives none when the batch took no time, or is not newer than the last', () => {
    const estimator = new PidRateEstimator(1000, gains(1, 0, 0, 10));
    const rows: Row[] = [
      [1000, 10, 10, 0],
      [2000, 10, 0, 0],
      [1000, 20, 10, 0],
      [500, 20, 10, 0],
      [2000, 20, 10, 0],
    ];
    expect(estimates(estimator, rows)).toEqual([undefined, undefined, undefined, undefined, 2000]);
  });

  test('pid.with-no-accumulated-or-positive-error-i-0-follow-the-processing', () => {
    const rows = Array.from({ length: 50 }, (_, k): Row => [20 * k, 20 * (k + 1), 20, 0]);
    const expected = rows.map((_, k) => (k === 0 ? undefined : 1000 * (k + 1)));
    expect(estimates(new PidRateEstimator(20, gains(1, 1, 0, 10)), rows)).toEqual(expected);
  });

  test('pid.with-no-accumulated-but-some-positive-error: the integral part takes off what waited', () => {
    // rate 1000/s, 100 ms waited of a batch of 1000 ms: 100 records/s of backlog, of which a fifth comes off.
    const rows: Row[] = [
      [1000, 500, 500, 0],
      [2000, 500, 500, 100],
    ];
    expect(estimates(new PidRateEstimator(1000, gains(1, 0.2, 0, 10)), rows)).toEqual([undefined, 980]);
  });

  test('pid.with-some-accumulated-and-some-positive-error-i-0-stay-below-the', () => {
    const rows = Array.from({ length: 50 }, (_, k): Row => [20 * k, 1000 + ((k * 379) % 1000), 20, 1 + ((k * 7) % 19)]);
    const results = estimates(new PidRateEstimator(20, gains(1, 0.01, 0, 10)), rows);
    expect(results[0]).toBeUndefined();
    results.slice(1).forEach((rate, i) => {
      expect(rate).toBeLessThan((rows[i + 1]![1] / 20) * 1000);
      expect(rate).toBeGreaterThanOrEqual(10);
    });
  });

  test('the derivative part acts on the change of the error over time', () => {
    const rows: Row[] = [
      [1000, 1000, 1000, 0],
      [3000, 500, 1000, 0],
      [4000, 500, 1000, 0],
    ];
    // error 500, change 500 / 2 s: 1000 - 250 - 250. Then error 0, change -500 / 1 s: 500 - 0 + 500.
    expect(estimates(new PidRateEstimator(1000, gains(0.5, 0, 1, 10)), rows)).toEqual([undefined, 500, 1000]);
  });

  test('never asks for less than the minimum', () => {
    const rows: Row[] = [
      [1000, 10, 1000, 0],
      [2000, 1, 1000, 50_000],
    ];
    expect(estimates(new PidRateEstimator(1000, gains(1, 0.2, 0, 100)), rows)).toEqual([undefined, 100]);
  });

  test.each([
    [0, gains(1, 2, 3, 10)],
    [100, gains(-1, 2, 3, 10)],
    [100, gains(0, -1, 3, 10)],
    [100, gains(0, 0, -1, 10)],
    [100, gains(0, 0, 0, 0)],
    [100, gains(0, 0, 0, -10)],
    [100, gains(Number.NaN, 0, 0, 10)],
  ])('pid.estimator-checks-ranges: a batch of %d ms with %o is refused', (batchMs, refused) => {
    expect(() => new PidRateEstimator(batchMs, refused)).toThrow(/give a/);
  });
});
