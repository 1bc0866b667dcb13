import { TidemarkError } from '../base/errors.ts';
import type { RDD } from './rdd.ts';
import { pushAll } from './row-loops.ts';
import { ShuffleDependency } from './shuffle-dependency.ts';
import { andThen, pipeOther, rowsOf, type TaskContext } from './task.ts';
import { checkFunction } from './validation.ts';

/** Operations that put rows beside other rows, or beside a number. */

/** The other side's partition is read whole before the first row: two streams cannot be pushed in step. */
export function zip<T, U>(left: RDD<T>, right: RDD<U>): RDD<[T, U]> {
  checkSides('zip', [left, right]);
  return left.context.rdd<[T, U]>({
    name: 'zip',
    numPartitions: left.numPartitions,
    dependencies: [left, right],
    pipe: (partition, task, push) =>
      andThen(rowsOf(right, partition, task), (others) => {
        let index = 0;
        const done = left.pipe(partition, task, (row) => {
          // Counted on, so that the message tells both numbers.
          const i = index++;
          if (i < others.length) push([row, others[i]!]);
        });
        return andThen(done, () => {
          if (index !== others.length) throw mismatch(partition, index, others.length);
        });
      }),
  });
}

function mismatch(partition: number, rows: number, otherRows: number): TidemarkError {
  return new TidemarkError(
    'ZIP_MISMATCH',
    `zip: partition ${partition} has ${rows} rows here and ${otherRows} there; each pair of partitions must have the ` +
      'same number of rows. Join by zipWithIndex() keys instead, or use zipPartitions.',
    { context: { partition, rows, otherRows } },
  );
}

/** @param args one to three RDDs, then the function. */
export function zipPartitions<U>(first: RDD<unknown>, args: readonly unknown[]): RDD<U> {
  const f = args.at(-1) as (...rows: readonly (readonly unknown[])[]) => Iterable<U>;
  checkFunction('zipPartitions: f', f);
  const sides = [first, ...(args.slice(0, -1) as readonly RDD<unknown>[])];
  checkSides('zipPartitions', sides);
  return first.context.rdd<U>({
    name: 'zipPartitions',
    numPartitions: first.numPartitions,
    dependencies: sides,
    pipe: (partition, task, push) =>
      andThen(rowsOfAll(sides, partition, task), (rows) => pushAll(f(...rows), push, task)),
  });
}

function rowsOfAll(
  sides: readonly RDD<unknown>[],
  partition: number,
  task: TaskContext,
): unknown[][] | Promise<unknown[][]> {
  return sides.reduce<unknown[][] | Promise<unknown[][]>>(
    (read, side) => andThen(read, (rows) => andThen(rowsOf(side, partition, task), (more) => [...rows, more])),
    [],
  );
}

function checkSides(name: string, sides: readonly RDD<unknown>[]): void {
  for (const side of sides) {
    if (side.context !== sides[0]!.context) {
      throw new TidemarkError('GRAPH_INVALID', `${name}: the RDDs belong to different contexts.`);
    }
  }
  const counts = sides.map((side) => side.numPartitions);
  if (counts.some((count) => count !== counts[0])) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `${name}: the RDDs have different numbers of partitions, ${counts.join(' and ')}; repartition one of them.`,
    );
  }
}

/** Partition i * m + j: every row of partition i with every row of partition j of the other, which is held in memory. */
export function cartesian<T, U>(left: RDD<T>, right: RDD<U>): RDD<[T, U]> {
  if (left.context !== right.context) {
    throw new TidemarkError('GRAPH_INVALID', 'cartesian: the RDDs belong to different contexts.');
  }
  const width = right.numPartitions;
  return left.context.rdd<[T, U]>({
    name: 'cartesian',
    numPartitions: left.numPartitions * width,
    dependencies: [left, right],
    pipe: (partition, task, push) =>
      andThen(otherRows(right, partition % width, task), (others) =>
        pipeOther(left, Math.floor(partition / width), task, (row) => {
          for (let i = 0; i < others.length; i++) push([row, others[i]!]);
        }),
      ),
  });
}

function otherRows<T>(rdd: RDD<T>, partition: number, task: TaskContext): T[] | Promise<T[]> {
  const rows: T[] = [];
  const done = pipeOther(rdd, partition, task, (row) => {
    rows.push(row);
  });
  return andThen(done, () => rows);
}

export function zipWithIndex<T>(rdd: RDD<T>): RDD<[T, number]> {
  const counts = new ShuffleDependency<T, number>(
    rdd,
    'zipWithIndex: count',
    () => {
      let count = 0;
      return {
        push: () => {
          count++;
        },
        finish: () => [count],
      };
    },
    { readers: 'all', form: { pack: (count) => [[count]], unpack: ([column]) => column![0] as number } },
  );
  const isCounted = rdd.numPartitions > 1;
  return rdd.context.rdd<[T, number]>({
    name: 'zipWithIndex',
    numPartitions: rdd.numPartitions,
    dependencies: isCounted ? [rdd, counts] : [rdd],
    pipe: (partition, task, push) => {
      let index = 0;
      if (isCounted) for (const count of counts.blocks(0).slice(0, partition)) index += count;
      return rdd.pipe(partition, task, (row) => push([row, index++]));
    },
  });
}

export function zipWithUniqueId<T>(rdd: RDD<T>): RDD<[T, number]> {
  const { numPartitions } = rdd;
  return rdd.context.rdd<[T, number]>({
    name: 'zipWithUniqueId',
    numPartitions,
    dependencies: [rdd],
    pipe: (partition, task, push) => {
      let id = partition - numPartitions;
      return rdd.pipe(partition, task, (row) => push([row, (id += numPartitions)]));
    },
  });
}
