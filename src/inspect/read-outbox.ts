import { type Clock, SystemClock } from '../base/clock.ts';
import { TidemarkError } from '../base/errors.ts';
import { requireKnownOptions } from '../base/options.ts';
import { decodeRows } from '../base/stored-rows.ts';
import { corrupt } from '../checkpoint/corruption.ts';
import type { LogRecord, StoredOutput } from '../checkpoint/log-record.ts';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { logName } from '../checkpoint/object-names.ts';
import { decodeRecord } from '../checkpoint/record-codec.ts';
import { readFloor } from '../checkpoint/root-objects.ts';
import { readParts } from '../checkpoint/state-loader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type CheckpointTarget, type CheckpointToolOptions, openTarget } from './checkpoint-target.ts';
import { expired, type OutboxPosition, startOf } from './outbox-position.ts';

export interface OutboxOptions extends CheckpointToolOptions {
  /** The position stored last; `earliest`: the oldest batch that is kept; `latest`: the next one. Default `earliest`. */
  readonly from?: OutboxPosition | 'earliest' | 'latest' | undefined;
  /** How often to look for a new batch when all are read, milliseconds. Default 1,000. */
  readonly pollIntervalMs?: number | undefined;
  /** How long to wait for a new batch before the reading ends; 0: read what is there. Default: for ever. */
  readonly waitMs?: number | undefined;
  /** Ends the reading, also while it waits; it rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/** The rows of one committed batch; none is an answer too: its position goes on. */
export interface OutboxBatch<T> {
  readonly kind: 'batch';
  readonly batchId: number;
  readonly batchTimeMs: number;
  readonly generation: number;
  /** In order of the partitions, then of rows. */
  readonly rows: readonly T[];
  /** After this batch. */
  readonly position: OutboxPosition;
}

/**
 * The stream went back: batches after `toBatchId` that were given out before belong to an abandoned line, and their effects
 * are to be undone. What follows has higher batch ids and the new generation.
 */
export interface OutboxRewind {
  readonly kind: 'rewind';
  readonly toBatchId: number;
  readonly batchTimeMs: number;
  readonly generation: number;
  readonly position: OutboxPosition;
}

export type OutboxEvent<T> = OutboxBatch<T> | OutboxRewind;

const optionNames = ['from', 'pollIntervalMs', 'waitMs', 'signal', 'storage', 'clock'];
const windowMax = 16;
// The floor can pass a waiting reader only while batches are committed that it does not see: rarely worth a look.
const pollsPerFloorCheck = 30;

/**
 * The committed batches of an outbox, in order, each once, for as long as the caller iterates. Reads the checkpoint only:
 * the stream needs no consent and knows nothing of it, any number of readers may follow. The type of rows is the caller's claim.
 *
 * Invariants
 *   O1. Every record continues the one before by its hash, so what is given out is one line of the log without a gap.
 *   O2. A record counts only if the floor, read after it, has not reached it: an emptied slot may hold what a replaced
 *       driver wrote late.
 *   O3. An event's position leads to the next event, whoever reads on from it.
 *
 * @throws OUTBOX_EXPIRED when the reader has fallen behind what the stream keeps; CHECKPOINT_MISSING, CHECKPOINT_CORRUPT,
 * CHECKPOINT_INCOMPATIBLE, OPTION_INVALID, and what the store throws
 */
export async function* readOutbox<T = unknown>(
  checkpoint: CheckpointTarget,
  uid: string,
  options: OutboxOptions = {},
): AsyncGenerator<OutboxEvent<T>, void, undefined> {
  const { pollIntervalMs, waitMs } = checkOptions(options);
  const { clock = new SystemClock(), signal } = options;
  const { store, close } = await openTarget(checkpoint, options);
  try {
    let at = await startOf(store, uid, options.from ?? 'earliest');
    let window = 1;
    let polls = 0;
    let waitingSinceMs = clock.now();
    for (;;) {
      signal?.throwIfAborted();
      const records = await readWindow(store, at.slot + 1, window);
      if (records.length > 0 || polls++ % pollsPerFloorCheck === 0) await requireRetained(store, at); // O2
      if (records.length === 0) {
        if (clock.now() - waitingSinceMs >= waitMs) return;
        await clock.waitUntil(clock.now() + Math.min(pollIntervalMs, waitMs), signal);
        window = 1;
        continue;
      }
      for (const { slot, bytes } of records) {
        const { record, hash } = decodeRecord(slot, bytes);
        if (at.hash !== null && record.previousHash !== at.hash) throw broken(record); // O1
        for await (const event of eventsOf<T>(store, record, at, { ...at, slot, hash })) {
          at = event.position;
          yield event;
        }
        at = { ...at, slot, hash };
      }
      window = records.length === window ? Math.min(window * 2, windowMax) : 1;
      polls = 1;
      waitingSinceMs = clock.now();
    }
  } finally {
    await close();
  }
}

interface RecordBytes {
  readonly slot: number;
  readonly bytes: Uint8Array;
}

/** The records from `start` on that are there, up to the first that is missing. */
async function readWindow(store: ObjectStore, start: number, count: number): Promise<readonly RecordBytes[]> {
  const slots = Array.from({ length: count }, (_, index) => start + index);
  const outcomes = await mapBounded(slots, windowMax, (slot) => store.get(logName(slot)));
  const records: RecordBytes[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === 'missing') break;
    records.push({ slot: start + index, bytes: outcome.bytes });
  }
  return records;
}

