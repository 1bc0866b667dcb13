import { invariant } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointSettings } from './checkpoint-options.ts';
import { putUntilKnown } from './durable-put.ts';
import { writeExtents } from './extent-writer.ts';
import type { Manifest, ManifestExtent } from './log-record.ts';
import type { LogTail } from './log-writer.ts';
import { encodeManifest } from './manifest-codec.ts';
import { assertWhole, historyWith, type InForce, listed, type PendingManifest, retiredBy } from './manifest-writer.ts';
import { manifestName, snapshotName } from './object-names.ts';
import type { StateExtent, StreamStatus } from './records.ts';

/** Keyed state to go on from. */
export interface PointState {
  /** Lies in snapshots of this store already. */
  readonly extents: readonly ManifestExtent[];
  /** What must be applied on top of that, in order. */
  readonly changes: readonly StateExtent[];
  readonly fingerprints: Readonly<Record<string, string>>;
}

/**
 * Uploads a manifest whose state is not that of its status: the next record, a rewind or a seed, makes that state current.
 *
 * Snapshots of an older manifest are listed again rather than copied. None of them can be deleted meanwhile: that manifest
 * is above the announced floor, or a savepoint keeps it, and what it lists is retired after its slot at the earliest.
 */
export async function writePointManifest(
  store: ObjectStore,
  settings: CheckpointSettings,
  { epoch, driverId, tail }: { readonly epoch: number; readonly driverId: string; readonly tail: LogTail },
  status: StreamStatus,
  inForce: InForce | undefined,
  floor: number,
  { extents, changes, fingerprints }: PointState,
): Promise<PendingManifest> {
  const { slot } = tail;
  const { parts } = await writeExtents(store, settings, changes, Number.POSITIVE_INFINITY, (index, id) =>
    snapshotName(epoch, slot, index, id),
  );
  const live = [...extents, ...listed(changes, parts)];
  assertWhole(live);
  const manifest: Manifest = {
    slot,
    epoch,
    recordHash: tail.hash,
    serverTimeMs: tail.serverTimeMs,
    status,
    stateFingerprints: fingerprints,
    extents: live,
    history: historyWith(inForce),
    retired: retiredBy(inForce?.manifest, live, slot),
  };
  const id = settings.random.id();
  const name = manifestName(slot, id);
  const { bytes, hash } = encodeManifest(manifest, driverId, id);
  const put = await putUntilKnown(store, settings, name, bytes, id, 'through refusals');
  invariant(put.status === 'done', `The fresh name "${name}" is taken.`);
  return { reference: { name, hash, slot }, manifest, floor };
}
