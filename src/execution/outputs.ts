import { TidemarkError, toError } from '../base/errors.ts';
import type { StagedHandle, UnpublishedHandle } from '../checkpoint/records.ts';
import type { Batch } from '../dstream/batch.ts';
import { formatPrint, type Output, type SinkOutput } from '../dstream/output.ts';
import type { Place } from '../rdd/loop-profile.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { BatchReport } from './batch-report.ts';
import type { Driver } from './driver.ts';
import { publishOutput, stageOutput } from './sink-delivery.ts';

/** What a batch leaves to be done once it is committed. */
export interface Effects {
  readonly handles: StagedHandle[];
  /** By output uid: rows that are kept in the record. */
  readonly rows: Map<string, Uint8Array>;
  readonly prints: (() => void)[];
}

/**
 * Runs the outputs in order of registration: what acts at once acts, what is staged is staged last.
 *
 * When the program's own code fails, the outputs after it are still tried, as in Spark, so that one report names all that
 * fail; then the batch fails with the first error.
 */
export async function runOutputs(
  driver: Driver,
  batch: Batch,
  outputs: readonly { readonly output: Output; readonly rdd: RDD<unknown> | undefined }[],
  report: BatchReport,
): Promise<Effects> {
  const effects: Effects = { handles: [], rows: new Map(), prints: [] };
  const staging: { readonly output: Output; readonly stage: () => Promise<void> }[] = [];
  const failures: unknown[] = [];
  for (const { output, rdd } of outputs) {
    if (rdd === undefined) {
      if (output.kind === 'sink') await stageNothing(output, batch, effects);
      continue;
    }
    report.outputStarted(output);
    try {
      const stage = await runOutput(driver, batch, output, rdd, effects);
      if (stage === undefined) report.outputCompleted(output);
      else staging.push({ output, stage });
    } catch (error) {
      report.outputCompleted(output, error);
      if (!isOfTheProgram(error)) throw error;
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  await driver.ports.crash('batch:outputs-run');
  for (const { output, stage } of staging) {
    try {
      await stage();
    } catch (error) {
      report.outputCompleted(output, error);
      throw error;
    }
    report.outputCompleted(output);
  }
  return effects;
}

function placeOf({ uid, stream }: Output, { batchId, timeMs: batchTimeMs }: Batch): Place {
  const { id: streamId, label } = stream;
  const operator = 'foreachRDD';
  return { name: operator, origin: { operator, streamId, uid, label, batchId, batchTimeMs } };
}

/** Resolves with what is left to be staged, if anything. */
async function runOutput(
  driver: Driver,
  batch: Batch,
  output: Output,
  rdd: RDD<unknown>,
  effects: Effects,
): Promise<(() => Promise<void>) | undefined> {
  const { batchId, timeMs, generation } = batch;
  switch (output.kind) {
    case 'foreach':
      try {
        const run = (): void | Promise<void> =>
          output.body(rdd, batch.time, { batchTime: batch.time, batchId, generation });
        const { watch } = driver.rdds;
        await (watch === undefined ? run() : watch.call(placeOf(output, batch), undefined, run));
      } catch (error) {
        throw outputFailed(output.uid, batch, error);
      }
      return undefined;
    case 'print': {
      const rows = await rdd.take(output.rowsMax + 1);
      effects.prints.push(() => driver.ports.print(formatPrint(rows, output.rowsMax, batch.time)));
      return undefined;
    }
    case 'sink': {
      const { uid, sink } = output;
      const partitions = await rdd.collectPartitions();
      return async () => {
        const written = { batchId, batchTimeMs: timeMs, generation };
        const { handle, rows } = await stageOutput(sink, written, partitions, driver.rdds.turns);
        if (rows !== undefined) effects.rows.set(uid, rows);
        if (handle !== undefined) effects.handles.push({ uid, batchId, batchTimeMs: timeMs, handle });
      };
    }
  }
}

/** A batch in which the stream of the output has no RDD: nothing is written, but readers of an outbox must get on. */
async function stageNothing({ uid, sink }: SinkOutput, batch: Batch, { rows }: Effects): Promise<void> {
  if (sink.sinkClass !== 'outbox') return;
  const { batchId, timeMs, generation } = batch;
  const staged = await stageOutput(sink, { batchId, batchTimeMs: timeMs, generation }, []);
  if (staged.rows !== undefined) rows.set(uid, staged.rows);
}

/** Its functions threw, or used the API in a way that is refused; nothing is wrong with the stream itself. */
function isOfTheProgram(error: unknown): boolean {
  return !(error instanceof TidemarkError) || error.kind === 'user' || error.kind === 'invalid';
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

/** What a batch has to publish once it is committed: its handles, with the rows that stay in memory until then. */
export function unpublishedOf({ handles, rows }: Effects): readonly UnpublishedHandle[] {
  return handles.map((handle) => {
    const bytes = rows.get(handle.uid);
    return bytes === undefined ? handle : { ...handle, rows: { kind: 'inline', bytes } };
  });
}

/** Makes committed output visible. Also at a restart, for handles that have no receipt yet. */
export async function publish(driver: Driver, handles: readonly UnpublishedHandle[]): Promise<void> {
  const { graph, log, ports, streamId, epoch } = driver;
  await ports.crash('publish:before');
  for (const { uid, batchId, batchTimeMs, handle, rows } of handles) {
    const output = graph.outputs.find((candidate) => candidate.uid === uid);
    if (output?.kind === 'sink') {
      const bytes = rows?.kind === 'inline' ? rows.bytes : rows && (await log?.readContent(rows));
      const batch = { streamId, uid, epoch, batchId, batchTimeMs };
      await publishOutput(output.sink, { handle, rows: bytes, batch }, driver.rdds.turns);
    }
    driver.receipts.push({ uid, batchId });
    await driver.ports.crash('publish:one-done');
  }
  await driver.ports.crash('publish:all-done');
}