/**
 * What the record says of this outbox. A record of several batches is given out batch by batch: until the last one is out,
 * the position stays before the record, and its batch id tells what to pass over when the record is read again.
 */
async function* eventsOf<T>(
  store: ObjectStore,
  record: LogRecord,
  before: OutboxPosition,
  after: OutboxPosition,
): AsyncGenerator<OutboxEvent<T>, void, undefined> {
  if (record.kind === 'rewind') {
    const { toBatchId, batchTimeMs, generation, batchId } = record.rewind;
    yield { kind: 'rewind', toBatchId, batchTimeMs, generation, position: { ...after, batchId } };
  }
  if (record.kind !== 'batch') return;
  const last = record.batches.at(-1)?.batchId;
  for (const { batchId, batchTimeMs, outputs } of record.batches) {
    const output = outputs.find(({ uid }) => uid === after.uid);
    if (output === undefined || batchId <= before.batchId) continue;
    const { generation, partitions } = decodeRows(await bytesOf(store, output, after));
    const position = { ...(batchId === last ? after : before), batchId };
    yield { kind: 'batch', batchId, batchTimeMs, generation, rows: partitions.flat() as T[], position };
  }
}

async function bytesOf(store: ObjectStore, { content }: StoredOutput, at: OutboxPosition): Promise<Uint8Array> {
  if (content.kind === 'inline') return content.bytes;
  try {
    return await readParts(store, content.parts);
  } catch (error) {
    // Segments go with their record: what is missing may have been cleaned away since the record was read.
    await requireRetained(store, { ...at, slot: at.slot - 1 });
    throw error;
  }
}

/** @throws OUTBOX_EXPIRED when the record after the position is gone, or may be another one by now. */
async function requireRetained(store: ObjectStore, position: OutboxPosition): Promise<void> {
  const { value: floor } = await readFloor(store);
  if (floor > position.slot) throw await expired(store, position, floor);
}

function broken({ slot }: LogRecord): TidemarkError {
  return corrupt(logName(slot), `it does not continue record ${slot - 1} as this reader has seen it`);
}

function checkOptions(options: OutboxOptions): { readonly pollIntervalMs: number; readonly waitMs: number } {
  requireKnownOptions('readOutbox', options, optionNames);
  const { pollIntervalMs = 1000, waitMs = Number.POSITIVE_INFINITY } = options;
  if (!(pollIntervalMs >= 1)) {
    throw new TidemarkError('OPTION_INVALID', `pollIntervalMs is ${pollIntervalMs}; give milliseconds from 1.`);
  }
  if (!(waitMs >= 0)) throw new TidemarkError('OPTION_INVALID', `waitMs is ${waitMs}; give milliseconds from 0.`);
  return { pollIntervalMs, waitMs };
}
