import type { Verb } from './command-line.ts';

/** `tidemark checkpoint ...`: what is told of a stored stream, and done to it, without its program. Loaded when called. */
export const checkpointVerbs: readonly Verb[] = [
  {
    name: 'checkpoint inspect',
    summary: 'what a checkpoint holds: records, operators, positions, sizes',
    run: async (args) => (await import('./checkpoint-inspect.ts')).runInspect(args),
  },
  {
    name: 'checkpoint verify',
    summary: 'check every byte of a checkpoint',
    run: async (args) => (await import('./checkpoint-verify.ts')).runVerify(args),
  },
  {
    name: 'checkpoint state ls',
    summary: 'operators with state, or the keys of one',
    run: async (args) => (await import('./checkpoint-state.ts')).runStateList(args),
  },
  {
    name: 'checkpoint state get',
    summary: 'the value of a key',
    run: async (args) => (await import('./checkpoint-state.ts')).runStateGet(args),
  },
  {
    name: 'checkpoint state diff',
    summary: 'what changed between two batches',
    run: async (args) => (await import('./checkpoint-state.ts')).runStateDiff(args),
  },
  {
    name: 'checkpoint export',
    summary: 'a verified copy of a stream at another place',
    run: async (args) => (await import('./checkpoint-export.ts')).runExport(args),
  },
  {
    name: 'checkpoint positions export',
    summary: 'where a stream stands in its inputs, also for lag dashboards',
    run: async (args) => (await import('./checkpoint-export.ts')).runPositionsExport(args),
  },
  {
    name: 'checkpoint gc',
    summary: 'with --dry-run: what retention would delete, what is orphaned',
    run: async (args) => (await import('./checkpoint-verify.ts')).runGc(args),
  },
  {
    name: 'checkpoint savepoint',
    summary: 'keep the last batch until the savepoint is removed',
    run: async (args) => (await import('./checkpoint-savepoint.ts')).runSavepoint(args),
  },
  {
    name: 'checkpoint savepoint ls',
    summary: 'the savepoints of a stream',
    run: async (args) => (await import('./checkpoint-savepoint.ts')).runSavepointList(args),
  },
  {
    name: 'checkpoint savepoint rm',
    summary: 'give a savepoint up',
    run: async (args) => (await import('./checkpoint-savepoint.ts')).runSavepointRemove(args),
  },
  {
    name: 'checkpoint rewind',
    summary: 'take a stopped stream back to an earlier batch',
    run: async (args) => (await import('./checkpoint-rewind.ts')).runRewind(args),
  },
  {
    name: 'checkpoint fork',
    summary: 'a new stream that goes on from a batch of another one',
    run: async (args) => (await import('./checkpoint-rewind.ts')).runFork(args),
  },
  {
    name: 'checkpoint drain',
    summary: 'ask the running driver to finish and stop',
    run: async (args) => (await import('./checkpoint-rewind.ts')).runDrain(args),
  },
  {
    name: 'checkpoint positions import',
    summary: 'begin where other consumers, or an export, stand',
    run: async (args) => (await import('./checkpoint-import.ts')).runPositionsImport(args),
  },
];
