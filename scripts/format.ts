import { tool } from './steps.ts';

// Formats and applies the safe fixes of the linter; what is left is printed.
process.exitCode = (await tool('biome', ['check', '--write', '.'])) ? 0 : 1;
