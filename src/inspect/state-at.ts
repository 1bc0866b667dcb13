import { TidemarkError } from '../base/errors.ts';
import { corrupt } from '../checkpoint/corruption.ts';
import type { LogRecord, Manifest, ManifestReference } from '../checkpoint/log-record.ts';
import { readManifest } from '../checkpoint/manifest-codec.ts';
import { logName } from '../checkpoint/object-names.ts';
import { readStream } from '../checkpoint/read-checkpoint.ts';
import type { Savepoint } from '../checkpoint/records.ts';
import { type PointPlace, readPoint } from '../checkpoint/stored-point.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { noStream, type OnProgress } from './checkpoint-target.ts';
import { type RetainedLog, readRecords, readRetainedLog } from './retained-log.ts';
import { StoredState } from './stored-state.ts';

/** The keyed state of the stream right after one batch. */
export interface StateAt {
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** By operator uid: those the batch knew. */
  readonly operators: ReadonlyMap<string, StoredState>;
}

/** Batches whose state can still be put together, besides those of savepoints. */
export interface RetainedBatches {
  readonly first: number;
  readonly last: number;
}

/** A committed batch, or a rewind or seed that took an id like one. */
export interface IndexedBatch extends PointPlace {
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** Whether a rewind went back behind it. */
  readonly isAbandoned: boolean;
  /** Kept for it, whatever the floor. */
  readonly savepoint: string | undefined;
}

/** The retained log, read once: where batches and manifests stand. */
export interface LogIndex {
  readonly log: RetainedLog;
  /** What the last record announces: `gc/floor` may be raised up to there. */
  readonly announcedFloor: number;
  readonly batches: ReadonlyMap<number, IndexedBatch>;
  readonly savepoints: readonly Savepoint[];
  readonly retained: RetainedBatches;
}

/** @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT; BATCH_NOT_RETAINED when there is no batch at all */
export async function readLogIndex(store: ObjectStore, onProgress?: OnProgress): Promise<LogIndex> {
  // Whatever it says is pinned was so before the log is looked at.
  const stream = await readStream(store, 'by hint');
  if (stream === undefined) throw noStream(store);
  const log = await readRetainedLog(store);
  const walk = new IndexWalk();
  for await (const { record } of readRecords(store, log.floor + 1, log.tailSlot, onProgress)) {
    const { manifest } = record.links;
    if (manifest !== undefined && manifest.slot >= log.floor && !walk.knows(manifest)) {
      const found = await readManifest(store, manifest, log.format.streamId);
      if (found === undefined) throw corrupt(manifest.name, 'it is missing, and the log refers to it');
      walk.addManifest(manifest, found);
    }
    walk.add(record);
  }
  const { batches } = walk;
  if (batches.size === 0) {
    throw new TidemarkError('BATCH_NOT_RETAINED', `The stream at ${store.url} has not committed a batch yet.`);
  }
  const ids = [...batches.keys()];
  const retained = { first: Math.min(...ids), last: Math.max(...ids) };
  for (const { batchId, batchTimeMs, name, manifest: base, slot, isAbandoned } of stream.status.savepoints) {
    batches.set(batchId, { batchId, batchTimeMs, base, slot, isAbandoned, savepoint: name });
  }
  const { savepoints } = stream.status;
  return { log, announcedFloor: walk.announcedFloor, batches, savepoints, retained };
}

/**
 * Puts the state together from the manifest before the batch and the records after it.
 * @param batchId undefined: the last batch.
 * @throws BATCH_NOT_RETAINED with what is kept; CHECKPOINT_CORRUPT; STATE_MISMATCH
 */
