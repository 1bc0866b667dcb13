import { type KeyIdentity, keyIdentity } from '../base/canonical-key.ts';
import { copyPlain, equalPlain } from '../base/plain-data.ts';
import { HashPartitioner } from '../rdd/partitioner.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { StatePartition } from '../state/state-partition.ts';
import { StateTable } from '../state/state-table.ts';
import type { Batch } from './batch.ts';
import { StatefulNode, type StatefulOptions, StateRDD } from './stateful-node.ts';
import type { StreamNode } from './stream-node.ts';

type Update<V, S> = (values: readonly V[], state: S | undefined) => S | undefined;

/** Spark's updateStateByKey: every key with state or values, every batch. A key is written only when its value changed. */
export class UpdateStateNode<K, V, S> extends StatefulNode<[K, S]> {
  readonly #parent: StreamNode<readonly [K, V]>;
  readonly #update: Update<V, S>;
  readonly #partitioner: HashPartitioner;

  constructor(parent: StreamNode<readonly [K, V]>, update: Update<V, S>, options: StatefulOptions) {
    const uid = parent.graph.assignUid('updateStateByKey', options.uid);
    const partitioner = new HashPartitioner(options.numPartitions ?? parent.graph.defaultParallelism);
    super({
      graph: parent.graph,
      operator: 'updateStateByKey',
      uid,
      parent,
      slideMs: parent.slideMs,
      table: new StateTable({ uid, numPartitions: partitioner.numPartitions }),
      parameters: {},
    });
    this.#parent = parent;
    this.#update = update;
    this.#partitioner = partitioner;
  }

  override advance(batch: Batch): RDD<[K, S]> | undefined {
    return this.rdd(batch);
  }

  protected override compute(batch: Batch): RDD<[K, S]> {
    const parent = this.#parent.rdd(batch) ?? batch.rdds.emptyRDD<readonly [K, V]>();
    return new StateRDD<readonly [K, V], [K, S]>({
      parent: parent.partitionBy(this.#partitioner),
      node: this,
      batch,
      keepsKeys: true,
      step: (state, rows) => this.#step(state, rows),
    });
  }

  #step(state: StatePartition, rows: readonly (readonly [K, V])[]): [K, S][] {
    const update = this.#update;
    const groups = groupValues(rows);
    const out: [K, S][] = [];
    state.forEach(0, (id, cell) => {
      const after = update(groups.get(id)?.values ?? [], copyPlain(cell.value) as S);
      groups.delete(id);
      if (after === undefined) {
        state.remove(0, id);
        return;
      }
      if (!equalPlain(after, cell.value)) state.put(0, id, cell.key, after);
      out.push([cell.key as K, after]);
    });
    for (const [id, group] of groups) {
      const after = update(group.values, undefined);
      if (after === undefined) continue;
      state.put(0, id, group.key, after);
      out.push([group.key, after]);
    }
    return out;
  }
}

function groupValues<K, V>(rows: readonly (readonly [K, V])[]): Map<KeyIdentity, { key: K; values: V[] }> {
  const groups = new Map<KeyIdentity, { key: K; values: V[] }>();
  for (let i = 0; i < rows.length; i++) {
    const [key, value] = rows[i]!;
    const id = keyIdentity(key);
    const group = groups.get(id);
    if (group === undefined) groups.set(id, { key, values: [value] });
    else group.values.push(value);
  }
  return groups;
}
