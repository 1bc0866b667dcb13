import type { ObjectStore } from '../storage/object-store.ts';
import { corrupt } from './corruption.ts';
import { readManifest } from './manifest-codec.ts';
import { mapBounded } from './map-bounded.ts';
import {
  floorName,
  formatName,
  hintName,
  logName,
  logPrefix,
  manifestPrefix,
  parseLogName,
  segmentPrefix,
  snapshotPrefix,
} from './object-names.ts';
import { decodeRecord } from './record-codec.ts';
import { type Hint, readFloor, readFormat, readHint, type StreamFormat } from './root-objects.ts';
import { RecoveredStream, type StreamCheckpoint } from './stream-checkpoint.ts';

/**
 * Finds the true end of a stream and reads what leads there. Writes nothing.
 *
 * 1. `format`, `hint` and `gc/floor` in one round trip.
 * 2. The manifest the hint names, and the records after it in parallel windows until the first missing slot: the log
 *    has no holes, so that is its end. Then the manifest in force, if the records adopted a newer one.
 * 3. Without a usable hint: a listing of `log/`, the last record, the manifest it names, the records after that.
 *
 * The hint only shortens the way. What it says is never believed against the log, with one exception: a record it has
 * seen must exist. Everything else that doesn't fit is CHECKPOINT_CORRUPT; never an older point, never a new stream.
 */
const windowSlots = 16;
// A run of the log that is known to exist is read in larger pieces, still with `windowSlots` reads in flight.
const runSlotsMax = 128;
const attemptsMax = 4;

/** Undefined: no driver ever took over a stream here. @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPATIBLE */
export function readCheckpoint(store: ObjectStore): Promise<StreamCheckpoint | undefined> {
  return readStream(store, 'by hint');
}

export async function readStream(
  store: ObjectStore,
  way: 'by hint' | 'by listing',
): Promise<RecoveredStream | undefined> {
  const [format, { value: hint, etag: hintEtag }, { value: floor, serverTimeMs }] = await Promise.all([
    readFormat(store),
    readHint(store),
    readFloor(store),
  ]);
  const usableHint = hint?.streamId === format?.streamId ? hint : undefined;
  if (format !== undefined && usableHint !== undefined && way === 'by hint') {
    const stream = await readByHint(store, format, usableHint, floor);
    if (stream !== undefined) {
      stream.hintEtag = hintEtag;
      stream.readAtMs = serverTimeMs;
      return stream;
    }
  }
  const stream = format === undefined ? undefined : await readByListing(store, format, floor);
  if (stream === undefined) {
    await assertNothingElse(store, format !== undefined, hint, floor);
    return undefined;
  }
  if (usableHint !== undefined && stream.status.tailSlot < usableHint.tailSlot) {
    throw missingRecord(stream.status.tailSlot + 1, `the hint has seen record ${usableHint.tailSlot}`);
  }
  stream.hintEtag = hintEtag;
  stream.readAtMs = serverTimeMs;
  return stream;
}

/** Undefined: the hint is out of date (what it leads to was cleaned away since); the log itself must be listed. */
async function readByHint(
  store: ObjectStore,
  format: StreamFormat,
  hint: Hint,
  floor: number,
): Promise<RecoveredStream | undefined> {
  const stream = new RecoveredStream(store, format);
  const { manifest: reference } = hint;
  // Slots up to the floor may be gone, or created again by a driver that slept: they prove nothing.
  if (floor > (reference?.slot ?? 0)) return undefined;
  if (reference !== undefined) {
    const [manifest, window] = await Promise.all([
      readManifest(store, reference, format.streamId),
      readSlots(store, reference.slot + 1, hint.tailSlot + windowSlots),
    ]);
    if (manifest === undefined) return undefined;
    stream.startFrom(reference, manifest);
    if ((await readForward(store, stream, hint.tailSlot, window)) === 'cleaned away') return undefined;
  } else if ((await readForward(store, stream, hint.tailSlot)) === 'cleaned away') {
    return undefined;
  }
  return stream.status.tailSlot < hint.tailSlot ? undefined : stream;
}

/** Undefined: the log is empty. */
async function readByListing(
  store: ObjectStore,
  format: StreamFormat,
  knownFloor: number,
): Promise<RecoveredStream | undefined> {
  let floor = knownFloor;
  for (let attempt = 1; ; attempt++) {
    const { tail, hole } = await listLog(store, floor);
    if (tail === undefined && floor === 0) return undefined;
    if (hole === undefined && tail !== undefined) {
      const stream = await readFromTail(store, format, tail);
      if (stream !== undefined) return stream;
    }
    // A running driver may have cleaned up during the walk: then the floor has risen.
    const { value: floorNow } = await readFloor(store);
    if (floorNow === floor || attempt === attemptsMax) {
      throw missingRecord(hole ?? floor + 1, tail === undefined ? `the floor is ${floor}` : `record ${tail} exists`);
    }
    floor = floorNow;
  }
}