export async function loadStateAt(
  store: ObjectStore,
  index: LogIndex,
  batchId?: number,
  onProgress: OnProgress = () => {},
): Promise<StateAt> {
  const batch = batchOf(store, index, batchId ?? index.retained.last);
  const point = await readPoint(store, index.log.format, batch);
  const states = new Map<string, StoredState>();
  let done = 0;
  await point.loadState((uid, bytes) => {
    done += 1;
    onProgress({ done, total: point.pieces.length });
    const state = states.get(uid) ?? new StoredState(true);
    states.set(uid, state);
    state.apply(bytes);
  });
  const operators = new Map<string, StoredState>();
  for (const [uid, expected] of Object.entries(point.status.fingerprints)) {
    const state = states.get(uid) ?? new StoredState(true);
    if (state.fingerprint !== expected) throw mismatch(uid, batch, expected, state.fingerprint);
    operators.set(uid, state);
  }
  return { batchId: batch.batchId, batchTimeMs: batch.batchTimeMs, operators };
}

/** @throws BATCH_NOT_RETAINED with what is kept */
export function batchOf(
  store: ObjectStore,
  { batches, retained, savepoints }: LogIndex,
  batchId: number,
): IndexedBatch {
  const batch = batches.get(batchId);
  if (batch !== undefined) return batch;
  const pinned = savepoints.map((one) => `${one.batchId} (${one.name})`).join(', ');
  throw new TidemarkError(
    'BATCH_NOT_RETAINED',
    `The state after batch ${batchId} is not there any more, or not yet: the checkpoint at ${store.url} holds that of ` +
      `batches ${retained.first} to ${retained.last}${pinned === '' ? '' : `, and of the savepoints ${pinned}`}.`,
    { context: { batchId, ...retained } },
  );
}

function mismatch(uid: string, { batchId, slot }: IndexedBatch, expected: string, actual: string): TidemarkError {
  return new TidemarkError(
    'STATE_MISMATCH',
    `The state of '${uid}' after batch ${batchId} has fingerprint ${actual} where ${expected} was committed ` +
      `(${logName(slot)}). Run tidemark checkpoint verify.`,
    { context: { uid, batchId, expected, actual } },
  );
}

/** Goes along the records above the floor, in order. */
class IndexWalk {
  readonly batches = new Map<number, IndexedBatch>();
  readonly #manifests = new Map<string, ManifestReference>();
  announcedFloor = 0;

  knows({ name }: ManifestReference): boolean {
    return this.#manifests.has(name);
  }

  /** The record of its last batch may be gone: it stands for it, unless it holds the state of another batch. */
  addManifest(reference: ManifestReference, { status: { lastBatch }, stateFingerprints }: Manifest): void {
    this.#manifests.set(reference.name, reference);
    if (stateFingerprints === undefined && lastBatch !== undefined && !this.batches.has(lastBatch.batchId))
      this.#set(lastBatch, reference.slot);
  }

  add(record: LogRecord): void {
    this.announcedFloor = record.links.floor;
    switch (record.kind) {
      case 'batch':
        for (const batch of record.batches) {
          this.#set(batch, record.slot, batch === record.batches.at(-1) ? undefined : batch.batchId);
        }
        break;
      case 'rewind':
        this.#abandonAfter(record.rewind.toBatchId);
        this.#set(record.rewind, record.slot);
        break;
      case 'seed': {
        const { batchId, batchTimeMs } = record.seed;
        if (batchId !== null) this.#set({ batchId, batchTimeMs }, record.slot);
        break;
      }
      case 'pin':
      case 'unpin':
      case 'fence':
      case 'plan':
      case 'drain':
        break;
    }
  }

  /** `lastBatchId`: later batches of the same record don't count, so a manifest of its slot holds too much. */
  #set({ batchId, batchTimeMs }: Place, slot: number, lastBatchId?: number): void {
    const newestSlot = lastBatchId === undefined ? slot : slot - 1;
    const base = [...this.#manifests.values()].findLast((manifest) => manifest.slot <= newestSlot) ?? null;
    const place = { slot, base, lastBatchId };
    this.batches.set(batchId, { batchId, batchTimeMs, ...place, isAbandoned: false, savepoint: undefined });
  }

  #abandonAfter(toBatchId: number): void {
    for (const batch of this.batches.values()) {
      if (batch.batchId > toBatchId) this.batches.set(batch.batchId, { ...batch, isAbandoned: true });
    }
  }
}

interface Place {
  readonly batchId: number;
  readonly batchTimeMs: number;
}
