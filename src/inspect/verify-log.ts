import { TidemarkError } from '../base/errors.ts';
import { equalPlain } from '../base/plain-data.ts';
import type { LogRecord, Manifest, ManifestReference, StoredDelta } from '../checkpoint/log-record.ts';
import { readManifest } from '../checkpoint/manifest-codec.ts';
import { firstBaseless } from '../checkpoint/manifest-writer.ts';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { logName } from '../checkpoint/object-names.ts';
import { decodeRecord } from '../checkpoint/record-codec.ts';
import type { StreamPoint, StreamStatus } from '../checkpoint/records.ts';
import type { StreamFormat } from '../checkpoint/root-objects.ts';
import { emptyStatus, statusAfter } from '../checkpoint/status-fold.ts';
import { segmentsOf } from '../checkpoint/stored-contents.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Findings } from './findings.ts';

import type { StoredObject } from './stored-objects.ts';
import { type Piece, piecesOf, StateWalk } from './verify-state.ts';

const readsMax = 16;

/** What the walk was given and goes along. */
export interface LogWalkInput {
  readonly store: ObjectStore;
  readonly findings: Findings;
  readonly objects: ReadonlyMap<string, StoredObject>;
  /** Undefined: damaged or missing, so the first record can't be tied to it. */
  readonly format: StreamFormat | undefined;
  readonly floor: number;
  /** Called for every object that is looked at. */
  readonly touch: (name: string) => void;
}

/**
 * Reads every retained record in order, every manifest one of them adopts, and every byte they refer to.
 *
 * Damage in one place does not end the walk. What depends on the damaged place (the chain to the next record, the
 * status, the state) is not known until the next manifest gives it anew; everything else is checked all the same.
 */
export class LogWalk {
  readonly #input: LogWalkInput;
  readonly #state: StateWalk;
  readonly #hashes = new Map<number, string>();
  /** As of the slots that a manifest in the store describes: it may be adopted many records later. */
  readonly #described = new Map<number, { readonly hash: string; readonly status: StreamStatus | undefined }>();
  readonly #manifests = new Map<string, Manifest | undefined>();
  readonly references: ManifestReference[] = [];
  readonly segments = new Set<string>();
  readonly snapshots = new Set<string>();
  readonly retired = new Set<string>();
  recordsRead = 0;
  batchesRead = 0;
  announcedFloor = 0;
  /** After the last record; undefined when damage stands before it. */
  status: StreamStatus | undefined;

  constructor(input: LogWalkInput) {
    this.#input = input;
    this.#state = new StateWalk(input.store, input.objects, input.findings, input.touch);
    if (input.floor === 0 && input.format !== undefined) this.status = emptyStatus(input.format.streamId);
  }

  get state(): StateWalk {
    return this.#state;
  }

  async run(): Promise<void> {
    const { floor, store, objects, format } = this.#input;
    if (floor === 0 && format !== undefined) this.#hashes.set(0, format.hash);
    const described = new Set<number>();
    for (const { kind, slot } of objects.values()) if (kind === 'manifest') described.add(slot);
    const slots = slotsAbove(floor, objects);
    for (let at = 0; at < slots.length; at += readsMax) {
      const window = slots.slice(at, at + readsMax);
      const outcomes = await mapBounded(window, readsMax, (slot) => store.get(logName(slot)));
      for (const [index, outcome] of outcomes.entries()) {
        const slot = window[index]!;
        this.#checkHole((slots[at + index - 1] ?? floor) + 1, slot - 1);
        await this.#visit(slot, outcome.status === 'found' ? outcome.bytes : undefined);
        const hash = this.#hashes.get(slot);
        if (described.has(slot) && hash !== undefined) this.#described.set(slot, { hash, status: this.status });
      }
    }
  }

