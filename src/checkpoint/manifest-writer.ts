import { allBuckets, bucketCount } from '../base/buckets.ts';
import { invariant } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointSettings } from './checkpoint-options.ts';
import type { Part } from './content.ts';
import { putUntilKnown } from './durable-put.ts';
import { writeExtents } from './extent-writer.ts';
import type { Manifest, ManifestExtent, ManifestReference, RetainedManifest, RetiredObject } from './log-record.ts';
import type { LogTail } from './log-writer.ts';
import { encodeManifest } from './manifest-codec.ts';
import { manifestName, parseContentName, snapshotName } from './object-names.ts';
import type { StateExtent, StreamStatus } from './records.ts';

/** What the next manifest needs of an operator: its whole state, or what changed since the manifest in force. */
export type ExtentKind = StateExtent['kind'];

// Larger extents get an object of their own, so that a quiet operator keeps little of the others alive.
const aloneFromBytes = 1024 * 1024;

/** A manifest that is in the store but in no record yet. */
export interface PendingManifest {
  readonly reference: ManifestReference;
  readonly manifest: Manifest;
  /** Announced together with the manifest. */
  readonly floor: number;
}

/** The manifest that the last record names. */
export interface InForce {
  readonly reference: ManifestReference;
  readonly manifest: Manifest;
}

/** Whole state when there is none yet. When deltas are to be replaced by a new base is the engine's to decide, by size. */
export function extentKindDue(manifest: Manifest | undefined, uid: string): ExtentKind {
  return manifest?.extents.some((extent) => extent.uid === uid) ? 'delta' : 'base';
}

/**
 * Uploads snapshots and the manifest that lists all live extents: those of the manifest in force that are not replaced,
 * and the new ones. An operator that the last batch didn't know any more is left out.
 */
export async function writeManifestObjects(
  store: ObjectStore,
  settings: CheckpointSettings,
  writer: { readonly epoch: number; readonly driverId: string },
  tail: LogTail,
  status: StreamStatus,
  inForce: InForce | undefined,
  floor: number,
  extents: readonly StateExtent[],
): Promise<PendingManifest> {
  const { slot } = tail;
  const { parts } = await writeExtents(store, settings, extents, aloneFromBytes, (index, id) =>
    snapshotName(writer.epoch, slot, index, id),
  );
  const kept = (inForce?.manifest.extents ?? []).filter(({ uid }) => Object.hasOwn(status.fingerprints, uid));
  const live = withoutReplaced([...kept, ...listed(extents, parts)]);
  assertWhole(live);

  const older = historyWith(inForce);
  const nextFloor = floorAfter(older, floor, tail.serverTimeMs, status, settings);
  const manifest: Manifest = {
    slot,
    epoch: writer.epoch,
    recordHash: tail.hash,
    serverTimeMs: tail.serverTimeMs,
    status,
    extents: live,
    history: older.filter((retained) => retained.slot >= nextFloor),
    retired: retiredBy(inForce?.manifest, live, slot).filter((object) => object.slot > nextFloor),
  };
  const id = settings.random.id();
  const name = manifestName(slot, id);
  const { bytes, hash } = encodeManifest(manifest, writer.driverId, id);
  const put = await putUntilKnown(store, settings, name, bytes, id, 'through refusals');
  invariant(put.status === 'done', `The fresh name "${name}" is taken.`);
  return { reference: { name, hash, slot }, manifest, floor: nextFloor };
}

/**
 * The newest manifest that is old enough to begin at, once one more manifest follows `older`. Old enough: so many newer
 * ones exist, and all records up to it are twice as old as the silence after which a writer asks the floor (W3): any
 * writer there has been, since a driver that was started with a longer silence may still sleep. And no segment is needed any
 * more that holds rows which are not known to be published.
 */
