export interface TestTotals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Environment variable that names the file a vitest run appends its totals to, one JSON line per run. */
export const totalsFileVariable = 'TIDEMARK_TEST_TOTALS';

/** Sum over the runs: `lines` has one JSON object per vitest run. */
export function sumTotals(lines: string): TestTotals {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const line of lines.split('\n')) {
    if (line === '') continue;
    const run = JSON.parse(line) as TestTotals;
    passed += run.passed;
    failed += run.failed;
    skipped += run.skipped;
  }
  return { passed, failed, skipped };
}
