import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointSettings } from './checkpoint-options.ts';
import type { Manifest, ManifestReference } from './log-record.ts';
import { objectsOf } from './manifest-writer.ts';
import {
  floorName,
  logName,
  logPrefix,
  manifestPrefix,
  parseContentName,
  parseLogName,
  parseManifestName,
  segmentPrefix,
  snapshotPrefix,
} from './object-names.ts';
import { PinnedObjects } from './pinned-objects.ts';
import type { Savepoint } from './records.ts';
import { encodeFloor, type Register, readFloor } from './root-objects.ts';

export interface RetentionReport {
  /** Records up to here are gone or may go. */
  readonly floor: number;
  readonly deleted: number;
  /** Left for the next call. */
  readonly waiting: number;
  /** Names the store refused to delete (legal hold, immutability); they stay until another driver takes over. */
  readonly refused: readonly string[];
}

// One call must not hold up the next batch for long.
const deletesPerCallMax = 1024;
// What a batch delete takes on Blob storage.
const deletesPerRequestMax = 256;
// What one look through a prefix takes in; the rest is found by the next driver.
const sweepNamesMax = 20_000;
const swapAttemptsMax = 4;

interface Dated {
  readonly name: string;
  readonly slot: number;
}

/**
 * Deletes what is dead under this and every future epoch, and nothing else, so that even a driver that was replaced in
 * the middle of it does no harm. The floor is announced in the log, then raised in `gc/floor`, then objects go.
 *
 * What is dead at floor f:
 *   G1. log slots <= f: the oldest kept manifest is of slot f or later, and contains them.
 *   G2. manifests of a slot < f.
 *   G3. segments written for a slot <= f: only the record of that slot or of a lower one can refer to them.
 *   G4. snapshots that a manifest of slot s stopped listing, s <= f: only manifests before s refer to them.
 *   G5. snapshots of an older epoch that neither the manifest in force lists nor the retired list names: that epoch is
 *       fenced, nothing can adopt them any more.
 * What a savepoint needs is not dead: it waits until the savepoint is gone.
 *
 * In the steady state it knows all names itself. Once per driver it lists what earlier drivers left behind.
 */
export class Retention {
  readonly #store: ObjectStore;
  readonly #settings: CheckpointSettings;
  readonly #epoch: number;
  #register: Register<number> | undefined;
  #manifest: Manifest | undefined;
  #floor = 0;
  #cleanedTo = 0;
  #isSwept = false;
  #isDue = false;
  #segments: Dated[] = [];
  #manifests: Dated[] = [];
  #retired: Dated[] = [];
  #dead: string[] = [];
  #streamId = '';
  #savepoints: readonly Savepoint[] = [];
  #pinned = PinnedObjects.none;
  /** Dead, but for a savepoint. */
  #withheld: Dated[] = [];

  constructor(store: ObjectStore, settings: CheckpointSettings, epoch: number) {
    this.#store = store;
    this.#settings = settings;
    this.#epoch = epoch;
  }

  /** Those of the stream, after every record that changes them. */
  noteSavepoints(streamId: string, savepoints: readonly Savepoint[]): void {
    this.#streamId = streamId;
    this.#savepoints = savepoints;
  }

  /** Segments of a committed record of this driver. */
  noteSegments(slot: number, names: readonly string[]): void {
    for (const name of names) this.#segments.push({ name, slot });
  }

