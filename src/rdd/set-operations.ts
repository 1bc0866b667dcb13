import { keyIdentity } from '../base/canonical-key.ts';
import { cogroup, subtractByKey } from './pair-operations.ts';
import { HashPartitioner } from './partitioner.ts';
import type { RDD } from './rdd.ts';
import type { Partitioning } from './row-types.ts';
import { ShuffleDependency } from './shuffle-dependency.ts';
import { mapStage } from './stages.ts';
import { checkInteger } from './validation.ts';

/** Operations that take rows for members of sets: equal by value, as keys are. */

export function distinct<T>(rdd: RDD<T>, numPartitions: number): RDD<T> {
  checkInteger('distinct: numPartitions', numPartitions, 1);
  const partitioner = new HashPartitioner(numPartitions);
  const shuffle = new ShuffleDependency<T, T[]>(rdd, 'distinct', () => {
    const unique = new Map<unknown, T>();
    return {
      push: (row) => {
        const identity = keyIdentity(row);
        if (!unique.has(identity)) unique.set(identity, row);
      },
      finish: () => {
        const blocks: T[][] = Array.from({ length: numPartitions }, () => []);
        for (const row of unique.values()) blocks[partitioner.partition(row)]!.push(row);
        return blocks;
      },
    };
  });
  return rdd.context.rdd<T>({
    name: 'distinct',
    numPartitions,
    dependencies: [shuffle],
    pipe: (partition, _, push) => {
      const seen = new Set<unknown>();
      for (const block of shuffle.blocks(partition)) {
        for (const row of block) {
          const identity = keyIdentity(row);
          if (seen.has(identity)) continue;
          seen.add(identity);
          push(row);
        }
      }
    },
  });
}

export function intersection<T>(a: RDD<T>, b: RDD<T>, partitioning?: Partitioning): RDD<T> {
  return cogroup<T>([asKeys(a), asKeys(b)], partitioning, 'intersection').through<T>(
    'intersection',
    (push) =>
      ([row, [here, there]]) => {
        if (here!.length > 0 && there!.length > 0) push(row);
      },
    // The rows are the keys of the cogroup, but the partitioner speaks of keys of pairs.
    false,
  );
}

export function subtract<T>(a: RDD<T>, b: RDD<T>, partitioning?: Partitioning): RDD<T> {
  return subtractByKey(asKeys(a), asKeys(b), partitioning, 'subtract').through('subtract', (push) =>
    mapStage((row: readonly [T, null]) => row[0], push),
  );
}

function asKeys<T>(rdd: RDD<T>): RDD<readonly [T, null]> {
  return rdd.through<readonly [T, null]>('keys', (push) => mapStage((row: T) => [row, null] as const, push));
}
