import type { Pipe } from './rdd.ts';
import { pushRows } from './row-loops.ts';
import { andThen } from './task.ts';

/** Rows by partition. */
export type KeptRows<T> = Map<number, readonly T[]>;

/** Computes a partition on the first call, whole even if the reader stops early, and replays it afterwards. */
export function keeping<T>(kept: KeptRows<T>, compute: Pipe<T>): Pipe<T> {
  return (partition, task, push) => {
    const replay = (rows: readonly T[]): void | Promise<void> => {
      kept.set(partition, rows);
      return pushRows(rows, push, task);
    };
    const rows = kept.get(partition);
    if (rows !== undefined) return replay(rows);
    const collected: T[] = [];
    const done = compute(partition, task, (row: T) => {
      collected.push(row);
    });
    return andThen(done, () => replay(collected));
  };
}