  /** A record adopted this manifest and announced this floor. */
  noteAdoption(reference: ManifestReference, manifest: Manifest, floor: number): void {
    this.#manifest = manifest;
    // The sweep may have met it before it was adopted.
    if (!this.#manifests.some(({ name }) => name === reference.name)) {
      this.#manifests.push({ name: reference.name, slot: reference.slot });
    }
    const known = new Set(this.#retired.map(({ name }) => name));
    for (const { object, slot } of manifest.retired) {
      if (!known.has(object)) this.#retired.push({ name: object, slot });
    }
    this.#floor = floor;
    this.#isDue = true;
  }

  async run(): Promise<RetentionReport> {
    const manifest = this.#manifest;
    // Records go on meanwhile and may announce a higher floor, which is not raised by this call.
    const floor = this.#floor;
    if (!this.#isDue || manifest === undefined) return this.#report(0, []);
    if (!(await this.#raiseFloor(floor))) return this.#report(0, []);
    await this.#settings.crashHook('retention:floor-raised');
    this.#pinned = await PinnedObjects.read(this.#store, this.#streamId, this.#savepoints, this.#pinned);
    if (!this.#isSwept) await this.#sweep(manifest, floor);
    this.#collect(floor);
    const { deleted, refused } = await this.#deleteSome();
    this.#isDue = this.#dead.length > 0 || this.#floor > floor;
    return this.#report(deleted, refused);
  }

  /** False: not known to be raised, so nothing may be deleted yet. */
  async #raiseFloor(floor: number): Promise<boolean> {
    for (let attempt = 1; attempt <= swapAttemptsMax; attempt++) {
      this.#register ??= await readFloor(this.#store);
      if (this.#register.value >= floor) return true;
      const commitId = this.#settings.random.id();
      const { bytes } = encodeFloor(floor, commitId);
      const outcome = await this.#store.compareAndSwap(floorName, bytes, this.#register.etag, commitId);
      this.#register = outcome.status === 'done' ? { value: floor, etag: outcome.etag } : undefined;
    }
    return (this.#register?.value ?? 0) >= floor;
  }

  /** Looks once through what other drivers wrote: their segments and manifests wait for the floor, their orphans go. */
  async #sweep(manifest: Manifest, floor: number): Promise<void> {
    for await (const name of this.#names(logPrefix)) {
      const slot = parseLogName(name);
      if (slot === undefined) continue;
      if (slot > floor) break;
      this.#give({ name, slot });
    }
    this.#cleanedTo = floor;
    const ownSegments = new Set(this.#segments.map(({ name }) => name));
    for await (const name of this.#names(segmentPrefix)) {
      const parsed = parseContentName(name);
      if (parsed !== undefined && !ownSegments.has(name)) this.#segments.push({ name, slot: parsed.slot });
    }
    const ownManifests = new Set(this.#manifests.map(({ name }) => name));
    for await (const name of this.#names(manifestPrefix)) {
      const slot = parseManifestName(name);
      if (slot !== undefined && !ownManifests.has(name)) this.#manifests.push({ name, slot });
    }
    const live = objectsOf(manifest.extents);
    const retired = new Set(manifest.retired.map(({ object }) => object));
    for await (const name of this.#names(snapshotPrefix)) {
      const parsed = parseContentName(name);
      if (parsed === undefined || parsed.epoch >= this.#epoch || live.has(name) || retired.has(name)) continue;
      this.#give({ name, slot: parsed.slot }); // G5
    }
    this.#isSwept = true;
  }

  async *#names(prefix: string): AsyncIterable<string> {
    let seen = 0;
    for await (const { name } of this.#store.list(prefix)) {
      if (++seen > sweepNamesMax) return;
      yield name;
    }
  }

  #collect(floor: number): void {
    for (let slot = this.#cleanedTo + 1; slot <= floor; slot++) this.#give({ name: logName(slot), slot }); // G1
    this.#cleanedTo = Math.max(this.#cleanedTo, floor);
    this.#manifests = this.#moveDead(this.#manifests, (slot) => slot < floor); // G2
    this.#segments = this.#moveDead(this.#segments, (slot) => slot <= floor); // G3
    this.#retired = this.#moveDead(this.#retired, (slot) => slot <= floor); // G4
    const withheld = this.#withheld;
    this.#withheld = [];
    for (const object of withheld) this.#give(object);
  }

  #moveDead(objects: readonly Dated[], isDead: (slot: number) => boolean): Dated[] {
    for (const object of objects) if (isDead(object.slot)) this.#give(object);
    return objects.filter(({ slot }) => !isDead(slot));
  }

  /** Dead, unless a savepoint needs it: then it is looked at again at the next call. */
  #give(object: Dated): void {
    if (this.#pinned.has(object.name)) this.#withheld.push(object);
    else this.#dead.push(object.name);
  }

  async #deleteSome(): Promise<{ readonly deleted: number; readonly refused: readonly string[] }> {
    const refused: string[] = [];
    let deleted = 0;
    while (this.#dead.length > 0 && deleted < deletesPerCallMax) {
      const names = this.#dead.slice(0, deletesPerRequestMax);
      const outcome = await this.#store.delete(names);
      this.#dead.splice(0, names.length);
      deleted += names.length;
      refused.push(...outcome.refused);
      if (deleted === names.length) await this.#settings.crashHook('retention:half-deleted');
    }
    return { deleted: deleted - refused.length, refused };
  }

  #report(deleted: number, refused: readonly string[]): RetentionReport {
    return { floor: this.#floor, deleted, waiting: this.#dead.length, refused };
  }
}
