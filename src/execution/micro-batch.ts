import { TidemarkError, toError } from '../base/errors.ts';
import type { OperatorDelta, PlannedBatch, StagedHandle, StateExtent } from '../checkpoint/records.ts';
import { Batch } from '../dstream/batch.ts';
import { formatPrint, type Output } from '../dstream/output.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { SourcePlan } from '../sources/source.ts';
import type { Driver } from './driver.ts';

/** What a batch leaves to be done once it is committed. */
interface Effects {
  readonly handles: StagedHandle[];
  readonly prints: (() => void)[];
}

interface Plan {
  readonly planned: PlannedBatch;
  readonly sources: ReadonlyMap<string, SourcePlan>;
  /** True when it is durable already. */
  readonly recorded: boolean;
}

/**
 * One batch, from top to bottom. Everything that decides about exactly-once is on this page; what it calls is straight.
 *
 * Invariants
 *   B1. An output that acts during the batch acts on a plan that is durable.
 *   B2. Committed state changes, and staged output is published, only after the record is known to be ours.
 *   B3. A batch that fails before its commit leaves nothing but orphans: the next start runs the same batch time again,
 *       with the recorded ranges if there are any.
 *
 * Resolves with the number of rows read. The named crash points stand between any two durable steps; the crash suite stops a driver at each.
 */
export async function runMicroBatch(driver: Driver, timeMs: number, submissionTimeMs: number): Promise<number> {
  const { graph, log, ports, store, listeners } = driver;
  const startMs = ports.clock.now();
  const operationsBefore = store?.operations.total() ?? 0;
  let committedBytes = 0;
  await ports.crash('batch:begin');

  const replayed = driver.recordedPlan !== undefined;
  const plan = await planBatch(driver, driver.lastBatch.batchId + 1, timeMs);
  const records = [...plan.sources.values()].reduce((sum, source) => sum + source.records, 0);
  const backlog = graph.sources.reduce((sum, { source }) => sum + source.backlog(), 0);
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
  });
  let effects: Effects;
  try {
    const outputs = graph.outputs.map((output) => ({ output, rdd: output.stream.rdd(batch) }));
    await advanceState(driver, batch);
    await ports.crash('batch:state-advanced');
    effects = await runOutputs(driver, batch, outputs);
    await ports.crash('batch:staged');
    const deltas = sealState(driver, batch.batchId);
    const next = await planAhead(driver, batch, timeMs);
    if (log !== undefined) {
      const committed = await log.commitBatch({
        batchId: batch.batchId,
        batchTimeMs: timeMs,
        positions: Object.fromEntries([...plan.sources].map(([uid, { position }]) => [uid, position])),
        deltas,
        handles: effects.handles,
        receipts: driver.receipts,
        plan: next?.planned,
      });
      committedBytes = committed.bytes;
    }
    driver.recordedPlan = next?.planned;
  } catch (error) {
    for (const { table } of driver.stateful) table.discard();
    throw error;
  }
  await ports.crash('batch:committed');

  for (const node of driver.stateful) node.table.merge(node.timeoutThresholdMs(batch)); // B2
  driver.lastBatch = { batchId: batch.batchId, batchTimeMs: timeMs };
  driver.receipts = [];
  for (const { uid, source } of graph.sources) {
    const sourcePlan = plan.sources.get(uid);
    if (sourcePlan !== undefined) source.committed(sourcePlan);
  }
  await ports.crash('batch:state-merged');

  await publish(driver, effects.handles); // B2
  for (const print of effects.prints) print();
  const endMs = ports.clock.now();

  await writeManifestIfDue(driver);
  await log?.retain();
  listeners.post((listener) =>
    listener.onBatchCompleted?.({
      batchId: batch.batchId,
      batchTimeMs: timeMs,
      records,
      submissionTimeMs,
      processingStartTimeMs: startMs,
      processingEndTimeMs: endMs,
      schedulingDelayMs: startMs - submissionTimeMs,
      processingDelayMs: endMs - startMs,
      totalDelayMs: endMs - timeMs,
      replayed,
      backlog,
      checkpoint: { bytes: committedBytes, operations: (store?.operations.total() ?? 0) - operationsBefore },
    }),
  );
  await ports.crash('batch:end');
  return records;
}

/** The recorded plan if there is one, else what has arrived by now. A source the recorded plan does not know is planned afresh. */
async function planBatch(driver: Driver, batchId: number, batchTimeMs: number): Promise<Plan> {
  const recorded = driver.recordedPlan;
  const sources = new Map<string, SourcePlan>();
  let complete = recorded !== undefined;
  for (const { uid, source } of driver.graph.sources) {
    const known = recorded?.sources[uid] as SourcePlan | undefined;
    if (known === undefined) complete = false;
    sources.set(uid, known ?? (await source.plan()));
  }
  return { planned: { batchId, batchTimeMs, sources: Object.fromEntries(sources) }, sources, recorded: complete };
}

