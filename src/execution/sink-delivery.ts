import { TidemarkError } from '../base/errors.ts';
import { decodeRowSteps, encodeRowSteps } from '../base/stored-rows.ts';
import { Turns } from '../base/turns.ts';
import type {
  RewindInfo,
  Sink,
  SinkBatch,
  SinkOpening,
  SinkOutput,
  SinkProgress,
  SinkWrite,
  TransactionalSink,
} from '../sinks/sink.ts';

/** What a sink gives to the record of a batch. */
export interface StagedOutput {
  /** Undefined: nothing is to be published. */
  readonly handle: unknown;
  /** Kept in the record. */
  readonly rows: Uint8Array | undefined;
}

/** The handle of a sink whose rows are in the record. */
const rowsInRecord = 'rows';

/**
 * Before the commit: what the record must hold so that the output survives. Nothing is visible yet. An outbox says also
 * of a batch without rows that it was there, so that its readers get on.
 * @throws VALUE_UNSUPPORTED naming the row, and what `stage` of the sink throws
 */
export async function stageOutput(
  sink: Sink<unknown>,
  batch: SinkBatch,
  partitions: readonly (readonly unknown[])[],
  turns: Turns = new Turns(),
): Promise<StagedOutput> {
  const rowsOf = (): Promise<Uint8Array> => turns.run(encodeRowSteps(batch.generation, partitions));
  switch (sink.sinkClass) {
    case 'staged':
      return { handle: await sink.stage(batch, partitions), rows: undefined };
    case 'outbox':
      return { handle: undefined, rows: await rowsOf() };
    case 'idempotent':
    case 'transactional':
      if (partitions.every((rows) => rows.length === 0)) return { handle: undefined, rows: undefined };
      return { handle: rowsInRecord, rows: await rowsOf() };
  }
}

/** A committed output that is to be made visible. */
export interface CommittedOutput {
  readonly handle: unknown;
  /** As they were staged. */
  readonly rows: Uint8Array | undefined;
  readonly batch: Omit<SinkWrite, 'generation'>;
}

/**
 * After the commit; perhaps for the second time, perhaps in another process.
 *
 * Rows are always those of the record, never the objects the program still holds: those it may have changed meanwhile.
 * @throws FENCED when a newer driver has written through the sink; what the sink throws
 */
export async function publishOutput(
  sink: Sink<unknown>,
  { handle, rows, batch }: CommittedOutput,
  turns: Turns = new Turns(),
): Promise<void> {
  switch (sink.sinkClass) {
    case 'staged':
      return sink.publish(handle);
    case 'outbox':
      return;
    case 'idempotent': {
      const { generation, partitions } = await turns.run(decodeRowSteps(expectRows(rows, batch)));
      for (const [partition, own] of partitions.entries()) {
        if (own.length > 0) await sink.write(own, { ...batch, generation, partition });
      }
      return;
    }
    case 'transactional': {
      const { generation, partitions } = await turns.run(decodeRowSteps(expectRows(rows, batch)));
      // Copies whole arrays; flat() goes through the rows.
      return writeOnce(sink, ([] as unknown[]).concat(...partitions), { ...batch, generation });
    }
  }
}

/** Rows and progress in one transaction: either both are there afterwards, or neither. */
async function writeOnce(sink: TransactionalSink<unknown>, rows: readonly unknown[], batch: SinkWrite): Promise<void> {
  const { streamId, uid, batchId, generation, epoch } = batch;
  const output: SinkOutput = { streamId, uid };
  await sink.transaction(async (tx) => {
    const written = await tx.readProgress(output);
    if (written !== undefined && written.epoch > epoch) throw refused(sink, batch, written);
    // Ids go on rising over a rewind, so the id alone tells.
    if (written !== undefined && written.batchId >= batchId) return;
    await tx.write(rows, batch);
    await tx.writeProgress(output, { batchId, generation, epoch });
  });
}

/**
 * Before a sink hears of a rewind: from now on no older driver writes what it gave up, also one that committed such a batch,
 * slept, and would find its own progress there.
 * @throws FENCED when a newer driver has written through the sink; what the sink throws
 */
export async function refuseOlder(
  sink: TransactionalSink<unknown>,
  { streamId, uid, epoch }: SinkOpening,
  { batchId, generation }: RewindInfo,
): Promise<void> {
  const output: SinkOutput = { streamId, uid };
  await sink.transaction(async (tx) => {
    const written = await tx.readProgress(output);
    if (written !== undefined && written.epoch > epoch) throw refused(sink, { uid, epoch, batchId }, written);
    // What is up to the point and not written yet still is to be.
    await tx.writeProgress(output, { batchId: written?.batchId ?? 0, generation, epoch });
  });
}

function refused(
  sink: { readonly description: string },
  batch: { readonly uid: string; readonly epoch: number; readonly batchId: number },
  written: SinkProgress,
): TidemarkError {
  return new TidemarkError(
    'FENCED',
    `Output '${batch.uid}' to ${sink.description}: the driver of epoch ${written.epoch} has written batch ` +
      `${written.batchId} already, so this driver of epoch ${batch.epoch} was replaced. It wrote nothing of batch ` +
      `${batch.batchId}. Leave this process stopped.`,
    { context: { uid: batch.uid, epoch: batch.epoch, newerEpoch: written.epoch } },
  );
}

function expectRows(rows: Uint8Array | undefined, { uid, batchId }: SinkOutput & { batchId: number }): Uint8Array {
  if (rows !== undefined) return rows;
  throw new TidemarkError(
    'CHECKPOINT_INCOMPATIBLE',
    `The record of batch ${batchId} holds no rows of output '${uid}', which another kind of sink had staged. ` +
      'Start once with the sink as it was, and stop gracefully.',
    { context: { uid, batchId } },
  );
}
