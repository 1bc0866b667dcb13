import { TidemarkError, toError } from '../base/errors.ts';
import type { StagedHandle } from '../checkpoint/records.ts';
import type { Batch } from '../dstream/batch.ts';
import { formatPrint, type Output } from '../dstream/output.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { Driver } from './driver.ts';

/** What a batch leaves to be done once it is committed. */
export interface Effects {
  readonly handles: StagedHandle[];
  readonly prints: (() => void)[];
}

/** Runs the outputs in order of registration: what acts at once acts, what is staged is staged last. */
export async function runOutputs(
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