/**
 * The plan of the next batch, when it may ride in this batch's record: an output acts during the batch (else no plan
 * need be durable), and either its time has come already, so that it is no staler for it, or the user wants it so.
 */
async function planAhead(driver: Driver, batch: Batch, timeMs: number): Promise<Plan | undefined> {
  const { graph, log, ports, settings } = driver;
  if (log === undefined || !graph.actsDuringBatch) return undefined;
  const nextTimeMs = timeMs + graph.batchIntervalMs;
  if (!settings.planAhead && ports.clock.now() < nextTimeMs) return undefined;
  driver.recordedPlan = undefined;
  return planBatch(driver, batch.batchId + 1, nextTimeMs);
}

async function advanceState(driver: Driver, batch: Batch): Promise<void> {
  for (const node of driver.stateful) {
    const rdd = node.advance(batch);
    if (rdd === undefined) continue;
    await driver.rdds.runner.run(rdd, (partition, task) => rdd.pipe(partition, task, () => {}));
  }
}

async function runOutputs(
  driver: Driver,
  batch: Batch,
  outputs: readonly { readonly output: Output; readonly rdd: RDD<unknown> | undefined }[],
): Promise<Effects> {
  const { batchId, timeMs, generation } = batch;
  const effects: Effects = { handles: [], prints: [] };
  const staging: (() => Promise<void>)[] = [];
  for (const { output, rdd } of outputs) {
    if (rdd === undefined) continue;
    switch (output.kind) {
      case 'foreach':
        try {
          await output.body(rdd, batch.time, { batchTime: batch.time, batchId, generation });
        } catch (error) {
          throw outputFailed(output.uid, batch, error);
        }
        break;
      case 'print': {
        const rows = await rdd.take(output.rowsMax + 1);
        effects.prints.push(() => driver.ports.print(formatPrint(rows, output.rowsMax, batch.time)));
        break;
      }
      case 'sink': {
        const { uid, sink } = output;
        const partitions = await rdd.collectPartitions();
        staging.push(async () => {
          const handle = await sink.stage({ batchId, batchTimeMs: timeMs, generation }, partitions);
          if (handle !== undefined) effects.handles.push({ uid, batchId, batchTimeMs: timeMs, handle });
        });
        break;
      }
    }
  }
  await driver.ports.crash('batch:outputs-run');
  for (const stage of staging) await stage();
  return effects;
}

function outputFailed(uid: string, batch: Batch, error: unknown): TidemarkError {
  if (error instanceof TidemarkError && error.kind !== 'user') return error;
  const cause = error instanceof TidemarkError ? (error.cause ?? error) : error;
  return new TidemarkError(
    'TASK_FAILED',
    `The function of output '${uid}' failed in batch ${batch.batchId} (${batch.time}): ${toError(cause).message}. ` +
      'The batch is not committed; the next start runs it again with the same records.',
    { cause, context: { uid, batchId: batch.batchId, batchTimeMs: batch.timeMs } },
  );
}

export function sealState(driver: Driver, batchId: number): OperatorDelta[] {
  return driver.stateful.map(({ uid, table }) => ({ uid, ...table.seal(batchId) }));
}

/** Makes committed output visible. Also at a restart, for handles that have no receipt yet. */
export async function publish(driver: Driver, handles: readonly StagedHandle[]): Promise<void> {
  await driver.ports.crash('publish:before');
  for (const { uid, batchId, handle } of handles) {
    const output = driver.graph.outputs.find((candidate) => candidate.uid === uid);
    if (output?.kind === 'sink') await output.sink.publish(handle);
    driver.receipts.push({ uid, batchId });
    await driver.ports.crash('publish:one-done');
  }
  await driver.ports.crash('publish:all-done');
}

/** State as of the batch just committed; the next commit adopts it. */
async function writeManifestIfDue(driver: Driver): Promise<void> {
  const due = driver.log?.manifestDue();
  if (due === undefined) return;
  const extents: StateExtent[] = [];
  for (const { uid, table } of driver.stateful) {
    const kind = due.get(uid);
    if (kind !== undefined) extents.push({ uid, kind, bytes: table.encodeForManifest(kind) });
  }
  await driver.log?.writeManifest(extents);
  for (const { table } of driver.stateful) table.manifestWritten(driver.lastBatch.batchId);
}
