import { runSteps } from './steps.ts';
import { fastSteps } from './suites.ts';

// The loop while writing code: under a minute. `npm test` runs this and every other suite.
const failed = await runSteps(fastSteps());
if (failed.length > 0) console.error(`\nfailed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;
