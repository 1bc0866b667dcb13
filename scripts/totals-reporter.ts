import { appendFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';
import { type TestTotals, totalsFileVariable } from './totals.ts';

/** Counts a vitest run for `npm test`. A file that could not be loaded and an error outside any test count as failed. */
class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const file = process.env[totalsFileVariable];
    if (file !== undefined) appendFileSync(file, `${JSON.stringify(countTests(modules, unhandledErrors.length))}\n`);
  }
}

function countTests(modules: readonly TestModule[], unhandledErrors: number): TestTotals {
  let passed = 0;
  let failed = unhandledErrors;
  let skipped = 0;
  for (const module of modules) {
    failed += module.errors().length;
    for (const suite of module.children.allSuites()) failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') passed += 1;
      else if (state === 'failed') failed += 1;
      else skipped += 1;
    }
  }
  return { passed, failed, skipped };
}

export default TotalsReporter;
