import { parentPort, workerData } from 'node:worker_threads';
import { invariant, TidemarkError, toError } from '../base/errors.ts';
import type { ChannelEnd } from './link.ts';
import type { WorkerStart } from './protocol.ts';
import { becomeWorker } from './worker-role.ts';
import { WorkerThread } from './worker-thread.ts';

/** The first module of a worker thread: loads the program's module, which builds its graph and hands it over. */

interface ProgramModule {
  readonly create?: unknown;
}

invariant(parentPort !== null, 'worker-entry.ts is loaded outside a worker thread.');
const start = workerData as WorkerStart<ChannelEnd>;
const thread = new WorkerThread(start, parentPort as unknown as ChannelEnd);
becomeWorker(thread);

// A program that waits for its start at the top level never ends to load.
load().catch((error) => thread.fail(error));

async function importProgram(): Promise<ProgramModule> {
  try {
    return (await import(start.module)) as ProgramModule;
  } catch (thrown) {
    if (thrown instanceof TidemarkError) throw thrown;
    const { message } = toError(thrown);
    throw new TidemarkError(
      'OPTION_INVALID',
      `module '${start.module}' can't be loaded in a worker thread: ${message}`,
      {
        cause: thrown,
      },
    );
  }
}

async function load(): Promise<void> {
  const loaded = await importProgram();
  if (thread.hasProgram) return;
  if (typeof loaded.create !== 'function') {
    throw new TidemarkError(
      'OPTION_INVALID',
      `module is '${start.module}', and loading it in a worker thread started no StreamingContext. Give the URL of the ` +
        'module that calls start() (import.meta.url there), or one that exports create().',
    );
  }
  const context = (await loaded.create()) as { readonly start?: () => Promise<void> } | undefined;
  if (typeof context?.start !== 'function') {
    throw new TidemarkError('OPTION_INVALID', `create() of '${start.module}' must return a StreamingContext.`);
  }
  context.start().catch((error) => thread.fail(error));
}
