import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Tells whether code was called by a running stream: a function of the program, an output, a listener, a source.
 *
 * The end of a stream waits for such code, so such code must not wait for the end. Only the innermost stream is known: a
 * stream that was started by another one does not count as inside that one.
 */
const innermost = new AsyncLocalStorage<object>();

export function runInside<R>(stream: object, work: () => R): R {
  return innermost.run(stream, work);
}

export function isInside(stream: object): boolean {
  return innermost.getStore() === stream;
}
