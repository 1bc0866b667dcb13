import { TidemarkError } from '../base/errors.ts';
import type { RDD } from '../rdd/rdd.ts';

/** Actions that can't be run together with the other workers. */
export function refusedInTask(rdd: RDD<unknown>): TidemarkError {
  return new TidemarkError(
    'GRAPH_INVALID',
    `An action on '${rdd.name}' is called inside a task. Tasks of worker threads run on one thread each, and an action ` +
      'needs all of them: join the RDDs instead, or collect what is needed before the task.',
  );
}

export function refusedOutside(rdd: RDD<unknown>): TidemarkError {
  return new TidemarkError(
    'GRAPH_INVALID',
    `An action on '${rdd.name}' is called in a worker thread, outside the functions of the graph. Call it on the driver's ` +
      'thread (isMainThread of node:worker_threads), or in a function of transform.',
  );
}
