import { positiveInteger } from '../base/options.ts';
import { checkpointSettings } from '../checkpoint/checkpoint-options.ts';
import type { Manifest, ManifestReference } from '../checkpoint/log-record.ts';
import { readManifest } from '../checkpoint/manifest-codec.ts';
import { floorAfter } from '../checkpoint/manifest-writer.ts';
import { hintName } from '../checkpoint/object-names.ts';
import { PinnedObjects } from '../checkpoint/pinned-objects.ts';
import { readStream } from '../checkpoint/read-checkpoint.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type CheckpointTarget, noStream, type WalkOptions, withCheckpoint } from './checkpoint-target.ts';
import { findOrphans, type Orphan } from './orphans.ts';
import { collectReferences, onSteadyFloor, readRetainedLog } from './retained-log.ts';

export interface CleaningOptions extends WalkOptions {
  /** As the program sets it. Default 2. */
  readonly retainManifests?: number | undefined;
  /** As the program sets it. Default 0. */
  readonly retainMs?: number | undefined;
  /** As the program sets it. Default 5 minutes. */
  readonly silenceThresholdMs?: number | undefined;
}

/** What retention would do. */
export interface CleaningPlan {
  readonly url: string;
  /** As `gc/floor` says. */
  readonly floor: number;
  /** What the log allows; the next manifest raises `gc/floor` to at least this. */
  readonly announcedFloor: number;
  /** What a manifest written now would choose. */
  readonly nextFloor: number;
  /** What it would delete with that floor: needed by nobody then. */
  readonly deletes: readonly { readonly name: string; readonly sizeBytes: number }[];
  /** Objects nothing refers to, and when they go. */
  readonly orphans: readonly Orphan[];
  readonly kept: { readonly objects: number; readonly bytes: number };
}

/**
 * Tells what the next cleaning would delete, by the rules of the protocol, and deletes nothing.
 * @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT, OPTION_INVALID, what the store throws
 */
export function planCleaning(target: CheckpointTarget, options: CleaningOptions = {}): Promise<CleaningPlan> {
  return withCheckpoint(target, options, (store) => onSteadyFloor(store, () => plan(store, options)));
}

async function plan(store: ObjectStore, options: CleaningOptions): Promise<CleaningPlan> {
  const settings = checkpointSettings({
    // Neither is used: nothing is written here.
    clock: { now: () => 0, waitUntil: () => Promise.resolve() },
    random: { next: () => 0, id: () => '' },
    retainManifests: positiveInteger('retainManifests', options.retainManifests ?? 2),
    retainMs: options.retainMs,
    silenceThresholdMs: options.silenceThresholdMs,
  });
  const stream = await readStream(store, 'by hint');
  if (stream === undefined) throw noStream(store);
  const log = await readRetainedLog(store);
  const { floor, objects, tailSlot } = log;
  const references = await collectReferences(store, log, options.onProgress);
  const manifests: { readonly reference: ManifestReference; readonly manifest: Manifest }[] = [];
  for (const reference of references.manifests) {
    const manifest = await readManifest(store, reference, stream.streamId);
    if (manifest !== undefined) manifests.push({ reference, manifest });
  }
  const { serverTimeMs } = await store.head(hintName);
  const older = manifests.map(({ reference: { name, slot }, manifest }) => {
    return { name, slot, serverTimeMs: manifest.serverTimeMs };
  });
  const nextFloor = floorAfter(older, stream.floor, serverTimeMs, stream.status, settings);

  const needed = new Set<string>(references.segments);
  const neededNext = new Set<string>();
  const retired = new Set<string>();
  for (const { reference, manifest } of manifests) {
    const names = [reference.name, ...manifest.extents.flatMap(({ parts }) => parts.map(({ object }) => object))];
    for (const name of names) {
      needed.add(name);
      if (reference.slot >= nextFloor) neededNext.add(name);
    }
    for (const { object } of manifest.retired) retired.add(object);
  }
  const { epoch, positions, savepoints } = stream.status;
  const pinned = await PinnedObjects.read(store, stream.streamId, savepoints);
  const isPinned = (name: string): boolean => pinned.has(name);
  const sources = new Set(Object.keys(positions));
  const orphans = findOrphans(objects.values(), { floor, tailSlot, epoch, names: needed, retired, isPinned, sources });
  const isOrphan = new Set(orphans.map(({ name }) => name));

  const deletes = [...objects.values()]
    .filter(({ kind, slot, name }) => {
      if (isOrphan.has(name) || isPinned(name)) return false;
      if (kind === 'record' || kind === 'segment') return slot <= nextFloor;
      return (kind === 'manifest' || kind === 'snapshot') && !neededNext.has(name);
    })
    .map(({ name, sizeBytes }) => ({ name, sizeBytes }));
  const gone = new Set([...isOrphan, ...deletes.map(({ name }) => name)]);
  const kept = [...objects.values()].filter(({ name }) => !gone.has(name));
  return {
    url: store.url,
    floor,
    announcedFloor: stream.floor,
    nextFloor,
    deletes,
    orphans,
    kept: { objects: kept.length, bytes: kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) },
  };
}
