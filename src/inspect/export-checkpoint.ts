import { TidemarkError } from '../base/errors.ts';
import { type Random, SystemRandom } from '../base/random.ts';
import { corrupt } from '../checkpoint/corruption.ts';
import { readManifest } from '../checkpoint/manifest-codec.ts';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { formatName, logName } from '../checkpoint/object-names.ts';
import { PinnedObjects } from '../checkpoint/pinned-objects.ts';
import { readStream } from '../checkpoint/read-checkpoint.ts';
import { encodeFloor, writeHint } from '../checkpoint/root-objects.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointStorageOptions } from '../storage/open-checkpoint-store.ts';
import {
  type CheckpointTarget,
  type OnProgress,
  storageOfTarget,
  type WalkOptions,
  walksAsOne,
  withCheckpoint,
} from './checkpoint-target.ts';
import { collectReferences, onSteadyFloor, readRetainedLog } from './retained-log.ts';
import { verifyCheckpoint } from './verify-checkpoint.ts';

export interface ExportOptions extends WalkOptions {
  /** How the target's URL is opened. Default: as `storage`. Without keys of its own it is encrypted as the source is. */
  readonly targetStorage?: CheckpointStorageOptions | undefined;
  readonly random?: Random | undefined;
}

export interface ExportReport {
  readonly from: string;
  readonly to: string;
  readonly streamId: string;
  /** The copy ends with this record. */
  readonly tailSlot: number;
  readonly floor: number;
  readonly objects: number;
  readonly bytes: number;
}

// Objects may have 64 MiB.
const copiesMax = 4;

/**
 * Copies a stream to another root: the records up to the present one and all they need, under the same names. The copy
 * is the same stream, with the same id. It is verified; `format` is written last, so that a copy that was not
 * finished is never taken for a stream.
 *
 * @throws CHECKPOINT_EXISTS when anything is at the target; CHECKPOINT_CORRUPT when source or copy is damaged;
 * CHECKPOINT_MISSING, and what the stores throw
 */
export function exportCheckpoint(
  source: CheckpointTarget,
  target: CheckpointTarget,
  options: ExportOptions = {},
): Promise<ExportReport> {
  const { random = new SystemRandom() } = options;
  const nextWalk = walksAsOne(options);
  return withCheckpoint(source, options, (from) =>
    withCheckpoint(target, { storage: storageOfTarget(options) }, async (to) => {
      requireApart(from, to);
      await requireEmpty(to);
      const report = await onSteadyFloor(from, () => copy(from, to, nextWalk(), random));
      const { findings } = await verifyCheckpoint(to, { onProgress: nextWalk() });
      const [first] = findings;
      if (first === undefined) return report;
      throw new TidemarkError(
        'CHECKPOINT_CORRUPT',
        `The copy at ${to.url} has ${findings.length} findings, the first of them: ${first.object}: ${first.problem}. ` +
          `Run tidemark checkpoint verify on ${from.url}, then delete the copy.`,
        { context: { findings } },
      );
    }),
  );
}

async function copy(from: ObjectStore, to: ObjectStore, onProgress: OnProgress, random: Random): Promise<ExportReport> {
  const log = await readRetainedLog(from);
  const { format, floor, tailSlot, objects } = log;
  if (tailSlot <= floor) throw corrupt(logName(floor + 1), 'it is missing: there is no record to copy');
  const { manifests, segments } = await collectReferences(from, log);
  const snapshots = new Set<string>();
  for (const reference of manifests) {
    const manifest = await readManifest(from, reference, format.streamId);
    if (manifest === undefined) throw corrupt(reference.name, 'it is missing, and the log refers to it');
    for (const { parts } of manifest.extents) for (const { object } of parts) snapshots.add(object);
  }
  const stream = await readStream(from, 'by hint');
  const pinned = await PinnedObjects.read(from, format.streamId, stream?.status.savepoints ?? []);
  const records = Array.from({ length: tailSlot - floor }, (_, index) => logName(floor + 1 + index));
  const ofSources = [...objects.values()].filter(({ kind }) => kind === 'source').map(({ name }) => name);
  const referred = [...segments, ...snapshots, ...manifests.map(({ name }) => name), ...records];
  const isReferred = new Set(referred);
  const ofSavepoints = [...objects.keys()].filter((name) => pinned.has(name) && !isReferred.has(name));
  const names = [...ofSources, ...ofSavepoints, ...referred, formatName];

  let done = 0;
  let bytes = 0;
  const written: string[] = [];
  const underWay = new Set<Promise<number>>();
  const copyOne = async (name: string): Promise<void> => {
    const copying = copyObject(from, to, name, random, written);
    underWay.add(copying);
    bytes += await copying.finally(() => underWay.delete(copying));
    done += 1;
    onProgress({ done, total: names.length });
  };
  try {
    await mapBounded(names.slice(0, -1), copiesMax, copyOne);
    if (floor > 0) {
      const id = random.id();
      await put(to, 'gc/floor', encodeFloor(floor, id).bytes, id, written);
    }
    await copyOne(formatName);
  } catch (error) {
    // The other copies go on after the first failure, and must not write after the delete.
    await Promise.allSettled(underWay);
    // Only names that were free before: whatever another writer put there stays.
    await to.delete(written).catch(() => {});
    throw error;
  }
  await writeHint(to, { streamId: format.streamId, manifest: manifests.at(-1), tailSlot }, undefined, random.id());
  return { from: from.url, to: to.url, streamId: format.streamId, tailSlot, floor, objects: done, bytes };
}

async function copyObject(
  from: ObjectStore,
  to: ObjectStore,
  name: string,
  random: Random,
  written: string[],
): Promise<number> {
  const outcome = await from.get(name);
  if (outcome.status === 'missing') {
    if (!name.startsWith('source/')) throw corrupt(name, 'it is missing, and the log refers to it');
    throw new TidemarkError(
      'FENCED',
      `The driver of ${from.url} removed "${name}" of an input while it was being copied. Stop the stream, then export it.`,
      { context: { name } },
    );
  }
  await put(to, name, outcome.bytes, random.id(), written);
  return outcome.bytes.length;
}

async function put(to: ObjectStore, name: string, bytes: Uint8Array, id: string, written: string[]): Promise<void> {
  const outcome = await to.putIfAbsent(name, bytes, id);
  switch (outcome.status) {
    case 'done':
      written.push(name);
      return;
    case 'lost':
      throw notEmpty(to, name);
    case 'unknown':
      throw new TidemarkError(
        'STORE_UNAVAILABLE',
        `Whether "${name}" was written to ${to.url} is not known. Delete what is there and export again.`,
        { cause: outcome.cause },
      );
  }
}

/** A copy inside of its source would be part of the source. */
export function requireApart(from: ObjectStore, to: ObjectStore): void {
  const [outer, inner] = [from.url, to.url].map((url) => `${url.replace(/\/+$/, '')}/`);
  if (!inner!.startsWith(outer!)) return;
  throw new TidemarkError(
    'OPTION_INVALID',
    `The target ${to.url} is ${from.url} or inside of it. Choose another place.`,
  );
}

export async function requireEmpty(to: ObjectStore): Promise<void> {
  for await (const { name } of to.list('')) throw notEmpty(to, name);
}

function notEmpty(to: ObjectStore, name: string): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_EXISTS',
    `The target ${to.url} is not empty: "${name}" is there. Choose a place where nothing is; nothing was overwritten.`,
    { context: { name } },
  );
}
