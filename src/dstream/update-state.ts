import { type KeyIdentity, keyIdentity } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { copyPlain, equalPlain } from '../base/plain-data.ts';
import type { Time } from '../base/time.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import type { Partitioner } from '../rdd/partitioner.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { StatePartition } from '../state/state-partition.ts';
import { type SchemaOption, ValueSchema } from '../state/state-schema.ts';
import type { Batch } from './batch.ts';
import { type InitialState, type InitialStateLoad, InitialStateLoader } from './initial-state.ts';
import { keyedTable, StatefulNode, type StatefulOptions, StateRDD, statePartitioner } from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';

/** The new state of a key; undefined removes it. `values` is empty when the batch has none for the key. */
export type StateUpdate<K, V, S> = (values: readonly V[], state: S | undefined, key: K, time: Time) => S | undefined;

/** The new states of a partition from all its keys that have state or values; a key it leaves out is removed. */
export type PartitionStateUpdate<K, V, S> = (
  rows: Iterable<[key: K, values: V[], state: S | undefined]>,
  time: Time,
) => Iterable<readonly [K, S]>;

export interface UpdateStateOptions<K, S> extends StatefulOptions, SchemaOption<S> {
  /** Where the state begins on the first start of the stream. The update function runs for these keys in the first batch. */
  readonly initialState?: InitialState<K, S> | undefined;
}

export interface PartitionUpdateOptions<K, S> extends UpdateStateOptions<K, S> {
  /** The function is given a whole partition at a time: Spark's iterator form. */
  readonly perPartition: true;
}

interface UpdateState<K, V, S> extends UpdateStateOptions<K, S> {
  readonly byKey: StateUpdate<K, V, S> | undefined;
  readonly byPartition: PartitionStateUpdate<K, V, S> | undefined;
}

/** Spark's updateStateByKey: every key with state or values, every batch. A key is written only when its value changed. */
export class UpdateStateNode<K, V, S> extends StatefulNode<[K, S]> {
  readonly #parent: StreamNode<readonly [K, V]>;
  readonly #update: UpdateState<K, V, S>;
  readonly #partitioner: Partitioner;
  readonly #initial: InitialStateLoader<K, S>;

  constructor(parent: StreamNode<readonly [K, V]>, update: UpdateState<K, V, S>) {
    const uid = parent.graph.assignUid('updateStateByKey', update.uid);
    const partitioner = statePartitioner(parent.graph, 'updateStateByKey', update);
    super({
      graph: parent.graph,
      operator: 'updateStateByKey',
      uid,
      parent,
      slideMs: parent.slideMs,
      table: keyedTable(new ValueSchema(uid, update.schema), partitioner),
      parameters: {},
    });
    this.#parent = parent;
    this.#update = update;
    this.#partitioner = partitioner;
    this.#initial = new InitialStateLoader(this.table, update.initialState ?? [], (key) => partitioner.partition(key));
  }

  override advance(batch: Batch): RDD<[K, S]> | undefined {
    return this.rdd(batch);
  }

  protected override compute(batch: Batch): RDD<[K, S]> | undefined {
    const load = this.#initial.begin();
    const input = this.#parent.rdd(batch)?.partitionBy(this.#partitioner);
    // No data set and nothing to apply the function to: no data set here either, as in Spark.
    if (input === undefined && load === undefined && this.table.keyCount === 0) return undefined;
    return new StateRDD<readonly [K, V], [K, S]>({
      parent: input ?? batch.rdds.emptyRDD<readonly [K, V]>().partitionBy(this.#partitioner),
      node: this,
      batch,
      keepsKeys: true,
      step: (state, rows, partition) => this.#step(state, rows, partition, batch.time, load),
    });
  }

  *#step(
    state: StatePartition,
    rows: readonly (readonly [K, V])[],
    partition: number,
    time: Time,
    load: InitialStateLoad | undefined,
  ): Steps<[K, S][]> {
    if (load !== undefined) yield* load(state, partition, 0);
    const groups = yield* groupValues(rows);
    const { byKey, byPartition } = this.#update;
    return byPartition === undefined
      ? yield* this.#stepByKey(state, groups, byKey!, time)
      : yield* this.#stepByPartition(state, groups, byPartition, partition, time);
  }

  *#stepByKey(
    state: StatePartition,
    groups: ValueGroups<K, V>,
    update: StateUpdate<K, V, S>,
    time: Time,
  ): Steps<[K, S][]> {
    const out: [K, S][] = [];
    yield* state.visit(0, (id, cell) => {
      const after = update(groups.get(id)?.values ?? [], copyPlain(cell.value) as S, cell.key as K, time);
      groups.delete(id);
      if (after === undefined) {
        state.remove(0, id);
        return;
      }
      if (!equalPlain(after, cell.value)) state.put(0, id, cell.key, after);
      out.push([copyPlain(cell.key) as K, after]);
    });
    let count = 0;
    for (const [id, group] of groups) {
      const after = update(group.values, undefined, group.key, time);
      if (after !== undefined) {
        state.put(0, id, group.key, after);
        out.push([group.key, after]);
      }
      if (++count % keysPerStep === 0) yield;
    }
    return out;
  }

  /** The function is given an iterable; while it takes from that, nobody else has a turn. */
  *#stepByPartition(
    state: StatePartition,
    groups: ValueGroups<K, V>,
    update: PartitionStateUpdate<K, V, S>,
    partition: number,
    time: Time,
  ): Steps<[K, S][]> {
    const input: [K, V[], S | undefined][] = [];
    const before = new Map<KeyIdentity, unknown>();
    yield* state.visit(0, (id, cell) => {
      before.set(id, cell.value);
      input.push([cell.key as K, groups.get(id)?.values ?? [], copyPlain(cell.value) as S]);
      groups.delete(id);
    });
    for (const { key, values } of groups.values()) input.push([key, values, undefined]);

    const out: [K, S][] = [];
    const kept = new Set<KeyIdentity>();
    for (const [key, after] of update(input, time)) {
      const id = keyIdentity(key);
      this.#requireOwn(key, partition, kept.has(id));
      kept.add(id);
      if (!before.has(id) || !equalPlain(after, before.get(id))) state.put(0, id, key, after);
      out.push([key, after]);
      if (out.length % keysPerStep === 0) yield;
    }
    for (const id of before.keys()) if (!kept.has(id)) state.remove(0, id);
    return out;
  }

  /** State of a key in a partition that is not its own, or twice, would not be found again. */
  #requireOwn(key: K, partition: number, isRepeated: boolean): void {
    const problem = isRepeated
      ? 'is returned twice'
      : this.#partitioner.partition(key) !== partition
        ? 'belongs to another partition'
        : undefined;
    if (problem === undefined) return;
    throw new TidemarkError(
      'OPTION_INVALID',
      `updateStateByKey '${this.uid}': key ${JSON.stringify(key)} ${problem}. The function gives back at most one state ` +
        'for each key it was given.',
    );
  }
}

/** The values of a batch by key, in order. */
type ValueGroups<K, V> = Map<KeyIdentity, { readonly key: K; readonly values: V[] }>;

function* groupValues<K, V>(rows: readonly (readonly [K, V])[]): Steps<ValueGroups<K, V>> {
  const groups: ValueGroups<K, V> = new Map();
  for (let i = 0; i < rows.length; i++) {
    const [key, value] = rows[i]!;
    const id = keyIdentity(key);
    const group = groups.get(id);
    if (group === undefined) groups.set(id, { key, values: [value] });
    else group.values.push(value);
    if ((i + 1) % keysPerStep === 0) yield;
  }
  return groups;
}
