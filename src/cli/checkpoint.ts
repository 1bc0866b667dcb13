import type { Verb } from './command-line.ts';

/** `tidemark checkpoint ...`: what is told of a stored stream without its program. Loaded when called. */
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
];
