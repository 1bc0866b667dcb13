import { expect, test } from 'vitest';
import { sumTotals } from '../../../scripts/totals.ts';

test('the totals of several vitest runs are added', () => {
  const lines = '{"passed":3,"failed":0,"skipped":1}\n{"passed":2,"failed":4,"skipped":0}\n';
  expect(sumTotals(lines)).toEqual({ passed: 5, failed: 4, skipped: 1 });
});

test('no run at all counts nothing', () => {
  expect(sumTotals('')).toEqual({ passed: 0, failed: 0, skipped: 0 });
});