  /** Slots `from` to `to` are missing, if there are any. */
  #checkHole(from: number, to: number): void {
    if (from > to) return;
    const also = to > from ? ` (and so are all up to ${to})` : '';
    this.#input.findings.add(logName(from), `it is missing${also}, and a later record exists`);
    this.#loseTrack();
  }

  async #visit(slot: number, bytes: Uint8Array | undefined): Promise<void> {
    const { findings, touch } = this.#input;
    const name = logName(slot);
    touch(name);
    if (bytes === undefined) {
      findings.add(name, 'it was listed and is missing now');
      this.#loseTrack();
      return;
    }
    const decoded = await findings.catch(name, () => decodeRecord(slot, bytes));
    if (decoded === undefined) {
      this.#loseTrack();
      return;
    }
    const { record, hash } = decoded;
    this.recordsRead += 1;
    this.#hashes.set(slot, hash);
    const before = this.#hashes.get(slot - 1);
    if (before !== undefined && before !== record.previousHash) {
      findings.add(name, `it does not continue record ${slot - 1}: its hash of that record differs`);
    }
    await this.#checkLinks(record);
    if (this.status !== undefined) {
      const { status } = this;
      this.status = await findings.catch(name, () => statusAfter(status, record));
      if (this.status === undefined) this.#state.forget();
    }
    if (record.kind === 'batch') await this.#checkBatch(record);
    if (record.kind === 'rewind') this.#checkPoint(name, record.rewind);
    if (record.kind === 'seed') this.#checkPoint(name, record.seed);
    this.#hashes.delete(slot - 1);
  }

  /** A manifest describes an earlier slot, and stays in force until the next one is adopted. */
  async #checkLinks(record: LogRecord): Promise<void> {
    const { findings, floor } = this.#input;
    const name = logName(record.slot);
    const { manifest: reference, floor: announced } = record.links;
    if (announced < this.announcedFloor) {
      findings.add(name, `it announces the floor ${announced} after ${this.announcedFloor} was announced`);
    }
    this.announcedFloor = Math.max(this.announcedFloor, announced);
    const inForce = this.references.at(-1);
    if (reference === undefined) {
      if (inForce !== undefined) findings.add(name, `it names no manifest after ${inForce.name} was adopted`);
      return;
    }
    if (reference.name === inForce?.name) return;
    if (reference.slot >= record.slot || (inForce !== undefined && reference.slot <= inForce.slot)) {
      const after = inForce === undefined ? '' : ` after that of slot ${inForce.slot}`;
      findings.add(name, `it adopts the manifest of slot ${reference.slot}${after}`);
    }
    if (reference.slot < floor) return;
    this.references.push(reference);
    await this.#checkManifest(reference, record);
  }

  async #checkManifest(reference: ManifestReference, adoptedBy: LogRecord): Promise<void> {
    const { store, findings, objects, format, touch } = this.#input;
    const { name } = reference;
    touch(name);
    const streamId = format?.streamId;
    const manifest = await findings.catch(name, async () => {
      const found = await readManifest(store, reference, streamId);
      if (found === undefined) findings.add(name, `it is missing, and record ${adoptedBy.slot} adopts it`);
      return found;
    });
    this.#manifests.set(name, manifest);
    if (manifest === undefined) return;
    for (const { object } of manifest.extents.flatMap(({ parts }) => parts)) this.snapshots.add(object);
    for (const { object } of manifest.retired) this.retired.add(object);
    const described = this.#described.get(manifest.slot);
    if (described !== undefined && manifest.recordHash !== described.hash) {
      findings.add(name, `it describes another record ${manifest.slot} than the log holds`);
    }
    if (manifest.status.tailSlot !== manifest.slot) {
      findings.add(name, `its status is of slot ${manifest.status.tailSlot}, not of ${manifest.slot}`);
    }
    if (described?.status !== undefined && !equalPlain(described.status, manifest.status)) {
      findings.add(name, `its status is not what the records up to ${manifest.slot} give`);
    }
    const state = new StateWalk(store, objects, findings, touch);
    this.#checkOrder(name, manifest);
    for (const piece of piecesOf(manifest.extents)) await state.apply(name, piece, true);
    for (const [uid, fingerprint] of Object.entries(fingerprintsOf(manifest))) state.compare(name, uid, fingerprint);
    // The snapshots of a fork are copies of its parent's, of which some may hold more than is still needed.
    const isCopied = manifest.stateFingerprints !== undefined;
    if (!isCopied) this.#checkLengths(piecesOf(manifest.extents), 'snapshot', manifest.slot);
    await this.#goOnFrom(manifest, state, adoptedBy.slot);
  }

  /**
   * State and status are taken from the manifest, and from the records between it and the one that adopts it. Where one
   * of those is damaged, what was known before stays.
   */
  async #goOnFrom(manifest: Manifest, state: StateWalk, adoptedBy: number): Promise<void> {
    const { store } = this.#input;
    let status: StreamStatus = manifest.status;
    let previousHash = manifest.recordHash;
    for (let slot = manifest.slot + 1; slot < adoptedBy; slot++) {
      try {
        const outcome = await store.get(logName(slot));
        if (outcome.status === 'missing') return;
        const { record, hash } = decodeRecord(slot, outcome.bytes);
        if (record.previousHash !== previousHash) return;
        previousHash = hash;
        status = statusAfter(status, record);
        if (record.kind !== 'batch') continue;
        for (const { deltas } of record.batches) await applyDeltas(state, logName(slot), deltas, true);
      } catch (error) {
        // Told of when the walk came by there.
        if (error instanceof TidemarkError && error.kind !== 'unavailable') return;
        throw error;
      }
    }
    this.#state.adopt(state);
    this.status = status;
  }

  #checkOrder(name: string, manifest: Manifest): void {
    const { findings } = this.#input;
    const fingerprints = fingerprintsOf(manifest);
    const baseless = firstBaseless(manifest.extents);
    if (baseless !== undefined) findings.add(name, `an extent of '${baseless}' has no base before it`);
    for (const uid of new Set(manifest.extents.map((extent) => extent.uid))) {
      if (!Object.hasOwn(fingerprints, uid)) findings.add(name, `it holds state of the unknown operator '${uid}'`);
    }
  }

  /** The state it goes on from is that of the manifest it adopts. */
  #checkPoint(name: string, { fingerprints }: StreamPoint): void {
    if (this.status === undefined) return;
    for (const [uid, fingerprint] of Object.entries(fingerprints)) this.#state.compare(name, uid, fingerprint);
  }

  async #checkBatch(record: LogRecord & { readonly kind: 'batch' }): Promise<void> {
    const name = logName(record.slot);
    this.batchesRead += record.batches.length;
    for (const segment of segmentsOf(record)) this.segments.add(segment);
    const isKnown = this.status !== undefined;
    for (const { deltas, outputs } of record.batches) {
      await applyDeltas(this.#state, name, deltas, isKnown);
      for (const output of outputs) await this.#state.apply(name, output, false);
      this.#checkLengths([...deltas, ...outputs], 'segment');
    }
  }

  /** Of objects whose every byte is named here: whoever wrote them names them all. */
  #checkLengths(pieces: readonly Piece[], kind: 'segment' | 'snapshot', slot?: number): void {
    const { objects, findings } = this.#input;
    const ends = new Map<string, number>();
    for (const { content } of pieces) {
      if (content.kind === 'inline') continue;
      for (const { object, offset, length } of content.parts) {
        ends.set(object, Math.max(ends.get(object) ?? 0, offset + length));
      }
    }
    for (const [name, end] of ends) {
      const object = objects.get(name);
      if (object === undefined || object.kind !== kind || object.sizeBytes <= end) continue;
      if (slot !== undefined && object.slot !== slot) continue;
      findings.add(name, `it has ${object.sizeBytes} bytes where ${end} were written`);
    }
  }

  #loseTrack(): void {
    this.status = undefined;
    this.#state.forget();
  }
}

/** Of the state it holds. */
function fingerprintsOf({ status, stateFingerprints }: Manifest): Readonly<Record<string, string>> {
  return stateFingerprints ?? status.fingerprints;
}

/** One batch: its changes, and the fingerprints the state must have after them. */
async function applyDeltas(
  state: StateWalk,
  where: string,
  deltas: readonly StoredDelta[],
  isKnown: boolean,
): Promise<void> {
  for (const delta of deltas) await state.apply(where, delta, isKnown);
  if (!isKnown) return;
  for (const { uid, fingerprint } of deltas) state.compare(where, uid, fingerprint);
}

function slotsAbove(floor: number, objects: ReadonlyMap<string, StoredObject>): readonly number[] {
  const slots: number[] = [];
  for (const { kind, slot } of objects.values()) if (kind === 'record' && slot > floor) slots.push(slot);
  return slots.sort((a, b) => a - b);
}
