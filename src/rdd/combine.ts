import { keyIdentity } from '../base/canonical-key.ts';
import type { Partitioner } from './partitioner.ts';
import type { RDD } from './rdd.ts';
import { inTurns } from './row-loops.ts';
import { pushBlocks, ShuffleDependency, type ShuffleWriter } from './shuffle-dependency.ts';
import { type Cell, type CombineStage, combineStage } from './stages.ts';
import { andThen, inOrder, isPromise, type TaskContext } from './task.ts';

/** How the values of a key become one. Accumulators (C) belong to the aggregator and may be changed in place. */
export interface Aggregator<V, C> {
  readonly create: (value: V) => C;
  readonly mergeValue: (combined: C, value: V) => C;
  readonly mergeCombiners: (a: C, b: C) => C;
  /** Combine within each map partition before the shuffle. Default true. */
  readonly mapSideCombine?: boolean | undefined;
  /** When `create` gives back its argument: makes a value that may be changed, before the first merge of a key. */
  readonly own?: ((value: C) => C) | undefined;
  /** The hot loop, when a pipeline has its own copy of it (own-copy.ts). */
  readonly stage?: CombineStage | undefined;
}

/** No shuffle: equal keys are already in the same partition. */
export function combineInPlace<K, V, C>(
  rdd: RDD<readonly [K, V]>,
  name: string,
  partitioner: Partitioner,
  aggregator: Aggregator<V, C>,
): RDD<[K, C]> {
  return rdd.context.rdd<[K, C]>({
    name,
    numPartitions: partitioner.numPartitions,
    partitioner,
    dependencies: [rdd],
    pipe: (partition, task, push) => {
      const cells: Cell<K, C>[] = [];
      const add = combining<K, V, C>(aggregator, (cell) => cells.push(cell));
      return andThen(rdd.pipe(partition, task, add), () => emit(cells, push, task));
    },
  });
}

/** Rows cross the shuffle as they are and are combined behind it. */
export function combineAfterShuffle<K, V, C>(
  rdd: RDD<readonly [K, V]>,
  name: string,
  shuffle: ShuffleDependency<readonly [K, V], (readonly [K, V])[]>,
  partitioner: Partitioner,
  aggregator: Aggregator<V, C>,
): RDD<[K, C]> {
  return rdd.context.rdd<[K, C]>({
    name,
    numPartitions: partitioner.numPartitions,
    partitioner,
    dependencies: [shuffle],
    pipe: (partition, task, push) => {
      const cells: Cell<K, C>[] = [];
      const add = combining<K, V, C>(aggregator, (cell) => cells.push(cell));
      return andThen(pushBlocks(shuffle.blocks(partition), add, task), () => emit(cells, push, task));
    },
  });
}

/**
 * Combined on the map side, merged behind the shuffle.
 *
 * Merging may change accumulators that are part of the map output, so it happens once per reduce partition and the result
 * is kept with the outputs. A merge that throws half-way invalidates them: the next try starts from the rows.
 */
export function combineBeforeShuffle<K, V, C>(
  rdd: RDD<readonly [K, V]>,
  name: string,
  partitioner: Partitioner,
  aggregator: Aggregator<V, C>,
): RDD<[K, C]> {
  const numPartitions = partitioner.numPartitions;
  const createWriter = (): ShuffleWriter<readonly [K, V], Cell<K, C>[]> => {
    const blocks: Cell<K, C>[][] = Array.from({ length: numPartitions }, () => []);
    const push = combining<K, V, C>(aggregator, (cell) => blocks[partitioner.partition(cell.key)]!.push(cell));
    return { push, finish: () => blocks };
  };
  const shuffle = new ShuffleDependency<readonly [K, V], Cell<K, C>[]>(rdd, name, createWriter, {
    form: {
      pack: (cells) => [cells.map(({ key }) => key), cells.map(({ value }) => value)],
      // What has come from another thread is nobody else's.
      unpack: ([keys, values]) => keys!.map((key, i) => ({ key: key as K, value: values![i] as C, isOwned: true })),
    },
  });
  let merged: (readonly Cell<K, C>[] | Promise<readonly Cell<K, C>[]> | undefined)[] = [];
  let mergedVersion = 0;
  return rdd.context.rdd<[K, C]>({
    name,
    numPartitions,
    partitioner,
    dependencies: [shuffle],
    pipe: (partition, task, push) => {
      if (mergedVersion !== shuffle.version) {
        merged = [];
        mergedVersion = shuffle.version;
      }
      merged[partition] ??= mergeCells(shuffle, partition, aggregator, task);
      return andThen(merged[partition], (cells) => emit(cells, push, task));
    },
  });
}

/** No cells yet, and the push that makes them. */
function combining<K, V, C>(
  aggregator: Aggregator<V, C>,
  add: (cell: Cell<K, C>) => void,
): (row: readonly [K, V]) => void {
  const { create, mergeValue, own, stage = combineStage } = aggregator;
  return stage.combine<K, V, C>(keyIdentity, create, mergeValue, own, add);
}

function mergeCells<K, V, C>(
  shuffle: ShuffleDependency<readonly [K, V], Cell<K, C>[]>,
  partition: number,
  aggregator: Aggregator<V, C>,
  task: TaskContext,
): readonly Cell<K, C>[] | Promise<readonly Cell<K, C>[]> {
  const { mergeCombiners, own, stage = combineStage } = aggregator;
  const filled = shuffle.blocks(partition).filter((block) => block.length > 0);
  if (filled.length <= 1) return filled[0] ?? [];
  const cells: Cell<K, C>[] = [];
  const take = stage.merge<K, C>(keyIdentity, mergeCombiners, own, (cell) => cells.push(cell));
  const failed = (error: unknown): never => {
    shuffle.invalidate();
    throw error;
  };
  try {
    const done = inOrder(filled.length, (b) => {
      const block = filled[b]!;
      return inTurns(task, 0, block.length, (start, end) => take(block, start, end, b === 0, b === filled.length - 1));
    });
    return isPromise(done) ? done.then(() => cells, failed) : cells;
  } catch (error) {
    return failed(error);
  }
}

function emit<K, C>(
  cells: readonly Cell<K, C>[],
  push: (row: [K, C]) => void,
  task: TaskContext,
): void | Promise<void> {
  return inTurns(task, 0, cells.length, (start, end) => {
    for (let i = start; i < end; i++) push([cells[i]!.key, cells[i]!.value]);
  });
}
