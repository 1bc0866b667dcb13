import { TidemarkError } from '../base/errors.ts';
import { corrupt } from '../checkpoint/corruption.ts';
import type { BatchRecord, Manifest, ManifestReference } from '../checkpoint/log-record.ts';
import { readManifest } from '../checkpoint/manifest-codec.ts';
import { logName } from '../checkpoint/object-names.ts';
import { readParts } from '../checkpoint/state-loader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type RetainedLog, readRecords, readRetainedLog } from './retained-log.ts';
import { StoredState } from './stored-state.ts';

/** The keyed state of the stream right after one batch. */
export interface StateAt {
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** By operator uid: those the batch knew. */
  readonly operators: ReadonlyMap<string, StoredState>;
}

/** Batches whose state can still be put together. */
export interface RetainedBatches {
  readonly first: number;
  readonly last: number;
}

interface Batch {
  readonly batchId: number;
  readonly batchTimeMs: number;
  readonly slot: number;
}

/** The retained log, read once: where batches and manifests stand. */
export interface LogIndex {
  readonly log: RetainedLog;
  readonly batches: ReadonlyMap<number, Batch>;
  /** Kept ones, oldest first. */
  readonly manifests: readonly ManifestReference[];
  readonly retained: RetainedBatches;
}

/** @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT; BATCH_NOT_RETAINED when there is no batch at all */
export async function readLogIndex(store: ObjectStore): Promise<LogIndex> {
  const log = await readRetainedLog(store);
  const batches = new Map<number, Batch>();
  const manifests = new Map<string, ManifestReference>();
  for await (const { record } of readRecords(store, log.floor + 1, log.tailSlot)) {
    const { manifest } = record.links;
    if (manifest !== undefined && manifest.slot >= log.floor && !manifests.has(manifest.name)) {
      manifests.set(manifest.name, manifest);
      const { lastBatch } = (await manifestOf(store, log, manifest)).status;
      // The record of that batch may be gone: the manifest stands for it.
      if (lastBatch !== undefined && !batches.has(lastBatch.batchId)) {
        batches.set(lastBatch.batchId, { ...lastBatch, slot: manifest.slot });
      }
    }
    if (record.kind === 'batch') {
      const { batchId, batchTimeMs, slot } = record;
      batches.set(batchId, { batchId, batchTimeMs, slot });
    }
  }
  if (batches.size === 0) {
    throw new TidemarkError('BATCH_NOT_RETAINED', `The stream at ${store.url} has not committed a batch yet.`);
  }
  const ids = [...batches.keys()];
  const retained = { first: Math.min(...ids), last: Math.max(...ids) };
  return { log, batches, manifests: [...manifests.values()], retained };
}

/**
 * Puts the state together from the newest kept manifest before the batch and the records after it.
 * @param batchId undefined: the last batch.
 * @throws BATCH_NOT_RETAINED with the range that is kept; CHECKPOINT_CORRUPT; STATE_MISMATCH
 */
export async function loadStateAt(store: ObjectStore, index: LogIndex, batchId?: number): Promise<StateAt> {
  const { log, retained } = index;
  const wanted = index.batches.get(batchId ?? retained.last);
  if (wanted === undefined) {
    throw new TidemarkError(
      'BATCH_NOT_RETAINED',
      `The state after batch ${batchId} is not there any more, or not yet: the checkpoint at ${store.url} holds that of ` +
        `batches ${retained.first} to ${retained.last}.`,
      { context: { batchId, ...retained } },
    );
  }
  const states = new Map<string, StoredState>();
  const stateOf = (uid: string): StoredState => {
    const state = states.get(uid) ?? new StoredState(true);
    states.set(uid, state);
    return state;
  };
  const reference = index.manifests.findLast(({ slot }) => slot <= wanted.slot);
  let fingerprints: Readonly<Record<string, string>> = {};
  if (reference !== undefined) {
    const manifest = await manifestOf(store, log, reference);
    fingerprints = manifest.status.fingerprints;
    for (const { uid, parts } of manifest.extents) {
      const bytes = parts.length === 0 ? new Uint8Array(0) : await readParts(store, parts);
      stateOf(uid).apply(bytes);
    }
  }
  for await (const { record } of readRecords(store, (reference?.slot ?? 0) + 1, wanted.slot)) {
    if (record.kind !== 'batch') continue;
    fingerprints = Object.fromEntries(record.deltas.map(({ uid, fingerprint }) => [uid, fingerprint]));
    await applyBatch(store, record, stateOf);
  }
  const operators = new Map<string, StoredState>();
  for (const [uid, expected] of Object.entries(fingerprints)) {
    const state = stateOf(uid);
    if (state.fingerprint !== expected) throw mismatch(uid, wanted, expected, state.fingerprint);
    operators.set(uid, state);
  }
  return { batchId: wanted.batchId, batchTimeMs: wanted.batchTimeMs, operators };
}

async function applyBatch(
  store: ObjectStore,
  record: BatchRecord,
  stateOf: (uid: string) => StoredState,
): Promise<void> {
  for (const { uid, lengthBytes, content } of record.deltas) {
    if (lengthBytes === 0) continue;
    stateOf(uid).apply(content.kind === 'inline' ? content.bytes : await readParts(store, content.parts));
  }
}

async function manifestOf(store: ObjectStore, log: RetainedLog, reference: ManifestReference): Promise<Manifest> {
  const manifest = await readManifest(store, reference, log.format.streamId);
  if (manifest === undefined) throw corrupt(reference.name, 'it is missing, and the log refers to it');
  return manifest;
}

function mismatch(uid: string, { batchId, slot }: Batch, expected: string, actual: string): TidemarkError {
  return new TidemarkError(
    'STATE_MISMATCH',
    `The state of '${uid}' after batch ${batchId} has fingerprint ${actual} where ${expected} was committed ` +
      `(${logName(slot)}). Run tidemark checkpoint verify.`,
    { context: { uid, batchId, expected, actual } },
  );
}
