import type { RDD } from '../rdd/rdd.ts';
import { called, isPromise, rowsOf, type TaskContext } from '../rdd/task.ts';

/** Calls that wait for I/O at the same time, per partition. */
export interface AsyncOptions {
  /** Default 8. */
  readonly concurrency?: number | undefined;
}

export const concurrencyDefault = 8;

/**
 * An operator whose function may wait for I/O. Rows keep their order; at most `concurrency` calls of a partition wait at
 * the same time. While the function returns plain values, nothing is awaited. A failed call starts no further ones, those
 * under way are awaited, and the error of the first failed row is thrown: the task is then tried again, all its rows.
 */
export function throughAsync<T, R, U>(
  rdd: RDD<T>,
  name: string,
  call: (row: T) => R | Promise<R>,
  concurrency: number,
  emit: (row: T, result: R, push: (row: U) => void) => void,
  preservesPartitioning: boolean,
): RDD<U> {
  const through: RDD<U> = rdd.context.rdd<U>({
    name,
    numPartitions: rdd.numPartitions,
    partitioner: preservesPartitioning ? rdd.partitioner : undefined,
    dependencies: [rdd],
    timesItself: true,
    pipe: async (partition, task, push) => {
      const rows = await rowsOf(rdd, partition, task);
      const timedCall = (row: T): R | Promise<R> => called(task, through, () => call(row));
      const results = await callAll(rows, timedCall, concurrency, task);
      for (let i = 0; i < rows.length; i++) emit(rows[i]!, results[i]!, push);
    },
  });
  return through;
}

async function callAll<T, R>(
  rows: readonly T[],
  call: (row: T) => R | Promise<R>,
  concurrency: number,
  task: TaskContext,
): Promise<R[]> {
  const results: R[] = new Array(rows.length);
  const failures = new Map<number, unknown>();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < rows.length && failures.size === 0 && !task.signal.aborted) {
      const index = next++;
      try {
        const result = call(rows[index]!);
        results[index] = isPromise(result) ? await result : result;
      } catch (error) {
        failures.set(index, error);
      }
    }
  };
  const lanes: Promise<void>[] = [];
  // A lane runs until its first wait, so a function that never waits is done in one.
  while (lanes.length < concurrency && next < rows.length && failures.size === 0) lanes.push(lane());
  await Promise.all(lanes);
  if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
  task.signal.throwIfAborted();
  return results;
}
