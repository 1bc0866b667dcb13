import { availableParallelism } from 'node:os';
import { TidemarkError } from '../base/errors.ts';

/** Where a program runs: in how many worker threads, built by which module. */
export interface WorkerSettings {
  readonly count: number;
  readonly module: string;
}

const countMax = 128;

/**
 * Spark's `master`, as far as it is one machine: `local` and `local[1]` are this thread, `local[N]` N worker threads,
 * `local[*]` one for every core. Undefined: no worker threads. @throws OPTION_INVALID
 */
export function workerSettings(master: unknown, module: unknown): WorkerSettings | undefined {
  const count = workersOf(master);
  const url = module instanceof URL ? module.href : module;
  if (url !== undefined && (typeof url !== 'string' || !/^[a-z][a-z0-9+.-]+:/i.test(url))) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `module is ${JSON.stringify(url)}; give the URL of the module that builds the program: import.meta.url in that module.`,
    );
  }
  if (count < 2) return undefined;
  if (url !== undefined) return { count, module: url };
  throw new TidemarkError(
    'OPTION_INVALID',
    `master is '${String(master)}' and module is not given: each worker thread builds the program again, from its module. ` +
      "Give module: import.meta.url, or master: 'local'.",
  );
}

function workersOf(master: unknown): number {
  if (master === undefined || master === 'local') return 1;
  const given = typeof master === 'string' ? /^local\[(\*|\d+)\]$/.exec(master)?.[1] : undefined;
  const count = given === '*' ? availableParallelism() : Number(given);
  if (Number.isInteger(count) && count >= 1 && count <= countMax) return count;
  throw new TidemarkError(
    'OPTION_INVALID',
    `master is ${JSON.stringify(master)}; give 'local', 'local[N]' with N from 1 to ${countMax}, or 'local[*]' for all cores. ` +
      'A cluster is not supported.',
  );
}
