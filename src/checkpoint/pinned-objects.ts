import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Manifest } from './log-record.ts';
import { readManifest } from './manifest-codec.ts';
import { objectsOf } from './manifest-writer.ts';
import { mapBounded } from './map-bounded.ts';
import { logName, parseContentName, parseLogName, segmentPrefix, snapshotPrefix } from './object-names.ts';
import { decodeRecord } from './record-codec.ts';
import type { Savepoint } from './records.ts';
import { segmentsOf } from './stored-contents.ts';

const readsMax = 16;

/**
 * What savepoints need although the floor has passed it: the manifest of each, the snapshots that lists, and the records
 * and segments from there to the savepoint. Bounded per savepoint by the manifest policy.
 *
 * Which segments those are, only the records say: a segment is named after the highest slot its record could have got, and
 * batches that shared a record leave names that lie above the savepoint.
 *
 * A savepoint is made at the tail, so at that moment all of this is above the floor: nobody can have begun to delete it,
 * and whoever raises the floor later has read, or written, the Pin record.
 */
export class PinnedObjects {
  static readonly none: PinnedObjects = new PinnedObjects([], new Map(), new Map());
  readonly #savepoints: readonly Savepoint[];
  readonly #manifests: ReadonlyMap<string, Manifest | undefined>;
  readonly #snapshots: ReadonlySet<string>;
  /** By slot of the savepoint; undefined: its records can't be read. */
  readonly #segments: ReadonlyMap<number, ReadonlySet<string> | undefined>;

  /**
   * Reads what `known` does not hold: of each savepoint the manifest and the records after it. What can't be read is noted,
   * not thrown.
   */
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
    const segments = new Map<number, ReadonlySet<string> | undefined>();
    for (const savepoint of savepoints) {
      const { slot } = savepoint;
      segments.set(slot, known.#segments.get(slot) ?? (await readable(() => readSegments(store, savepoint))));
    }
    return new PinnedObjects(savepoints, manifests, segments);
  }

  private constructor(
    savepoints: readonly Savepoint[],
    manifests: ReadonlyMap<string, Manifest | undefined>,
    segments: ReadonlyMap<number, ReadonlySet<string> | undefined>,
  ) {
    this.#savepoints = savepoints;
    this.#manifests = manifests;
    this.#segments = segments;
    this.#snapshots = new Set([...manifests.values()].flatMap((manifest) => [...objectsOf(manifest?.extents ?? [])]));
  }

  get manifests(): ReadonlyMap<string, Manifest | undefined> {
    return this.#manifests;
  }

  /** Whether a savepoint needs the object of this name. */
  has(name: string): boolean {
    const slot = parseLogName(name);
    if (slot !== undefined) return this.#hasSlot(slot);
    if (name.startsWith(segmentPrefix)) return this.#hasSegment(name);
    if (!name.startsWith(snapshotPrefix)) return this.#manifests.has(name);
    // Of a manifest that can't be read, which snapshots it lists is not known: none is given up.
    return this.#snapshots.has(name) || [...this.#manifests.values()].includes(undefined);
  }

  #hasSlot(slot: number): boolean {
    return this.#savepoints.some((savepoint) => slot >= firstSlot(savepoint) && slot <= savepoint.slot);
  }

  #hasSegment(name: string): boolean {
    return this.#savepoints.some((savepoint) => {
      const segments = this.#segments.get(savepoint.slot);
      if (segments !== undefined) return segments.has(name);
      // Of records that can't be read, it is every segment they could refer to.
      const { epoch, slot } = parseContentName(name) ?? { epoch: 0, slot: 0 };
      return epoch <= savepoint.slot && slot >= firstSlot(savepoint);
    });
  }
}

function firstSlot({ manifest }: Savepoint): number {
  return (manifest?.slot ?? 0) + 1;
}

/** Undefined: one of the records is missing. */
async function readSegments(store: ObjectStore, savepoint: Savepoint): Promise<ReadonlySet<string> | undefined> {
  const first = firstSlot(savepoint);
  const slots = Array.from({ length: savepoint.slot - first + 1 }, (_, index) => first + index);
  const names = new Set<string>();
  let isWhole = true;
  await mapBounded(slots, readsMax, async (slot) => {
    const outcome = await store.get(logName(slot));
    if (outcome.status === 'missing') isWhole = false;
    else for (const name of segmentsOf(decodeRecord(slot, outcome.bytes).record)) names.add(name);
  });
  return isWhole ? names : undefined;
}

async function readable<R>(read: () => Promise<R | undefined>): Promise<R | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof TidemarkError && (error.kind === 'corrupt' || error.kind === 'incompatible')) return undefined;
    throw error;
  }
}
