import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runSteps } from './steps.ts';
import { fastSteps, slowSteps, vitest } from './suites.ts';
import { sumTotals } from './totals.ts';

// `npm test`: every check and every suite. `npm test -- <vitest arguments>`: only the tests these select.
const args = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'tidemark-test-'));
const totalsFile = join(folder, 'totals.jsonl');
const steps =
  args.length === 0
    ? [...fastSteps(totalsFile), ...slowSteps(totalsFile)]
    : [{ name: `tests ${args.join(' ')}`, run: () => vitest(args, totalsFile) }];
const failed = await runSteps(steps);
const totals = sumTotals(existsSync(totalsFile) ? readFileSync(totalsFile, 'utf8') : '');
rmSync(folder, { recursive: true, force: true });

if (failed.length > 0) console.error(`\nfailed: ${failed.join(', ')}`);
if (totals.passed + totals.failed === 0) console.error('no test ran');
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = failed.length === 0 && totals.failed === 0 && totals.passed > 0 ? 0 : 1;
