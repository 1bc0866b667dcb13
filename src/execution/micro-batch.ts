import type { OperatorDelta } from '../checkpoint/records.ts';
import { Batch } from '../dstream/batch.ts';
import { planAhead, planBatch } from './batch-plan.ts';
import type { BatchReport } from './batch-report.ts';
import type { CommitPipeline } from './commit-pipeline.ts';
import type { Driver } from './driver.ts';
import { writeManifestIfDue } from './manifests.ts';
import { type Effects, runOutputs } from './outputs.ts';
import { advanceState, mergeState, sealState } from './state-batch.ts';

/**
 * One batch, from its plan to the moment it is sealed; what follows once its record is durable is CommitPipeline. The two
 * pages decide everything about exactly-once; what they call is straight.
 *
 * Invariants
 *   B1. An output that acts during the batch acts on a plan that is durable.
 *   B2. State tables change only when the batch is sealed, whole. They may then run ahead of the log: if its record does
 *       not become durable, nothing of this process goes on from them.
 *   B3. A batch that fails before its commit leaves nothing but orphans: the next start runs the same batch time again,
 *       with the recorded ranges if there are any.
 *
 * Resolves with the number of rows read, when the record is on its way. The named crash points stand between any two
 * steps; the crash suite stops a driver at each.
 */
export async function runMicroBatch(
  driver: Driver,
  pipeline: CommitPipeline,
  timeMs: number,
  report: BatchReport,
): Promise<number> {
  const { graph, log, ports } = driver;
  await ports.crash('batch:begin');

  const plan = await planBatch(driver, driver.lastBatch.batchId + 1, timeMs);
  report.planned(plan);
  await ports.crash('batch:planned');
  if (graph.actsDuringBatch && !plan.recorded) await log?.recordPlan(plan.planned); // B1
  await ports.crash('batch:plan-recorded');

  const fields = {
    batchId: plan.planned.batchId,
    timeMs,
    zeroTimeMs: driver.zeroTimeMs,
    generation: driver.generation,
    plans: plan.sources,
    isRemembered: graph.remembered.isActive,
  };
  const remote = await driver.workers?.beginBatch(fields);
  const batch = new Batch({ ...fields, rdds: driver.rdds, placement: remote });
  const { batchId } = batch;
  let effects: Effects;
  let deltas: readonly OperatorDelta[];
  try {
    const outputs = graph.outputs.map((output) => ({ output, rdd: output.stream.rdd(batch) }));
    await advanceState(driver, batch, remote);
    await ports.crash('batch:state-advanced');
    effects = await runOutputs(driver, batch, outputs, report);
    await ports.crash('batch:staged');
    await graph.remembered.keepRows(batch, graph.sources);
    deltas = await sealState(driver, remote);
    driver.recordedPlan = (await planAhead(driver, batchId, timeMs))?.planned;
  } catch (error) {
    for (const { table } of driver.stateful) table.discard();
    remote?.discard();
    throw error;
  } finally {
    remote?.end();
    driver.rdds.watch?.batchEnded();
  }
  await mergeState(driver); // B2
  driver.lastBatch = { batchId, batchTimeMs: timeMs };
  report.sealed();
  await ports.crash('batch:sealed');

  const { positions, sources } = plan;
  const rows = Array.from(effects.rows, ([uid, bytes]) => ({ uid, bytes }));
  const { handles } = effects;
  const commit = { batchId, batchTimeMs: timeMs, positions, deltas, handles, outputs: rows, plan: driver.recordedPlan };
  pipeline.submit({ batch, plan, effects, commit, report });
  await writeManifestIfDue(driver);
  return [...sources.values()].reduce((sum, { records }) => sum + records, 0);
}
