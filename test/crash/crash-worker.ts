import { flushCompileCache } from 'node:module';
import type { StreamingContext } from '../../src/streaming-context.ts';
import { type CrashThreads, programOfWorker } from './crash-scenario.ts';

/** For worker threads of the crash suite. */
export function create(): StreamingContext {
  flushCompileCache();
  const given = new URL(import.meta.url).searchParams;
  return programOfWorker(given.get('outputUrl')!, given.get('born') as CrashThreads['born']);
}