/** Undefined: records or the manifest on the way were cleaned away meanwhile. */
async function readFromTail(
  store: ObjectStore,
  format: StreamFormat,
  tail: number,
): Promise<RecoveredStream | undefined> {
  const outcome = await store.get(logName(tail));
  if (outcome.status === 'missing') return undefined;
  const { manifest: reference } = decodeRecord(tail, outcome.bytes).record.links;
  const stream = new RecoveredStream(store, format);
  if (reference !== undefined) {
    const manifest = await readManifest(store, reference, format.streamId);
    if (manifest === undefined) {
      const { value: floor } = await readFloor(store);
      if (floor > reference.slot) return undefined;
      throw corrupt(reference.name, `it is missing, and record ${tail} needs it`);
    }
    stream.startFrom(reference, manifest);
  }
  if ((await readForward(store, stream, tail)) === 'cleaned away') return undefined;
  return stream.status.tailSlot < tail ? undefined : stream;
}

/** The last slot above the floor and the first one that is missing before it. */
async function listLog(
  store: ObjectStore,
  floor: number,
): Promise<{ readonly tail: number | undefined; readonly hole: number | undefined }> {
  let tail: number | undefined;
  let hole: number | undefined;
  for await (const { name } of store.list(logPrefix, floor > 0 ? logName(floor) : undefined)) {
    const slot = parseLogName(name);
    if (slot === undefined || slot <= floor) continue;
    const expected = (tail ?? floor) + 1;
    if (slot !== expected) hole ??= expected;
    tail = slot;
  }
  return { tail, hole };
}

type Slots = readonly (Uint8Array | undefined)[];

/**
 * Appends the records after the stream's tail until the log ends, and loads the manifest in force if it is a newer one.
 *
 * @param knownTail a slot that is believed to exist: up to there reads are not cut into windows.
 * @param first what was read already, from the stream's tail on.
 * @returns `cleaned away` when the records were deleted by a running driver: start again from the listing.
 */
export async function readForward(
  store: ObjectStore,
  stream: RecoveredStream,
  knownTail: number,
  first?: Slots,
): Promise<'at the end' | 'cleaned away'> {
  let window = first;
  let holesSeen = 0;
  for (;;) {
    const start = stream.status.tailSlot + 1;
    window ??= await readSlots(store, start, knownTail + windowSlots);
    const end = window.indexOf(undefined);
    const present = end === -1 ? window : window.slice(0, end);
    try {
      for (const [index, bytes] of present.entries()) {
        const { record, hash } = decodeRecord(start + index, bytes!);
        stream.append(record, hash);
      }
    } catch (error) {
      if (await isCleanedAway(store, stream)) return 'cleaned away';
      throw error;
    }
    const isHole = end !== -1 && window.slice(end).some((bytes) => bytes !== undefined);
    if (end !== -1 && !isHole) break;
    if (isHole && ++holesSeen === attemptsMax) {
      // The reads of a window run side by side with a driver that appends, so one look proves no hole.
      if (await isCleanedAway(store, stream)) return 'cleaned away';
      throw missingRecord(stream.status.tailSlot + 1, 'a later record exists');
    }
    window = undefined;
  }
  if (stream.isManifestStale) {
    const reference = stream.manifestReference!;
    const manifest = await readManifest(store, reference, stream.streamId);
    if (manifest === undefined) {
      if (await isCleanedAway(store, stream)) return 'cleaned away';
      throw corrupt(reference.name, `it is missing, and record ${stream.status.tailSlot} needs it`);
    }
    stream.rebase(manifest);
  }
  return 'at the end';
}

/**
 * Whether the floor has passed the point this read began at. Then what looks like damage may be none: records are gone,
 * and a driver that slept may have put one of its own into an emptied slot.
 */
async function isCleanedAway(store: ObjectStore, stream: RecoveredStream): Promise<boolean> {
  return (await readFloor(store)).value > stream.baseSlot;
}

/** One window from `start`, longer if the log is believed to reach further. */
function readSlots(store: ObjectStore, start: number, believedEnd: number): Promise<Slots> {
  const count = Math.min(Math.max(windowSlots, believedEnd - start + 1), runSlotsMax);
  const slots = Array.from({ length: count }, (_, index) => start + index);
  return mapBounded(slots, windowSlots, async (slot) => {
    const outcome = await store.get(logName(slot));
    return outcome.status === 'found' ? outcome.bytes : undefined;
  });
}

/** A new stream may only begin where nothing of an older one is left. */
async function assertNothingElse(
  store: ObjectStore,
  hasFormat: boolean,
  hint: Hint | undefined,
  floor: number,
): Promise<void> {
  const found = [
    ...(hint === undefined ? [] : [hintName]),
    ...(floor === 0 ? [] : [floorName]),
    ...(
      await Promise.all(
        [logPrefix, manifestPrefix, segmentPrefix, snapshotPrefix].map((prefix) => firstName(store, prefix)),
      )
    ).flat(),
  ];
  if (found.length === 0) return;
  // Another driver may create the stream at this moment: it writes the format first, then the log.
  if (!hasFormat && (await readFormat(store)) === undefined) {
    throw corrupt(formatName, `it is missing, but "${found[0]}" is there`);
  }
  if (hasFormat && (await firstName(store, logPrefix)).length === 0) {
    throw missingRecord(1, `"${found[0]}" is there`);
  }
}

async function firstName(store: ObjectStore, prefix: string): Promise<readonly string[]> {
  for await (const { name } of store.list(prefix)) return [name];
  return [];
}

function missingRecord(slot: number, evidence: string): Error {
  return corrupt(logName(slot), `it is missing, but ${evidence}`);
}
