import { keyIdentity } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { choosePartitioner, subtractByKey } from './pair-operations.ts';
import { HashPartitioner, type Partitioner } from './partitioner.ts';
import type { RDD } from './rdd.ts';
import type { Partitioning } from './row-types.ts';
import { pushBlocks, ShuffleDependency } from './shuffle-dependency.ts';
import { mapStage } from './stages.ts';
import { andThen } from './task.ts';
import { checkInteger } from './validation.ts';

/** Operations that take rows for members of sets: equal by value, as keys are. */

export function distinct<T>(rdd: RDD<T>, numPartitions: number): RDD<T> {
  checkInteger('distinct: numPartitions', numPartitions, 1);
  const partitioner = new HashPartitioner(numPartitions);
  const shuffle = shuffleUnique(rdd, 'distinct', partitioner);
  return rdd.context.rdd<T>({
    name: 'distinct',
    numPartitions,
    dependencies: [shuffle],
    pipe: (partition, task, push) => {
      const seen = new Set<unknown>();
      const pushNew = (row: T): void => {
        const identity = keyIdentity(row);
        if (seen.has(identity)) return;
        seen.add(identity);
        push(row);
      };
      return pushBlocks(shuffle.blocks(partition), pushNew, task);
    },
  });
}

export function intersection<T>(a: RDD<T>, b: RDD<T>, partitioning?: Partitioning): RDD<T> {
  if (a.context !== b.context) {
    throw new TidemarkError('GRAPH_INVALID', 'intersection: the RDDs belong to different contexts.');
  }
  const partitioner = choosePartitioner([a, b], partitioning);
  const ours = shuffleUnique(a, 'intersection', partitioner);
  const theirs = shuffleUnique(b, 'intersection', partitioner);
  return a.context.rdd<T>({
    name: 'intersection',
    numPartitions: partitioner.numPartitions,
    dependencies: [ours, theirs],
    pipe: (partition, task, push) => {
      const wanted = new Set<unknown>();
      const want = (row: T): void => {
        wanted.add(keyIdentity(row));
      };
      // Taken out when it is found: each row once.
      const pushWanted = (row: T): void => {
        if (wanted.delete(keyIdentity(row))) push(row);
      };
      return andThen(pushBlocks(theirs.blocks(partition), want, task), () =>
        pushBlocks(ours.blocks(partition), pushWanted, task),
      );
    },
  });
}

export function subtract<T>(a: RDD<T>, b: RDD<T>, partitioning?: Partitioning): RDD<T> {
  return subtractByKey(asKeys(a), asKeys(b), partitioning, 'subtract').through('subtract', (push) =>
    mapStage((row: readonly [T, null]) => row[0], push),
  );
}

function asKeys<T>(rdd: RDD<T>): RDD<readonly [T, null]> {
  return rdd.through<readonly [T, null]>('keys', (push) => mapStage((row: T) => [row, null] as const, push));
}

/** Rows to the partitions of `partitioner`, each once per map partition. */
function shuffleUnique<T>(rdd: RDD<T>, name: string, partitioner: Partitioner): ShuffleDependency<T, T[]> {
  return new ShuffleDependency<T, T[]>(rdd, name, () => {
    const seen = new Set<unknown>();
    const blocks: T[][] = Array.from({ length: partitioner.numPartitions }, () => []);
    return {
      push: (row) => {
        const identity = keyIdentity(row);
        if (seen.has(identity)) return;
        seen.add(identity);
        blocks[partitioner.partition(row)]!.push(row);
      },
      finish: () => blocks,
    };
  });
}
