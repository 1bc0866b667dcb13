import { invariant } from '../base/errors.ts';
import type { ExtentKind } from './manifest-writer.ts';
import type { BatchCommit, Receipt, StateExtent, StreamStatus } from './records.ts';
import { receiptKey } from './status-fold.ts';

/** The batch handed in last, and the operators it knew. */
export interface LastBatch {
  readonly batchId: number;
  readonly uids: ReadonlySet<string>;
}

export function lastOf({ lastBatch, fingerprints }: StreamStatus): LastBatch {
  return { batchId: lastBatch?.batchId ?? 0, uids: new Set(Object.keys(fingerprints)) };
}

/** What the engine hands to the log must fit what the log knows: mistakes here are ours, and stop us before a write. */
export function assertBatch(batch: BatchCommit, lastBatchId: number): void {
  assertNext(batch.batchId, lastBatchId);
  if (batch.plan !== undefined) assertNext(batch.plan.batchId, batch.batchId);
  assertDistinct(batch.deltas.map(({ uid }) => uid));
  assertDistinct((batch.outputs ?? []).map(({ uid }) => uid));
}

export function assertNext(batchId: number, lastBatchId: number): void {
  invariant(batchId === lastBatchId + 1, `Batch ${batchId} can't follow batch ${lastBatchId}: ids are dense.`);
}

/** `waiting`: handed in before, with receipts of their own. */
export function assertReceipts(
  status: StreamStatus,
  waiting: readonly BatchCommit[],
  receipts: readonly Receipt[],
): void {
  if (receipts.length === 0) return;
  const open = new Set(status.unpublished.map(receiptKey));
  for (const batch of waiting) for (const receipt of batch.receipts) open.delete(receiptKey(receipt));
  for (const receipt of receipts) {
    invariant(
      open.delete(receiptKey(receipt)),
      `A receipt of "${receipt.uid}" for batch ${receipt.batchId} has no open handle.`,
    );
  }
}

export function assertExtents(due: ReadonlyMap<string, ExtentKind>, extents: readonly StateExtent[]): void {
  for (const [uid, kind] of due) {
    const own = extents.filter((candidate) => candidate.uid === uid);
    const isAnswered = own.length > 0 && (kind === 'delta' || own.every((extent) => extent.kind === 'base'));
    invariant(isAnswered, `The manifest needs a ${kind} of "${uid}".`);
  }
}

function assertDistinct(uids: readonly string[]): void {
  invariant(new Set(uids).size === uids.length, `One entry per operator: ${uids.join(', ')}.`);
}
