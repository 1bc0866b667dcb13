import { TidemarkError } from '../base/errors.ts';
import type { PointState } from '../checkpoint/point-manifest.ts';
import type { StateExtent } from '../checkpoint/records.ts';
import { readParts } from '../checkpoint/state-loader.ts';
import { readPoint } from '../checkpoint/stored-point.ts';
import type { RecoveredStream } from '../checkpoint/stream-checkpoint.ts';
import type { OnProgress } from '../inspect/checkpoint-target.ts';
import { batchOf, type IndexedBatch, type LogIndex } from '../inspect/state-at.ts';
import { StoredState } from '../inspect/stored-state.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Names a batch: its id, a moment (the last batch with a batch time up to it), or the name of a savepoint. */
export type BatchName = number | Date | string;

/** A batch that is stored for as long as is needed: above the announced floor, or pinned. */
export interface FoundBatch extends IndexedBatch {
  readonly store: ObjectStore;
  readonly index: LogIndex;
}

/**
 * Finds a batch a stream can go on from. Batches between `gc/floor` and the floor that the log announces are left out: a
 * driver may be deleting them at this moment.
 * @throws BATCH_NOT_RETAINED, OPTION_INVALID
 */
export function findBatch(store: ObjectStore, index: LogIndex, name: BatchName): FoundBatch {
  const { announcedFloor } = index;
  const safe = new Map(
    [...index.batches].filter(
      ([, { base, savepoint }]) => savepoint !== undefined || (base?.slot ?? 0) >= announcedFloor,
    ),
  );
  const ids = [...safe.values()].filter(({ savepoint }) => savepoint === undefined).map(({ batchId }) => batchId);
  const retained = { first: Math.min(...ids), last: Math.max(...ids) };
  const batch = batchOf(store, { ...index, batches: safe, retained }, idOf(store, { ...index, batches: safe }, name));
  return { ...batch, store, index };
}

function idOf(store: ObjectStore, { batches, savepoints }: LogIndex, name: BatchName): number {
  if (typeof name === 'number') return name;
  if (typeof name === 'string') {
    const savepoint = savepoints.find((candidate) => candidate.name === name);
    if (savepoint !== undefined) return savepoint.batchId;
    const known = savepoints.length === 0 ? 'it has none' : `it has ${savepoints.map((one) => one.name).join(', ')}`;
    throw new TidemarkError('OPTION_INVALID', `The stream at ${store.url} has no savepoint "${name}": ${known}.`);
  }
  const timeMs = name.getTime();
  const before = [...batches.values()].filter((batch) => !batch.isAbandoned && batch.batchTimeMs <= timeMs);
  const last = before.sort((a, b) => a.batchTimeMs - b.batchTimeMs || a.batchId - b.batchId).at(-1);
  if (last !== undefined) return last.batchId;
  const first = Math.min(...[...batches.values()].map(({ batchTimeMs }) => batchTimeMs));
  throw new TidemarkError(
    'BATCH_NOT_RETAINED',
    `The checkpoint at ${store.url} holds no batch of ${name.toISOString()} or before: the first is of ` +
      `${new Date(first).toISOString()}.`,
  );
}

/** The stream right after the batch. @throws CHECKPOINT_CORRUPT */
export function readBatch({ store, index, ...place }: FoundBatch): Promise<RecoveredStream> {
  return readPoint(store, index.log.format, place);
}

/**
 * Reads all state of a point and compares it with what was committed, so that damage is found before anything goes on from
 * there. Needs memory for the hashes of all keys.
 * @throws STATE_MISMATCH, CHECKPOINT_CORRUPT
 */
export async function checkState(point: RecoveredStream, onProgress: OnProgress): Promise<void> {
  const states = new Map<string, StoredState>();
  const total = point.pieces.length;
  let done = 0;
  await point.loadState((uid, bytes) => {
    const state = states.get(uid) ?? new StoredState(false);
    states.set(uid, state);
    state.apply(bytes);
    done += 1;
    onProgress({ done, total });
  });
  for (const [uid, expected] of Object.entries(point.status.fingerprints)) {
    const { fingerprint } = states.get(uid) ?? new StoredState(false);
    if (fingerprint === expected) continue;
    throw new TidemarkError(
      'STATE_MISMATCH',
      `The state of '${uid}' after batch ${point.status.lastBatch?.batchId} has fingerprint ${fingerprint} where ` +
        `${expected} was committed. Choose another batch; tidemark checkpoint verify tells what is damaged.`,
      { context: { uid, expected, actual: fingerprint } },
    );
  }
}

/** The state of a point for a manifest of its own stream: snapshots as they are, the changes since in new ones. */
export async function pointStateOf(store: ObjectStore, point: RecoveredStream): Promise<PointState> {
  const { fingerprints } = point.status;
  const extents = (point.manifest?.extents ?? []).filter(({ uid }) => Object.hasOwn(fingerprints, uid));
  const based = new Set(extents.map(({ uid }) => uid));
  const changes: StateExtent[] = [];
  for (const { uid, content, sinceManifest } of point.pieces) {
    if (!sinceManifest || !Object.hasOwn(fingerprints, uid)) continue;
    const bytes = content.kind === 'inline' ? content.bytes : await readParts(store, content.parts);
    // The first change of an operator that had no state is the whole of it.
    changes.push({ uid, kind: based.has(uid) ? 'delta' : 'base', bytes });
    based.add(uid);
  }
  return { extents, changes, fingerprints };
}
