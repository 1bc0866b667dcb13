import { keyIdentity } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { copyPlain } from '../base/plain-data.ts';
import { type Aggregator, combineAfterShuffle, combineBeforeShuffle, combineInPlace } from './combine.ts';
import { ownValue } from './own-value.ts';
import { HashPartitioner, type Partitioner, samePartitioner } from './partitioner.ts';
import type { Dependency, Partitioning, RDD } from './rdd.ts';
import { type ShuffleDependency, shuffleRows } from './shuffle-dependency.ts';
import type { CombineStage } from './stages.ts';
import { andThen, inOrder } from './task.ts';
import { checkFunction } from './validation.ts';

type Pair<K, V> = readonly [K, V];

/** The partitioner a wide operation uses: as asked for, else the largest among its inputs, else by the context's parallelism. */
export function choosePartitioner(rdds: readonly RDD<unknown>[], partitioning?: Partitioning): Partitioner {
  if (typeof partitioning === 'object') return partitioning;
  if (partitioning !== undefined) return new HashPartitioner(partitioning);
  let largest: Partitioner | undefined;
  for (const { partitioner } of rdds) {
    if (partitioner !== undefined && partitioner.numPartitions > (largest?.numPartitions ?? 0)) largest = partitioner;
  }
  return largest ?? new HashPartitioner(rdds[0]!.context.defaultParallelism);
}

export function combineByKey<K, V, C>(
  rdd: RDD<Pair<K, V>>,
  name: string,
  aggregator: Aggregator<V, C>,
  partitioning?: Partitioning,
): RDD<[K, C]> {
  for (const field of ['create', 'mergeValue', 'mergeCombiners'] as const) {
    checkFunction(`${name}: ${field}`, aggregator[field]);
  }
  const partitioner = choosePartitioner([rdd], partitioning);
  if (samePartitioner(rdd.partitioner, partitioner)) return combineInPlace(rdd, name, partitioner, aggregator);
  if (aggregator.mapSideCombine ?? true) return combineBeforeShuffle(rdd, name, partitioner, aggregator);
  return combineAfterShuffle(rdd, name, shuffleByKey(rdd, name, partitioner), partitioner, aggregator);
}

/** @param stage the hot loop, when a pipeline has its own copy of it (own-copy.ts). */
export function reduceByKey<K, V>(
  rdd: RDD<Pair<K, V>>,
  f: (a: V, b: V) => V,
  partitioning?: Partitioning,
  stage?: CombineStage,
): RDD<[K, V]> {
  checkFunction('reduceByKey: f', f);
  const aggregator: Aggregator<V, V> = { create: same, mergeValue: f, mergeCombiners: f, own: ownValue, stage };
  return combineByKey(rdd, 'reduceByKey', aggregator, partitioning);
}

export function aggregateByKey<K, V, C>(
  rdd: RDD<Pair<K, V>>,
  name: string,
  zero: C,
  merge: (combined: C, value: V) => C,
  combine: (a: C, b: C) => C,
  partitioning?: Partitioning,
): RDD<[K, C]> {
  checkFunction(`${name}: merge`, merge);
  checkFunction(`${name}: combine`, combine);
  // Copied now, too: the caller may change its object before the job runs.
  const seed = copyPlain(zero);
  const create = (value: V): C => merge(copyPlain(seed), value);
  return combineByKey(rdd, name, { create, mergeValue: merge, mergeCombiners: combine }, partitioning);
}

export function groupByKey<K, V>(rdd: RDD<Pair<K, V>>, partitioning?: Partitioning): RDD<[K, V[]]> {
  const append = (values: V[], value: V): V[] => {
    values.push(value);
    return values;
  };
  // Combining before the shuffle would save nothing: all values cross it anyway.
  const aggregator: Aggregator<V, V[]> = {
    create: (value) => [value],
    mergeValue: append,
    mergeCombiners: (a, b) => a.concat(b),
    mapSideCombine: false,
  };
  return combineByKey(rdd, 'groupByKey', aggregator, partitioning);
}

export function partitionBy<K, V>(rdd: RDD<Pair<K, V>>, partitioner: Partitioner): RDD<Pair<K, V>> {
  if (typeof partitioner !== 'object' || typeof partitioner?.partition !== 'function') {
    throw new TidemarkError(
      'OPTION_INVALID',
      'partitionBy: partitioner must be a Partitioner, e.g. new HashPartitioner(8).',
    );
  }
  if (samePartitioner(rdd.partitioner, partitioner)) return rdd;
  const shuffle = shuffleByKey(rdd, 'partitionBy', partitioner);
  return rdd.context.rdd<Pair<K, V>>({
    name: 'partitionBy',
    numPartitions: partitioner.numPartitions,
    partitioner,
    dependencies: [shuffle],
    pipe: (partition, _, push) => pushBlocks(shuffle.blocks(partition), push),
  });
}

