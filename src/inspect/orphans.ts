import type { StoredObject } from './stored-objects.ts';

/** An object that nothing refers to. It does no harm. */
export interface Orphan {
  readonly name: string;
  readonly sizeBytes: number;
  /** How it comes to be there, and when it goes. */
  readonly why: string;
}

/** What is in use, so that the rest can be told. */
export interface InUse {
  readonly floor: number;
  readonly tailSlot: number;
  /** Of the newest fence. */
  readonly epoch: number;
  /** Kept manifests, segments and snapshots. */
  readonly names: ReadonlySet<string>;
  /** Snapshots a kept manifest still names as retired. */
  readonly retired: ReadonlySet<string>;
  /** Kept by a savepoint. */
  readonly isPinned: (name: string) => boolean;
  /** Uids of the inputs. */
  readonly sources: ReadonlySet<string>;
}

export function findOrphans(objects: Iterable<StoredObject>, inUse: InUse): readonly Orphan[] {
  const orphans: Orphan[] = [];
  for (const object of objects) {
    const why = whyOrphan(object, inUse);
    if (why !== undefined) orphans.push({ name: object.name, sizeBytes: object.sizeBytes, why });
  }
  return orphans;
}

const belowFloor = 'below the floor: what an interrupted cleaning left, goes at the next driver';

function whyOrphan(
  object: StoredObject,
  { floor, tailSlot, epoch, names, retired, isPinned, sources }: InUse,
): string | undefined {
  const { name, kind, slot } = object;
  if (isPinned(name)) return undefined;
  switch (kind) {
    case 'format':
    case 'hint':
    case 'floor':
      return undefined;
    case 'request':
      return 'what a tool asked the driver for: goes when it is answered or withdrawn';
    case 'record':
      return slot <= floor ? belowFloor : undefined;
    case 'segment':
      if (names.has(name)) return undefined;
      if (slot <= floor) return belowFloor;
      return slot > tailSlot
        ? `of record ${slot}, which is being written or never was: goes when the floor passes ${slot}`
        : `of a write that did not become record ${slot}: goes when the floor passes ${slot}`;
    case 'manifest':
      if (names.has(name)) return undefined;
      if (slot < floor) return belowFloor;
      return `not adopted by a record, or not yet: goes when the floor passes ${slot}`;
    case 'snapshot':
      if (names.has(name)) return undefined;
      if (retired.has(name)) return 'replaced by a newer snapshot: goes with the last manifest that lists it';
      return object.epoch < epoch
        ? 'of a manifest that was never adopted: goes at the next driver'
        : 'of a manifest that is being written, or was not finished: goes after the next driver took over';
    case 'source': {
      const uid = name.split('/')[1] ?? '';
      return sources.has(uid) ? undefined : `of input '${uid}', which the program has no more: stays`;
    }
    case 'foreign':
      return 'no object of a checkpoint: another tool left it';
  }
}
