import { keyIdentity } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { copyPlain } from '../base/plain-data.ts';
import { type Aggregator, combineAfterShuffle, combineBeforeShuffle, combineInPlace } from './combine.ts';
import { ownValue } from './own-value.ts';
import { HashPartitioner, type Partitioner, samePartitioner } from './partitioner.ts';
import type { Dependency, RDD } from './rdd.ts';
import { inTurns, pushRows } from './row-loops.ts';
import type { Partitioning } from './row-types.ts';
import { pushBlocks, type ShuffleDependency, shuffleRows } from './shuffle-dependency.ts';
import type { CombineStage } from './stages.ts';
import { andThen, inOrder, type TaskContext } from './task.ts';
import { checkFunction } from './validation.ts';

type Pair<K, V> = readonly [K, V];

/**
 * The partitioner a wide operation uses: as asked for, else the largest among its inputs, unless that is small beside the
 * input with the most partitions (by a factor of 10) and smaller than the default; else as many hash partitions as the
 * context's parallelism says, or, where none was set, as the largest input has. Source: Spark's Partitioner.defaultPartitioner.
 */
export function choosePartitioner(rdds: readonly RDD<unknown>[], partitioning?: Partitioning): Partitioner {
  if (typeof partitioning === 'object') return partitioning;
  if (partitioning !== undefined) return new HashPartitioner(partitioning);
  let largest: Partitioner | undefined;
  let partitionsMax = 1;
  for (const { partitioner, numPartitions } of rdds) {
    partitionsMax = Math.max(partitionsMax, numPartitions);
    if (partitioner !== undefined && partitioner.numPartitions > (largest?.numPartitions ?? 0)) largest = partitioner;
  }
  const { context } = rdds[0]!;
  const usual = context.isParallelismSet ? context.defaultParallelism : partitionsMax;
  if (largest === undefined) return new HashPartitioner(usual);
  const isLargeEnough = partitionsMax / largest.numPartitions < 10 || largest.numPartitions >= usual;
  return isLargeEnough ? largest : new HashPartitioner(usual);
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

/** @param stage as for reduceByKey. */
export function groupByKey<K, V>(
  rdd: RDD<Pair<K, V>>,
  partitioning?: Partitioning,
  stage?: CombineStage,
): RDD<[K, V[]]> {
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
    stage,
  };
  return combineByKey(rdd, 'groupByKey', aggregator, partitioning);
}

export function partitionBy<K, V>(
  rdd: RDD<Pair<K, V>>,
  partitioner: Partitioner,
  name: string = 'partitionBy',
): RDD<Pair<K, V>> {
  if (typeof partitioner !== 'object' || typeof partitioner?.partition !== 'function') {
    throw new TidemarkError(
      'OPTION_INVALID',
      `${name}: partitioner must be a Partitioner, e.g. new HashPartitioner(8).`,
    );
  }
  if (samePartitioner(rdd.partitioner, partitioner)) return rdd;
  const shuffle = shuffleByKey(rdd, name, partitioner);
  return rdd.context.rdd<Pair<K, V>>({
    name: 'partitionBy',
    numPartitions: partitioner.numPartitions,
    partitioner,
    dependencies: [shuffle],
    pipe: (partition, task, push) => pushBlocks(shuffle.blocks(partition), push, task),
  });
}

/** Per key, one array of values for each input. Keys in first-seen order, input after input. */
export function cogroup<K>(
  inputs: readonly RDD<Pair<K, unknown>>[],
  partitioning?: Partitioning,
  name: string = 'cogroup',
): RDD<[K, unknown[][]]> {
  const context = inputs[0]!.context;
  if (inputs.some((input) => input.context !== context)) {
    throw new TidemarkError('GRAPH_INVALID', `${name}: the RDDs belong to different contexts.`);
  }
  const partitioner = choosePartitioner(inputs, partitioning);
  const sides = inputs.map((input) => alignedSide(input, partitioner, name));
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
      return andThen(inOrder(sides.length, read), () => pushRows([...groups.values()], push, task));
    },
  });
}

/** The arguments of a cogroup with up to three others: RDDs, then perhaps a partitioning. */
export function cogroupAll<K>(
  first: RDD<Pair<K, unknown>>,
  args: readonly (RDD<Pair<K, unknown>> | Partitioning | undefined)[],
): RDD<[K, unknown[][]]> {
  const isInput = (arg: unknown): arg is RDD<Pair<K, unknown>> =>
    typeof (arg as { pipe?: unknown } | undefined)?.pipe === 'function';
  const others = args.filter(isInput);
  const rest = args.slice(others.length);
  if (others.length < 1 || others.length > 3 || rest.length > 1 || rest.some(isInput)) {
    throw new TidemarkError('OPTION_INVALID', 'cogroup: give one to three other RDDs, then perhaps a partitioning.');
  }
  return cogroup([first, ...others], rest[0] as Partitioning | undefined);
}

