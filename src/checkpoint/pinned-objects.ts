import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Manifest } from './log-record.ts';
import { readManifest } from './manifest-codec.ts';
import { objectsOf } from './manifest-writer.ts';
import { parseContentName, parseLogName, segmentPrefix, snapshotPrefix } from './object-names.ts';
import type { Savepoint } from './records.ts';

/**
 * What savepoints need although the floor has passed it: the manifest of each, the snapshots that lists, and the records
 * and segments from there to the savepoint. Bounded per savepoint by the manifest policy.
 *
 * A savepoint is made at the tail, so at that moment all of this is above the floor: nobody can have begun to delete it,
 * and whoever raises the floor later has read, or written, the Pin record.
 */
export class PinnedObjects {
  static readonly none: PinnedObjects = new PinnedObjects([], new Map());
  readonly #savepoints: readonly Savepoint[];
  readonly #manifests: ReadonlyMap<string, Manifest | undefined>;
  readonly #snapshots: ReadonlySet<string>;

  /** Reads the manifests that `known` does not hold: one read per savepoint. What can't be read is noted, not thrown. */
  static async read(
    store: ObjectStore,
    streamId: string,
    savepoints: readonly Savepoint[],
    known: PinnedObjects = PinnedObjects.none,
  ): Promise<PinnedObjects> {
    const manifests = new Map<string, Manifest | undefined>();
    for (const { manifest: reference } of savepoints) {
      if (reference === null || manifests.has(reference.name)) continue;
      const manifest = known.#manifests.get(reference.name);
      manifests.set(reference.name, manifest ?? (await readable(() => readManifest(store, reference, streamId))));
    }
    return new PinnedObjects(savepoints, manifests);
  }

  private constructor(savepoints: readonly Savepoint[], manifests: ReadonlyMap<string, Manifest | undefined>) {
    this.#savepoints = savepoints;
    this.#manifests = manifests;
    this.#snapshots = new Set([...manifests.values()].flatMap((manifest) => [...objectsOf(manifest?.extents ?? [])]));
  }

  get manifests(): ReadonlyMap<string, Manifest | undefined> {
    return this.#manifests;
  }

  /** Whether a savepoint needs the object of this name. */
  has(name: string): boolean {
    const slot = parseLogName(name);
    if (slot !== undefined) return this.#hasSlot(slot);
    if (name.startsWith(segmentPrefix)) return this.#hasSlot(parseContentName(name)?.slot ?? 0);
    if (!name.startsWith(snapshotPrefix)) return this.#manifests.has(name);
    // Of a manifest that can't be read, which snapshots it lists is not known: none is given up.
    return this.#snapshots.has(name) || [...this.#manifests.values()].includes(undefined);
  }

  #hasSlot(slot: number): boolean {
    return this.#savepoints.some((savepoint) => slot > (savepoint.manifest?.slot ?? 0) && slot <= savepoint.slot);
  }
}

async function readable(read: () => Promise<Manifest | undefined>): Promise<Manifest | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof TidemarkError && (error.kind === 'corrupt' || error.kind === 'incompatible')) return undefined;
    throw error;
  }
}
