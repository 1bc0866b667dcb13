import { TidemarkError } from '../base/errors.ts';
import type { OperatorDelta, StateExtent } from '../checkpoint/records.ts';
import { Batch } from '../dstream/batch.ts';
import { planAhead, planBatch } from './batch-plan.ts';
import { BatchReport } from './batch-report.ts';
import type { Driver } from './driver.ts';
import { type Effects, publish, runOutputs, unpublishedOf } from './outputs.ts';

/**
 * One batch, from top to bottom. Everything that decides about exactly-once is on this page; what it calls is straight.
 *
 * Invariants
 *   B1. An output that acts during the batch acts on a plan that is durable.
 *   B2. Committed state changes, and staged output is published, only after the record is known to be ours.
 *   B3. A batch that fails before its commit leaves nothing but orphans: the next start runs the same batch time again,
 *       with the recorded ranges if there are any.
 *
 * Resolves with the number of rows read. The named crash points stand between any two durable steps; the crash suite
 * stops a driver at each.
 */
export async function runMicroBatch(driver: Driver, timeMs: number, submissionTimeMs: number): Promise<number> {
  const report = new BatchReport(driver, timeMs, submissionTimeMs);
  try {
    return await runReported(driver, timeMs, report);
  } catch (error) {
    report.failed(error);
    throw error;
  }
}

async function runReported(driver: Driver, timeMs: number, report: BatchReport): Promise<number> {
  const { graph, log, ports } = driver;
  await ports.crash('batch:begin');

  const plan = await planBatch(driver, driver.lastBatch.batchId + 1, timeMs);
  report.planned(plan);
  await ports.crash('batch:planned');
  if (graph.actsDuringBatch && !plan.recorded) await log?.recordPlan(plan.planned); // B1
  await ports.crash('batch:plan-recorded');

  const batch = new Batch({
    batchId: plan.planned.batchId,
    timeMs,
    zeroTimeMs: driver.zeroTimeMs,
    generation: driver.generation,
    rdds: driver.rdds,
    plans: plan.sources,
    isRemembered: graph.remembered.isActive,
  });
  let effects: Effects;
  try {
    const outputs = graph.outputs.map((output) => ({ output, rdd: output.stream.rdd(batch) }));
    await advanceState(driver, batch);
    await ports.crash('batch:state-advanced');
    effects = await runOutputs(driver, batch, outputs, report);
    await ports.crash('batch:staged');
    await graph.remembered.keepRows(batch, graph.sources);
    const deltas = sealState(driver, batch.batchId);
    const next = await planAhead(driver, batch.batchId, timeMs);
    if (log !== undefined) {
      const committed = await log.commitBatch({
        batchId: batch.batchId,
        batchTimeMs: timeMs,
        positions: plan.positions,
        deltas,
        handles: effects.handles,
        outputs: Array.from(effects.rows, ([uid, bytes]) => ({ uid, bytes })),
        receipts: driver.receipts,
        plan: next?.planned,
      });
      report.committedBytes = committed.bytes;
    }
    driver.recordedPlan = next?.planned;
  } catch (error) {
    for (const { table } of driver.stateful) table.discard();
    throw error;
  }
  await ports.crash('batch:committed');

  for (const node of driver.stateful) node.table.merge(); // B2
  driver.lastBatch = { batchId: batch.batchId, batchTimeMs: timeMs };
  driver.receipts = [];
  graph.remembered.add(batch);
  for (const { uid, source } of graph.sources) {
    const sourcePlan = plan.sources.get(uid);
    if (sourcePlan !== undefined) source.committed(sourcePlan);
  }
  await ports.crash('batch:state-merged');

  await publish(driver, unpublishedOf(effects)); // B2
  for (const print of effects.prints) print();
  const endMs = ports.clock.now();

  writeManifestIfDue(driver);
  await retain(driver);
  report.completed(endMs);
  await ports.crash('batch:end');
  return [...plan.sources.values()].reduce((sum, source) => sum + source.records, 0);
}

async function advanceState(driver: Driver, batch: Batch): Promise<void> {
  for (const node of driver.stateful) {
    const rdd = node.advance(batch);
    if (rdd === undefined) continue;
    await driver.rdds.runner.run(rdd, (partition, task) => rdd.pipe(partition, task, () => {}));
  }
}

export function sealState(driver: Driver, batchId: number): OperatorDelta[] {
  return driver.stateful.map(({ uid, table }) => ({ uid, ...table.seal(batchId) }));
}

/** Of the state as of the batch just committed. It is uploaded in the background; a later commit adopts it. */
function writeManifestIfDue(driver: Driver): void {
  const { log } = driver;
  // Without a log nobody asks what has gone since the last manifest, and nothing would ever make tables forget it.
  if (log !== undefined) {
    const due = log.manifestDue();
    if (due === undefined) return;
    const extents: StateExtent[] = [];
    for (const { uid, table } of driver.stateful) {
      const kind = due.get(uid);
      if (kind !== undefined) extents.push({ uid, kind, bytes: table.encodeForManifest(kind) });
    }
    // A failure is that of the next commit.
    log.writeManifest(extents).catch(() => {});
  }
  for (const { table } of driver.stateful) table.manifestWritten();
}

/** Deletes what is no longer needed. The batch is committed: a store that refuses a delete now is asked again later. */
async function retain({ log, ports }: Driver): Promise<void> {
  try {
    await log?.retain();
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.kind !== 'unavailable') throw error;
    ports.warn(`Old objects of the checkpoint could not be deleted, trying again later: ${error.message}`);
  }
}
