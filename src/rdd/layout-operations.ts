import type { RDD } from './rdd.ts';
import { pushAll } from './row-loops.ts';
import { pushBlocks, shuffleRows } from './shuffle-dependency.ts';
import { andThen, called, inOrder, pipeOther, rowsOf } from './task.ts';
import { checkInteger } from './validation.ts';

/** Operations on the partitions themselves: their number, and their rows as a whole. */

export function mapPartitions<T, U>(
  rdd: RDD<T>,
  name: string,
  f: (rows: readonly T[], partition: number) => Iterable<U>,
  preservesPartitioning: boolean,
): RDD<U> {
  const mapped: RDD<U> = rdd.context.rdd<U>({
    name,
    numPartitions: rdd.numPartitions,
    partitioner: preservesPartitioning ? rdd.partitioner : undefined,
    dependencies: [rdd],
    pipe: (partition, task, push) =>
      andThen(rowsOf(rdd, partition, task), (rows) =>
        pushAll(
          called(task, mapped, () => f(rows, partition)),
          push,
          task,
        ),
      ),
  });
  return mapped;
}

export function coalesce<T>(rdd: RDD<T>, numPartitions: number): RDD<T> {
  checkInteger('coalesce: numPartitions', numPartitions, 1);
  if (numPartitions >= rdd.numPartitions) return rdd;
  const bound = (i: number): number => Math.floor((i * rdd.numPartitions) / numPartitions);
  return rdd.context.rdd<T>({
    name: 'coalesce',
    numPartitions,
    dependencies: [rdd],
    pipe: (partition, task, push) => {
      const start = bound(partition);
      return inOrder(bound(partition + 1) - start, (i) => pipeOther(rdd, start + i, task, push));
    },
  });
}

export function repartition<T>(rdd: RDD<T>, numPartitions: number, name: string): RDD<T> {
  checkInteger(`${name}: numPartitions`, numPartitions, 1);
  // Each map partition starts at another target, else many small ones would fill only the first targets.
  const shuffle = shuffleRows(rdd, name, numPartitions, (_, i, mapPartition) => (mapPartition + i) % numPartitions);
  return rdd.context.rdd<T>({
    name,
    numPartitions,
    dependencies: [shuffle],
    pipe: (partition, task, push) => pushBlocks(shuffle.blocks(partition), push, task),
  });
}
