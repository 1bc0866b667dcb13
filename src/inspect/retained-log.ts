import { TidemarkError } from '../base/errors.ts';
import { corrupt } from '../checkpoint/corruption.ts';
import type { LogRecord, ManifestReference } from '../checkpoint/log-record.ts';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { logName } from '../checkpoint/object-names.ts';
import { decodeRecord } from '../checkpoint/record-codec.ts';
import { readFloor, readFormat, type StreamFormat } from '../checkpoint/root-objects.ts';
import { segmentsOf } from '../checkpoint/stored-contents.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { noStream, type OnProgress } from './checkpoint-target.ts';
import { listObjects, type StoredObject, tailSlotOf } from './stored-objects.ts';

const readsMax = 16;
export const attemptsMax = 4;

/** The records that retention has left, as of one moment. */
export interface RetainedLog {
  readonly format: StreamFormat;
  /** As `gc/floor` says: records up to here are gone. */
  readonly floor: number;
  readonly tailSlot: number;
  readonly objects: ReadonlyMap<string, StoredObject>;
}

/** @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT */
export async function readRetainedLog(store: ObjectStore): Promise<RetainedLog> {
  const [format, { value: floor }] = await Promise.all([readFormat(store), readFloor(store)]);
  const objects = await listObjects(store);
  if (format === undefined && objects.size === 0) throw noStream(store);
  if (format === undefined) throw corrupt('format', 'it is missing');
  return { format, floor, tailSlot: tailSlotOf(objects), objects };
}

export interface ReadRecord {
  readonly record: LogRecord;
  readonly hash: string;
  readonly bytes: number;
}

/**
 * The records of slots `from` to `to`, in order, each checked against the one before.
 * @throws CHECKPOINT_CORRUPT
 */
export async function* readRecords(
  store: ObjectStore,
  from: number,
  to: number,
  onProgress: OnProgress = () => {},
): AsyncGenerator<ReadRecord> {
  let previousHash: string | undefined;
  for (let start = from; start <= to; start += readsMax) {
    const slots = Array.from({ length: Math.min(readsMax, to - start + 1) }, (_, index) => start + index);
    const window = await mapBounded(slots, readsMax, (slot) => store.get(logName(slot)));
    for (const [index, outcome] of window.entries()) {
      const slot = start + index;
      if (outcome.status === 'missing') throw corrupt(logName(slot), 'it is missing');
      const { record, hash } = decodeRecord(slot, outcome.bytes);
      if (previousHash !== undefined && record.previousHash !== previousHash) {
        throw corrupt(logName(slot), `it does not continue record ${slot - 1}: its hash of that record differs`);
      }
      previousHash = hash;
      yield { record, hash, bytes: outcome.bytes.length };
    }
    onProgress({ done: start + window.length - from, total: to - from + 1 });
  }
}

/** What the retained records refer to. */
export interface References {
  /** Kept manifests, oldest first; the last one is in force. */
  readonly manifests: readonly ManifestReference[];
  readonly segments: ReadonlySet<string>;
}

export async function collectReferences(
  store: ObjectStore,
  log: RetainedLog,
  onProgress?: OnProgress,
): Promise<References> {
  const manifests = new Map<string, ManifestReference>();
  const segments = new Set<string>();
  for await (const { record } of readRecords(store, log.floor + 1, log.tailSlot, onProgress)) {
    const { manifest } = record.links;
    if (manifest !== undefined && manifest.slot >= log.floor) manifests.set(manifest.name, manifest);
    for (const name of segmentsOf(record)) segments.add(name);
  }
  return { manifests: [...manifests.values()], segments };
}

/**
 * Runs `work` again when it met damage and the floor has risen since: then a running driver was cleaning up, and what
 * was missing is missing by right.
 * @throws FENCED when the driver is faster every time
 */
export async function onSteadyFloor<R>(store: ObjectStore, work: () => Promise<R>): Promise<R> {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    // A damaged floor is reported by the work itself.
    const before = await floorOrUndefined(store);
    try {
      return await work();
    } catch (error) {
      const isDamage = error instanceof TidemarkError && error.kind === 'corrupt';
      if (!isDamage || (await floorOrUndefined(store)) === before) throw error;
    }
  }
  throw cleanedFaster(store);
}

export function cleanedFaster(store: ObjectStore): TidemarkError {
  return new TidemarkError(
    'FENCED',
    `The driver of ${store.url} cleaned up faster than this could be read, ${attemptsMax} times in a row. Stop the stream, ` +
      'or let it keep more: retainManifests, silenceThresholdMs.',
  );
}

export async function floorOrUndefined(store: ObjectStore): Promise<number | undefined> {
  try {
    return (await readFloor(store)).value;
  } catch (error) {
    if (error instanceof TidemarkError && (error.kind === 'corrupt' || error.kind === 'incompatible')) return undefined;
    throw error;
  }
}
