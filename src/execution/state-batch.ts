import type { OperatorDelta } from '../checkpoint/records.ts';
import type { Batch } from '../dstream/batch.ts';
import type { Driver } from './driver.ts';

/** What a batch needs of the driver to advance its state. */
export type StateDriver = Pick<Driver, 'stateful' | 'rdds'>;

/** What a batch does to the state tables, in order. Each gives way to other work of the process where it takes long. */
export async function advanceState({ stateful, rdds }: StateDriver, batch: Batch): Promise<void> {
  for (const node of stateful) {
    const rdd = node.advance(batch);
    if (rdd === undefined) continue;
    await rdds.runner.run(rdd, (partition, task) => rdd.pipe(partition, task, () => {}));
  }
}

export async function sealState({ stateful, rdds }: StateDriver): Promise<OperatorDelta[]> {
  const deltas: OperatorDelta[] = [];
  for (const { uid, table } of stateful) deltas.push({ uid, ...(await rdds.turns.run(table.sealSteps())) });
  return deltas;
}

/** Takes over what the batch changed. Not to be interrupted: what is half merged can't be gone on from. */
export async function mergeState({ stateful, rdds }: StateDriver): Promise<void> {
  for (const { table } of stateful) await rdds.turns.run(table.mergeSteps());
}
