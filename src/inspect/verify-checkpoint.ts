import { floorName, formatName, hintName, logName } from '../checkpoint/object-names.ts';
import { PinnedObjects } from '../checkpoint/pinned-objects.ts';
import { decodeHint, readFloor, readFormat } from '../checkpoint/root-objects.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import {
  type CheckpointTarget,
  noStream,
  type OnProgress,
  type WalkOptions,
  walksAsOne,
  withCheckpoint,
} from './checkpoint-target.ts';
import { type Finding, Findings } from './findings.ts';
import { findOrphans, type Orphan } from './orphans.ts';
import { attemptsMax, cleanedFaster, floorOrUndefined } from './retained-log.ts';
import { type KeyUse, readKeyUse } from './sealed-keys.ts';
import { listObjects, type StoredObject, tailSlotOf } from './stored-objects.ts';
import { LogWalk } from './verify-log.ts';
import { verifySavepoints } from './verify-savepoints.ts';

export type { Finding } from './findings.ts';
export type { Orphan } from './orphans.ts';
export type { KeyUse } from './sealed-keys.ts';

export interface VerifyOptions extends WalkOptions {}

export interface VerifyReport {
  readonly url: string;
  /** Undefined: `format` can't be read. */
  readonly streamId: string | undefined;
  /** Slots up to here are gone by right. */
  readonly floor: number;
  readonly tailSlot: number;
  /** Empty: everything is as it was written. */
  readonly findings: readonly Finding[];
  /** Objects nothing refers to: left by crashes or being written. They do no harm and are no findings. */
  readonly orphans: readonly Orphan[];
  /** Which keys of encryption the stored objects need. Undefined: the checkpoint is not encrypted. */
  readonly keys: readonly KeyUse[] | undefined;
  readonly checked: {
    readonly objects: number;
    readonly records: number;
    readonly batches: number;
    readonly manifests: number;
    /** Pieces of segments and snapshots, each against its SHA-256. */
    readonly parts: number;
    readonly partBytes: number;
    readonly fingerprints: number;
  };
}

/**
 * Walks a whole checkpoint: format, every record's frame and place in the chain, every manifest, every byte they refer
 * to, the state after every batch, and what is left over. Names all it finds, and changes nothing.
 *
 * Needs memory for the hashes of all keys, not for their values. May run while a driver does.
 * @throws CHECKPOINT_MISSING, FENCED, and what the store throws; damage is not thrown but reported.
 */
export function verifyCheckpoint(target: CheckpointTarget, options: VerifyOptions = {}): Promise<VerifyReport> {
  return withCheckpoint(target, options, async (store) => {
    let before: readonly Finding[] = [];
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const report = await walk(store, walksAsOne(options));
      if (report.findings.length === 0) return report;
      // A running driver may have cleaned up during the walk: then what is missing is missing by right. What is found
      // twice is no such thing, because the next walk does not look below the new floor.
      const floor = await floorOrUndefined(store);
      if (floor === undefined || floor <= report.floor) return report;
      const lasting = report.findings.filter((one) => before.some((other) => isSame(one, other)));
      if (lasting.length > 0) return { ...report, findings: lasting };
      before = report.findings;
    }
    throw cleanedFaster(store);
  });
}

