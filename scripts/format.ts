import { writeErrorsPage } from './docs-errors.ts';
import { tool } from './steps.ts';

// Formats and applies the safe fixes of the linter; what is left is printed. Writes what is generated from the code.
writeErrorsPage();
process.exitCode = (await tool('biome', ['check', '--write', '.'])) ? 0 : 1;
