import type { OperatorDelta } from '../checkpoint/records.ts';
import type { Batch } from '../dstream/batch.ts';
import type { RemoteBatch } from '../workers/remote-batch.ts';
import type { Driver } from './driver.ts';

/** What a batch needs of the driver to advance its state. */
export type StateDriver = Pick<Driver, 'stateful' | 'rdds' | 'workers' | 'log'>;

/**
 * What a batch does to the state tables, in order. Each gives way to other work of the process where it takes long. State
 * that worker threads hold is advanced and sealed there; what is to be known of it is in the tables here.
 */
export async function advanceState(
  { stateful, rdds, workers }: StateDriver,
  batch: Batch,
  remote: RemoteBatch | undefined,
): Promise<void> {
  for (const node of stateful) {
    const rdd = node.advance(batch);
    if (rdd === undefined) continue;
    if (workers?.state.holds(node)) await remote?.advance(node, rdd.numPartitions);
    else await rdds.runner.run(rdd, (partition, task) => rdd.pipe(partition, task, () => {}));
  }
}

/** `remote` undefined: no batch has run, or there are no worker threads. */
export async function sealState(
  { stateful, rdds, workers }: StateDriver,
  remote: RemoteBatch | undefined,
): Promise<OperatorDelta[]> {
  const parts = await remote?.seal();
  const deltas: OperatorDelta[] = [];
  for (const node of stateful) {
    const { uid, table } = node;
    const steps = workers?.state.holds(node) ? table.assembleSteps(parts?.get(node.id) ?? []) : table.sealSteps();
    deltas.push({ uid, ...(await rdds.turns.run(steps)) });
  }
  return deltas;
}

/** Takes over what the batch changed. Not to be interrupted: what is half merged can't be gone on from. */
export async function mergeState({ stateful, rdds, workers, log }: StateDriver): Promise<void> {
  await workers?.mergeState(log !== undefined);
  for (const { table } of stateful) await rdds.turns.run(table.mergeSteps());
}
