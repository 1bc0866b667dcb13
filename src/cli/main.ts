#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { checkpointVerbs } from './checkpoint.ts';
import { type CommandOutcome, runCommandLine, type Verb } from './command-line.ts';

/** Loaded only when called: `tidemark --help` must not need the packages of a verb. */
const verbs: readonly Verb[] = [
  {
    name: 'emulator',
    summary: 'a local Event Hubs for development and tests',
    run: async (args) => (await import('./emulator.ts')).runEmulator(args),
  },
  ...checkpointVerbs,
];

function readVersion(): string {
  const json = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return json.version;
}

const outcome: CommandOutcome = await runCommandLine(process.argv.slice(2), verbs, readVersion);
if (outcome.output !== '') process.stdout.write(`${outcome.output}\n`);
if (outcome.error !== '') process.stderr.write(`${outcome.error}\n`);
process.exitCode = outcome.exitCode;
