import { AsyncLocalStorage } from 'node:async_hooks';
import type { StreamingContextOptions } from '../../../src/index.ts';

/**
 * Runs a hand-written check with worker threads, as it is: its contexts get a master and a module, and a thread that loads
 * the module runs the same check up to the start of the same context. What the check does after that start, it does on the
 * driver's thread only. Functions of the graph see the variables of their own thread, and nothing may be expected of a
 * context before the last one is made: in a worker the others have done nothing.
 */
interface ThreadsOfCase {
  readonly id: string;
  /** In a worker: the contexts before this one are not its own. Undefined: the driver's thread. */
  readonly context: number | undefined;
  contexts: number;
}

const current = new AsyncLocalStorage<ThreadsOfCase>();
const module = new URL('./behaviour-worker.ts', import.meta.url).href;

export async function onWorkerThreads(id: string, check: () => Promise<void>): Promise<void> {
  const threads: ThreadsOfCase = { id, context: undefined, contexts: 0 };
  await current.run(threads, check);
  if (threads.contexts === 0) throw new Error(`'${id}' has made no context that could have worker threads.`);
}

/** For a worker. Does not resolve when the context starts. */
export async function upToContext(id: string, context: number, check: () => Promise<void>): Promise<void> {
  await current.run({ id, context, contexts: 0 }, check);
}

export interface ContextOfCase {
  readonly options: Partial<StreamingContextOptions>;
  /** This thread has no part in it. */
  readonly isOther: boolean;
  /** No worker has what the driver's earlier contexts have left. */
  readonly hasPast: boolean;
}

/** The next context that the check makes. */
export function nextContext(): ContextOfCase {
  const threads = current.getStore();
  if (threads === undefined) return { options: {}, isOther: false, hasPast: true };
  const number = threads.contexts++;
  if (threads.context !== undefined) return { options: {}, isOther: number !== threads.context, hasPast: false };
  const query = new URLSearchParams({ id: threads.id, context: String(number) });
  return { options: { master: 'local[2]', module: `${module}?${query}` }, isOther: false, hasPast: true };
}

/** Stands for a context of the driver's thread alone: whatever is asked of it comes to nothing. */
export function nothing(): never {
  const target = (): void => {};
  const proxy: unknown = new Proxy(target, {
    get: (_, name) => {
      if (name === 'then') return undefined;
      if (name === Symbol.toPrimitive) return () => 0;
      return proxy;
    },
    apply: () => proxy,
  });
  return proxy as never;
}
