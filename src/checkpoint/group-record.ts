import type { CommittedRecord } from './checkpoint-options.ts';
import type { ReadyBatch } from './commit-queue.ts';
import type { BatchRecord, StoredBatch } from './log-record.ts';
import type { BatchCommit } from './records.ts';
import { contentBytes } from './stored-contents.ts';

type Group = readonly ReadyBatch<BatchCommit>[];

/** What one record says of all its batches. */
export function groupContent(group: Group): Pick<BatchRecord, 'batches' | 'receipts' | 'plan'> {
  const batches = group.map(({ batch, contents }): StoredBatch => {
    const { batchId, batchTimeMs, positions, handles } = batch;
    return { batchId, batchTimeMs, positions, handles, deltas: contents.deltas, outputs: contents.outputs };
  });
  return { batches, receipts: group.flatMap(({ batch }) => batch.receipts), plan: group.at(-1)?.batch.plan };
}

export function sumOf(group: Group): Omit<CommittedRecord, 'slot' | 'waitMs' | 'encodeMs' | 'uploadMs'> {
  const first = group[0]!.batch;
  const last = group.at(-1)!.batch;
  return {
    firstBatchId: first.batchId,
    lastBatchId: last.batchId,
    lastBatchTimeMs: last.batchTimeMs,
    batches: group.length,
    changeBytes: group.reduce((sum, { batch }) => sum + contentBytes(batch), 0),
  };
}