async function walk(store: ObjectStore, nextWalk: () => OnProgress): Promise<VerifyReport> {
  const findings = new Findings();
  const onProgress = nextWalk();
  // In this order: what the hint has seen and the floor allows must be in a listing made later.
  const format = await findings.catch(formatName, () => readFormat(store));
  const hint = await findings.catch(hintName, async () => {
    const outcome = await store.get(hintName);
    return outcome.status === 'missing' ? undefined : decodeHint(outcome.bytes);
  });
  const readableFloor = await findings.catch(floorName, async () => (await readFloor(store)).value);
  const objects = await listObjects(store);
  if (objects.size === 0) throw noStream(store);
  if (!objects.has(formatName)) findings.add(formatName, 'it is missing');

  const tailSlot = tailSlotOf(objects);
  // Without a floor that can be read, the log is taken to begin where it does.
  const isFloorKnown = objects.has(floorName) && readableFloor !== undefined;
  const floor = isFloorKnown ? readableFloor : firstSlotOf(objects) - 1;
  const touched = new Set<string>([formatName, hintName, floorName].filter((name) => objects.has(name)));
  const total = [...objects.values()].filter(
    ({ kind }) => kind !== 'foreign' && kind !== 'source' && kind !== 'request',
  ).length;
  const touch = (name: string): void => {
    if (!objects.has(name)) return;
    touched.add(name);
    onProgress({ done: touched.size, total });
  };

  const log = new LogWalk({ store, findings, objects, format, floor, touch });
  await log.run();
  if (tailSlot <= floor)
    findings.add(logName(floor + 1), `it is missing, and the log must go on after the floor ${floor}`);
  if (hint !== undefined) {
    if (hint.tailSlot > tailSlot) {
      findings.add(logName(tailSlot + 1), `it is missing, but the hint has seen record ${hint.tailSlot}`);
    }
    if (format !== undefined && hint.streamId !== format.streamId) {
      findings.add(hintName, `it belongs to stream ${hint.streamId}, not to ${format.streamId}`);
    }
    const { manifest } = hint;
    if (
      manifest !== undefined &&
      manifest.slot >= floor &&
      !log.references.some(({ name }) => name === manifest.name)
    ) {
      findings.add(hintName, `it names the manifest ${manifest.name}, which no record adopts`);
    }
  }
  if (floor > 0 && log.announcedFloor >= floor && !objects.has(floorName)) {
    findings.add(floorName, `it is missing, and the log begins after record ${floor}`);
  }
  if (floor > log.announcedFloor && log.recordsRead > 0) {
    if (isFloorKnown) findings.add(floorName, `it is ${floor}, and the log announces ${log.announcedFloor}`);
    else findings.add(logName(1), `it is missing (and so are all up to ${floor}), and a later record exists`);
  }
  const oldest = log.references[0];
  if (isFloorKnown && floor > 0 && log.recordsRead > 0 && (oldest === undefined || oldest.slot < floor)) {
    findings.add(floorName, `it is ${floor}, and no manifest holds the stream up to there`);
  }

  const savepoints = log.status?.savepoints ?? [];
  const pinned = await PinnedObjects.read(store, format?.streamId ?? '', savepoints);
  const pinnedFingerprints =
    format === undefined || log.status === undefined
      ? 0
      : await verifySavepoints(store, format, floor, log.status, findings);
  onProgress({ done: total, total });
  const keys = await readKeyUse(store, objects, nextWalk());
  const names = new Set([...log.references.map(({ name }) => name), ...log.segments, ...log.snapshots]);
  const epoch = log.status?.epoch ?? 0;
  const sources = new Set(Object.keys(log.status?.positions ?? {}));
  const found = findings.list;
  return {
    url: store.url,
    streamId: format?.streamId,
    floor,
    tailSlot,
    findings: found,
    orphans: findOrphans(objects.values(), {
      floor,
      tailSlot,
      epoch,
      names,
      retired: log.retired,
      isPinned: (name) => pinned.has(name),
      sources,
    }),
    keys,
    checked: {
      objects: touched.size,
      records: log.recordsRead,
      batches: log.batchesRead,
      manifests: log.references.length,
      parts: log.state.partsRead,
      partBytes: log.state.bytesRead,
      fingerprints: log.state.fingerprintsCompared + pinnedFingerprints,
    },
  };
}

function isSame(one: Finding, other: Finding): boolean {
  return one.object === other.object && one.problem === other.problem;
}

function firstSlotOf(objects: ReadonlyMap<string, StoredObject>): number {
  let first = Number.POSITIVE_INFINITY;
  for (const { kind, slot } of objects.values()) if (kind === 'record' && slot < first) first = slot;
  return Number.isFinite(first) ? first : 1;
}
