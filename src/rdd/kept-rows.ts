import type { Pipe } from './rdd.ts';
import { andThen } from './task.ts';

/** Rows by partition, for as long as somebody wants them. */
export interface KeptRows<T> {
  readonly partitions: Map<number, readonly T[]>;
  isWanted: boolean;
}

/** Computes a partition on the first call, whole even if the reader stops early, and replays it afterwards. */
export function keeping<T>(kept: KeptRows<T>, compute: Pipe<T>): Pipe<T> {
  return (partition, task, push) => {
    const replay = (rows: readonly T[]): void => {
      if (kept.isWanted) kept.partitions.set(partition, rows);
      for (let i = 0; i < rows.length; i++) push(rows[i]!);
    };
    const rows = kept.partitions.get(partition);
    if (rows !== undefined) return replay(rows);
    const collected: T[] = [];
    const done = compute(partition, task, (row: T) => {
      collected.push(row);
    });
    return andThen(done, () => replay(collected));
  };
}
