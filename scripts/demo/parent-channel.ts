import { TidemarkError, toError } from '../../src/base/errors.ts';

/** Resolves when the message is with the parent; nothing happens without one. A process must not exit before that. */
export function tellParent<M extends { readonly type: string }>(message: M): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected || !process.send) return resolve();
    // An error means that the parent is gone: then there is nobody to tell.
    process.send(message, undefined, undefined, () => resolve());
  });
}

/** Runs the work of a child process and ends the process; a failure is told to the parent, or printed without one. */
export async function runChild(work: () => Promise<void>): Promise<never> {
  try {
    await work();
    process.exit(0);
  } catch (thrown) {
    const error = toError(thrown);
    if (!process.connected) console.error(error);
    const code = error instanceof TidemarkError ? error.code : 'INTERNAL';
    const message = error instanceof TidemarkError ? error.message : (error.stack ?? error.message);
    await tellParent({ type: 'failed', code, message });
    process.exit(1);
  }
}
