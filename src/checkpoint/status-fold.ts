import { corrupt } from './corruption.ts';
import type { LogRecord, StoredBatch } from './log-record.ts';
import { logName } from './object-names.ts';
import type { Receipt, StreamStatus, UnpublishedHandle } from './records.ts';
import { statusAfterPin, statusAfterRewind, statusAfterSeed, statusAfterUnpin } from './verb-fold.ts';

/** A stream before its first record. */
export function emptyStatus(streamId: string): StreamStatus {
  return {
    streamId,
    generation: 0,
    zeroTimeMs: 0,
    silenceThresholdMs: 0,
    graph: undefined,
    tailSlot: 0,
    epoch: 0,
    lastBatch: undefined,
    positions: {},
    plan: undefined,
    unpublished: [],
    fingerprints: {},
    drained: false,
    savepoints: [],
    openRewind: undefined,
  };
}

/**
 * The stream after one more record. A pure function, used alike by the driver that wrote the record and by one that
 * reads it, so that both know the same stream.
 *
 * @throws CHECKPOINT_CORRUPT when the record can't follow: a slot, epoch or batch id out of order.
 */
export function statusAfter(status: StreamStatus, record: LogRecord): StreamStatus {
  const { slot } = record;
  const name = logName(slot);
  if (slot !== status.tailSlot + 1) throw corrupt(name, `it follows record ${status.tailSlot}`);
  if (record.links.previousFence !== status.epoch) {
    throw corrupt(name, `it names ${record.links.previousFence} as the newest fence, which is ${status.epoch}`);
  }
  if (record.kind === 'fence') {
    if (record.epoch !== slot) throw corrupt(name, `a fence has its slot as epoch, not ${record.epoch}`);
    // The grid of batch times belongs to the stream: it is set before the first batch, then never.
    const zeroTimeMs = isUndated(status) ? record.fence.zeroTimeMs : status.zeroTimeMs;
    // Of a driver that a later one replaced nobody knows whether it only sleeps.
    const silenceThresholdMs = Math.max(status.silenceThresholdMs, record.fence.silenceThresholdMs ?? 0);
    const { graph } = record.fence;
    return { ...status, tailSlot: slot, epoch: slot, zeroTimeMs, silenceThresholdMs, graph, drained: false };
  }
  if (record.epoch !== status.epoch) {
    throw corrupt(name, `it was written by epoch ${record.epoch} after the fence of epoch ${status.epoch}`);
  }
  const nextBatchId = (status.lastBatch?.batchId ?? 0) + 1;
  switch (record.kind) {
    case 'plan':
      if (record.plan.batchId !== nextBatchId) {
        throw corrupt(name, `it plans batch ${record.plan.batchId} where batch ${nextBatchId} is next`);
      }
      return { ...status, tailSlot: slot, plan: record.plan, drained: false };
    case 'batch': {
      for (const [index, { batchId }] of record.batches.entries()) {
        if (batchId !== nextBatchId + index) {
          throw corrupt(name, `it holds batch ${batchId} where batch ${nextBatchId + index} is next`);
        }
      }
      const { batchId, batchTimeMs, positions, deltas } = record.batches.at(-1)!;
      return {
        ...status,
        tailSlot: slot,
        lastBatch: { batchId, batchTimeMs },
        positions,
        plan: record.plan,
        unpublished: [...withoutReceived(status.unpublished, record.receipts), ...record.batches.flatMap(handlesOf)],
        fingerprints: Object.fromEntries(deltas.map(({ uid, fingerprint }) => [uid, fingerprint])),
        drained: false,
        openRewind: undefined,
      };
    }
    case 'drain':
      return {
        ...status,
        tailSlot: slot,
        unpublished: withoutReceived(status.unpublished, record.receipts),
        drained: true,
      };
    case 'pin':
      return statusAfterPin(status, record);
    case 'unpin':
      return statusAfterUnpin(status, record);
    case 'rewind':
      return statusAfterRewind(status, record);
    case 'seed':
      return statusAfterSeed(status, record);
  }
}

/** No batch has fixed the grid of batch times yet: the next fence sets it. */
export function isUndated(status: StreamStatus): boolean {
  return status.lastBatch === undefined;
}

function handlesOf({ handles, outputs }: StoredBatch): readonly UnpublishedHandle[] {
  if (outputs.length === 0) return handles;
  return handles.map((handle) => {
    const rows = outputs.find(({ uid }) => uid === handle.uid)?.content;
    return rows === undefined ? handle : { ...handle, rows };
  });
}

function withoutReceived(
  handles: readonly UnpublishedHandle[],
  receipts: readonly Receipt[],
): readonly UnpublishedHandle[] {
  if (receipts.length === 0) return handles;
  const received = new Set(receipts.map(receiptKey));
  return handles.filter((handle) => !received.has(receiptKey(handle)));
}

export function receiptKey(receipt: Receipt): string {
  return `${receipt.batchId} ${receipt.uid}`;
}