interface AlignedSide<K> {
  readonly dependency: Dependency;
  readonly pipe: RDD<Pair<K, unknown>>['pipe'];
}

/** An input by the partitions of `partitioner`: directly when it has them already, else through a shuffle. */
function alignedSide<K>(input: RDD<Pair<K, unknown>>, partitioner: Partitioner, name: string): AlignedSide<K> {
  if (samePartitioner(input.partitioner, partitioner)) {
    return { dependency: input, pipe: (partition, task, push) => input.pipe(partition, task, push) };
  }
  const shuffle = shuffleByKey(input, name, partitioner);
  return {
    dependency: shuffle,
    pipe: (partition, task, push) => pushBlocks(shuffle.blocks(partition), push, task),
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
  const groups = cogroup<K>([left, right], partitioning);
  return groups.context.rdd<[K, [V | undefined, W | undefined]]>({
    name,
    numPartitions: groups.numPartitions,
    partitioner: groups.partitioner,
    dependencies: [groups],
    pipe: (partition, task, push) => {
      const sides: JoinedKey<K, V | undefined, W | undefined>[] = [];
      const done = groups.pipe(partition, task, ([key, [ours, theirs]]) => {
        const lefts = (ours!.length > 0 ? ours! : leftFill) as readonly (V | undefined)[];
        const rights = (theirs!.length > 0 ? theirs! : rightFill) as readonly (W | undefined)[];
        if (lefts.length * rights.length > 0) sides.push({ key, lefts, rights });
      });
      return andThen(done, () => pushCombinations(sides, push, task));
    },
  });
}

interface JoinedKey<K, V, W> {
  readonly key: K;
  readonly lefts: readonly V[];
  readonly rights: readonly W[];
}

/** Few keys may have many combinations: others have their turn also between those of one key. */
function pushCombinations<K, V, W>(
  keys: readonly JoinedKey<K, V, W>[],
  push: (row: [K, [V, W]]) => void,
  task: TaskContext,
): void | Promise<void> {
  const total = keys.reduce((sum, { lefts, rights }) => sum + lefts.length * rights.length, 0);
  let at = 0;
  let left = 0;
  let right = 0;
  return inTurns(task, 0, total, (start, end) => {
    for (let i = start; i < end; i++) {
      const { key, lefts, rights } = keys[at]!;
      push([key, [lefts[left]!, rights[right]!]]);
      if (++right < rights.length) continue;
      right = 0;
      if (++left < lefts.length) continue;
      left = 0;
      at += 1;
    }
  });
}

export function subtractByKey<K, V, W>(
  left: RDD<Pair<K, V>>,
  right: RDD<Pair<K, W>>,
  partitioning: Partitioning = left.partitioner ?? Math.max(left.numPartitions, 1),
  name: string = 'subtractByKey',
): RDD<[K, V]> {
  const { context } = left;
  if (right.context !== context) {
    throw new TidemarkError('GRAPH_INVALID', `${name}: the RDDs belong to different contexts.`);
  }
  const partitioner = choosePartitioner([left], partitioning);
  const ours = alignedSide(left, partitioner, name);
  const theirs = alignedSide(right, partitioner, name);
  return context.rdd<[K, V]>({
    name,
    numPartitions: partitioner.numPartitions,
    partitioner,
    dependencies: [ours.dependency, theirs.dependency],
    pipe: (partition, task, push) => {
      const unwanted = new Set<unknown>();
      const read = theirs.pipe(partition, task, (row) => {
        unwanted.add(keyIdentity(row[0]));
      });
      return andThen(read, () =>
        ours.pipe(partition, task, (row) => {
          if (!unwanted.has(keyIdentity(row[0]))) push([row[0], row[1] as V]);
        }),
      );
    },
  });
}

function shuffleByKey<K, V>(
  rdd: RDD<Pair<K, V>>,
  name: string,
  partitioner: Partitioner,
): ShuffleDependency<Pair<K, V>, Pair<K, V>[]> {
  return shuffleRows(rdd, name, partitioner.numPartitions, (row) => partitioner.partition(row[0]));
}

function same<V>(value: V): V {
  return value;
}