/** Per key, one array of values for each input. Keys in first-seen order, input after input. */
export function cogroup<K>(
  inputs: readonly RDD<Pair<K, unknown>>[],
  partitioning?: Partitioning,
): RDD<[K, unknown[][]]> {
  const context = inputs[0]!.context;
  if (inputs.some((input) => input.context !== context)) {
    throw new TidemarkError('GRAPH_INVALID', 'cogroup: the RDDs belong to different contexts.');
  }
  const partitioner = choosePartitioner(inputs, partitioning);
  const sides = inputs.map((input) => alignedSide(input, partitioner));
  return context.rdd<[K, unknown[][]]>({
    name: 'cogroup',
    numPartitions: partitioner.numPartitions,
    partitioner,
    dependencies: sides.map((side) => side.dependency),
    pipe: (partition, task, push) => {
      const groups = new Map<unknown, [K, unknown[][]]>();
      const read = (index: number): void | Promise<void> =>
        sides[index]!.pipe(partition, task, (row) => {
          const identity = keyIdentity(row[0]);
          let group = groups.get(identity);
          if (group === undefined) {
            group = [row[0], inputs.map(() => [])];
            groups.set(identity, group);
          }
          group[1][index]!.push(row[1]);
        });
      return andThen(inOrder(sides.length, read), () => {
        for (const group of groups.values()) push(group);
      });
    },
  });
}

interface AlignedSide<K> {
  readonly dependency: Dependency;
  readonly pipe: RDD<Pair<K, unknown>>['pipe'];
}

/** An input by the partitions of `partitioner`: directly when it has them already, else through a shuffle. */
function alignedSide<K>(input: RDD<Pair<K, unknown>>, partitioner: Partitioner): AlignedSide<K> {
  if (samePartitioner(input.partitioner, partitioner)) {
    return { dependency: input, pipe: (partition, task, push) => input.pipe(partition, task, push) };
  }
  const shuffle = shuffleByKey(input, 'cogroup', partitioner);
  return {
    dependency: shuffle,
    pipe: (partition, _, push) => pushBlocks(shuffle.blocks(partition), push),
  };
}

type JoinName = 'join' | 'leftOuterJoin' | 'rightOuterJoin' | 'fullOuterJoin';

/** Every combination of the values of a key; an outer join puts undefined for a side that has none. */
export function join<K, V, W>(
  left: RDD<Pair<K, V>>,
  right: RDD<Pair<K, W>>,
  name: JoinName,
  partitioning?: Partitioning,
): RDD<[K, [V | undefined, W | undefined]]> {
  const leftFill = name === 'rightOuterJoin' || name === 'fullOuterJoin' ? [undefined] : [];
  const rightFill = name === 'leftOuterJoin' || name === 'fullOuterJoin' ? [undefined] : [];
  return cogroup<K>([left, right], partitioning).through<[K, [V | undefined, W | undefined]]>(
    name,
    (push) =>
      ([key, [ours, theirs]]) => {
        const lefts = (ours!.length > 0 ? ours! : leftFill) as readonly (V | undefined)[];
        const rights = (theirs!.length > 0 ? theirs! : rightFill) as readonly (W | undefined)[];
        for (const v of lefts) for (const w of rights) push([key, [v, w]]);
      },
    true,
  );
}

export function subtractByKey<K, V, W>(
  left: RDD<Pair<K, V>>,
  right: RDD<Pair<K, W>>,
  partitioning?: Partitioning,
): RDD<[K, V]> {
  return cogroup<K>([left, right], partitioning).through<[K, V]>(
    'subtractByKey',
    (push) =>
      ([key, [ours, theirs]]) => {
        if (theirs!.length === 0) for (const value of ours!) push([key, value as V]);
      },
    true,
  );
}

function shuffleByKey<K, V>(
  rdd: RDD<Pair<K, V>>,
  name: string,
  partitioner: Partitioner,
): ShuffleDependency<Pair<K, V>, Pair<K, V>[]> {
  return shuffleRows(rdd, name, partitioner.numPartitions, (row) => partitioner.partition(row[0]));
}

function pushBlocks<T>(blocks: readonly (readonly T[])[], push: (row: T) => void): void {
  for (const block of blocks) for (let i = 0; i < block.length; i++) push(block[i]!);
}

function same<V>(value: V): V {
  return value;
}
