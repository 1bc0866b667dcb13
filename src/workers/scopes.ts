import { AsyncLocalStorage } from 'node:async_hooks';
import { crc32 } from 'node:zlib';
import { type Random, SeededRandom } from '../base/random.ts';

/**
 * Where in the program code runs, so that all workers call the same things by the same names: the generation of one stream
 * in one batch, with all that its functions set going. What is counted within a scope comes in the same order everywhere.
 */
export interface Scope {
  /** Unique among the scopes of a worker, the same on all of them. */
  readonly key: string;
  readonly batchId: number;
  /** The same numbers on all workers. */
  readonly random: Random;
  jobs: number;
  shuffles: number;
}

const scopes = new AsyncLocalStorage<Scope>();

export function runInScope<R>(
  place: { readonly key: string; readonly batchId: number; readonly seed: number },
  work: () => R,
): R {
  const { key, batchId, seed } = place;
  return scopes.run({ key, batchId, random: new SeededRandom(crc32(key, seed)), jobs: 0, shuffles: 0 }, work);
}

export function currentScope(): Scope | undefined {
  return scopes.getStore();
}
