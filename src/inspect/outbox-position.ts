import { TidemarkError } from '../base/errors.ts';
import { logName } from '../checkpoint/object-names.ts';
import { readStream } from '../checkpoint/read-checkpoint.ts';
import { decodeRecord } from '../checkpoint/record-codec.ts';
import { readFloor } from '../checkpoint/root-objects.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { noStream } from './checkpoint-target.ts';
import { readStoredGraph } from './stored-graph.ts';

/**
 * How far a reader of an outbox has come. Plain data, for the reader to store together with what it did with the rows, in
 * one transaction: that makes the reading exactly once.
 */
export interface OutboxPosition {
  readonly streamId: string;
  readonly uid: string;
  /** The last record of the log that is read to its end, and its hash; null: not known. */
  readonly slot: number;
  readonly hash: string | null;
  /** The last batch that was given out, or 0. It may be one of the record after `slot`, which is then read again. */
  readonly batchId: number;
}

/**
 * Where a reading begins.
 * @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT; OPTION_INVALID for an output that is no outbox, or another stream's position;
 * CHECKPOINT_INCOMPATIBLE for a position the log has not reached, as after the checkpoint was restored from a copy.
 */
export async function startOf(
  store: ObjectStore,
  uid: string,
  from: OutboxPosition | 'earliest' | 'latest',
): Promise<OutboxPosition> {
  const stream = await readStream(store, 'by hint');
  if (stream === undefined) throw noStream(store);
  const { status, streamId, tailHash } = stream;
  if (typeof from === 'object') {
    requireSameStream(store, from, streamId, uid);
    const isAhead = from.slot > status.tailSlot;
    const isOther = from.slot === status.tailSlot && from.hash !== null && from.hash !== tailHash;
    if (isAhead || isOther) throw diverged(store, from, status.tailSlot);
    return from;
  }
  requireOutbox(store, uid, status.graph);
  if (from === 'latest') {
    return { streamId, uid, slot: status.tailSlot, hash: tailHash, batchId: status.lastBatch?.batchId ?? 0 };
  }
  const { value: floor } = await readFloor(store);
  return { streamId, uid, slot: floor, hash: null, batchId: 0 };
}

/** The reader was away for longer than the checkpoint keeps its records. */
export async function expired(store: ObjectStore, position: OutboxPosition, floor: number): Promise<TidemarkError> {
  const { uid, batchId } = position;
  const oldest = await oldestBatch(store, floor);
  return new TidemarkError(
    'OUTBOX_EXPIRED',
    `Outbox '${uid}' of ${store.url}: the reader stands after batch ${batchId}, and the batches that follow are cleaned away` +
      `${oldest === undefined ? '' : `; the oldest one still there is ${oldest}`}. Nothing was skipped. Repair what the ` +
      "missing batches would have changed, then read from 'earliest'; let the stream keep more with the checkpoint " +
      'setting retainMs.',
    { context: { uid, batchId, floor, ...(oldest === undefined ? {} : { oldestBatchId: oldest }) } },
  );
}

// A manifest is due long before so many records without a batch.
const lookMax = 64;

async function oldestBatch(store: ObjectStore, floor: number): Promise<number | undefined> {
  for (let slot = floor + 1; slot <= floor + lookMax; slot++) {
    const outcome = await store.get(logName(slot));
    if (outcome.status === 'missing') return undefined;
    const { record } = decodeRecord(slot, outcome.bytes);
    if (record.kind === 'batch') return record.batches[0]?.batchId;
  }
  return undefined;
}

function requireOutbox(store: ObjectStore, uid: string, graph: unknown): void {
  const { outboxes } = readStoredGraph(graph);
  if (outboxes.includes(uid)) return;
  const known = outboxes.length === 0 ? 'has no outbox' : `has the outboxes ${outboxes.join(', ')}`;
  throw new TidemarkError(
    'OPTION_INVALID',
    `The stream at ${store.url} has no outbox '${uid}'; its program ${known}.`,
    {
      context: { uid, outboxes },
    },
  );
}

function requireSameStream(store: ObjectStore, from: OutboxPosition, streamId: string, uid: string): void {
  if (from.streamId === streamId && from.uid === uid) return;
  throw new TidemarkError(
    'OPTION_INVALID',
    `The position is one of outbox '${from.uid}' of stream ${from.streamId}, and ${store.url} is stream ${streamId}, asked ` +
      `for '${uid}'. A fork and a new stream at the same URL are other streams: begin there with 'earliest'.`,
    { context: { uid, streamId } },
  );
}

function diverged(store: ObjectStore, { uid, slot, batchId }: OutboxPosition, tailSlot: number): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_INCOMPATIBLE',
    `Outbox '${uid}' of ${store.url}: the reader has seen record ${slot} (batch ${batchId}), and the log, which ends with ` +
      `record ${tailSlot}, does not hold it. Was the checkpoint restored from an older copy? Compare what the reader wrote ` +
      "after the end of the copy, then read from 'earliest' or 'latest'.",
    { context: { uid, slot, batchId, tailSlot } },
  );
}