export function floorAfter(
  older: readonly RetainedManifest[],
  floor: number,
  serverTimeMs: number,
  status: Pick<StreamStatus, 'silenceThresholdMs' | 'unpublished'>,
  settings: Pick<CheckpointSettings, 'retainManifests' | 'retainMs' | 'silenceThresholdMs'>,
): number {
  const ageMs = Math.max(2 * settings.silenceThresholdMs, 2 * status.silenceThresholdMs, settings.retainMs);
  const neededFrom = oldestUnpublished(status);
  const candidates = older
    .slice(0, Math.max(0, older.length - settings.retainManifests + 2))
    .filter((manifest) => serverTimeMs - manifest.serverTimeMs > ageMs && manifest.slot < neededFrom);
  return Math.max(floor, candidates.at(-1)?.slot ?? 0);
}

/** Slot of the oldest segment that a handle without a receipt needs; inline rows stand in the status itself. */
function oldestUnpublished({ unpublished }: Pick<StreamStatus, 'unpublished'>): number {
  const slots = unpublished.flatMap(({ rows }) => {
    return rows?.kind === 'parts' ? rows.parts.map(({ object }) => parseContentName(object)?.slot ?? 0) : [];
  });
  return Math.min(Number.POSITIVE_INFINITY, ...slots);
}

/** Manifests that are kept beside the next one. */
export function historyWith(inForce: InForce | undefined): readonly RetainedManifest[] {
  if (inForce === undefined) return [];
  const { reference, manifest } = inForce;
  return [...manifest.history, { name: reference.name, slot: manifest.slot, serverTimeMs: manifest.serverTimeMs }];
}

/** Objects that the manifest in force lists and the next one doesn't, and those retired before and not listed again. */
export function retiredBy(
  inForce: Manifest | undefined,
  live: readonly ManifestExtent[],
  slot: number,
): readonly RetiredObject[] {
  if (inForce === undefined) return [];
  const liveObjects = objectsOf(live);
  const now = [...objectsOf(inForce.extents)].filter((object) => !liveObjects.has(object));
  const before = inForce.retired.filter(({ object }) => !liveObjects.has(object));
  return [...before, ...now.map((object) => ({ object, slot }))];
}

export function objectsOf(extents: readonly ManifestExtent[]): ReadonlySet<string> {
  return new Set(extents.flatMap(({ parts }) => parts.map((part) => part.object)));
}

/** Extents as a manifest lists them. */
export function listed(
  extents: readonly StateExtent[],
  parts: readonly (readonly Part[])[],
): readonly ManifestExtent[] {
  return extents.map(({ uid, kind, bytes, buckets = allBuckets, summary }, index) => {
    return { uid, kind, buckets, summary, lengthBytes: bytes.length, parts: parts[index]! };
  });
}

/** Leaves out extents of which later bases replace every bucket. */
function withoutReplaced(extents: readonly ManifestExtent[]): readonly ManifestExtent[] {
  const replaced = new Map<string, Uint8Array>();
  const live = extents.toReversed().filter(({ uid, kind, buckets: { from, to } }) => {
    const own = replaced.get(uid) ?? new Uint8Array(bucketCount);
    replaced.set(uid, own);
    const isLive = own.subarray(from, to).includes(0);
    if (kind === 'base') own.fill(1, from, to);
    return isLive;
  });
  return live.reverse();
}

export function assertWhole(extents: readonly ManifestExtent[]): void {
  const uid = firstBaseless(extents);
  invariant(uid === undefined, `State of "${uid}" needs a base before its deltas.`);
}

/** An operator with a delta of buckets that no extent before it is a base of; undefined: there is none. */
export function firstBaseless(extents: readonly ManifestExtent[]): string | undefined {
  const based = new Map<string, Uint8Array>();
  for (const {
    uid,
    kind,
    buckets: { from, to },
  } of extents) {
    const own = based.get(uid) ?? new Uint8Array(bucketCount);
    based.set(uid, own);
    if (kind === 'base') own.fill(1, from, to);
    else if (own.subarray(from, to).includes(0)) return uid;
  }
  return undefined;
}
