import type { BucketRange } from '../base/buckets.ts';
import { invariant, TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Content } from './content.ts';
import { corrupt } from './corruption.ts';
import type { LogRecord, Manifest, ManifestReference, StoredDelta } from './log-record.ts';
import { logName } from './object-names.ts';
import type { BatchCommit, ExtentSummary, StreamStatus } from './records.ts';
import { readFloor, type StreamFormat } from './root-objects.ts';
import { readParts } from './state-loader.ts';
import { emptyStatus, statusAfter } from './status-fold.ts';

/** A stream as it stands in the store, up to its last record. */
export interface StreamCheckpoint {
  readonly status: StreamStatus;
  /** Records read to get here: bounded by the manifests. */
  readonly recordsRead: number;
  /**
   * Hands over all state, every piece checked against its hash, per operator in the order it must be applied.
   * `sinceManifest`: the piece is newer than the manifest in force, so its keys belong into the operator's next
   * 'delta' extent. May run again.
   * @throws CHECKPOINT_CORRUPT; FENCED when another driver went on meanwhile and deleted what is needed here.
   */
  loadState(apply: ApplyState): Promise<LoadedState>;
  /** By operator uid: all state, to be fetched piece by piece, as long as this driver runs. Reading throws as loadState does. */
  storedState(): ReadonlyMap<string, StoredState>;
}

/** The state of one operator, not read yet. */
export interface StoredState {
  /** Of the manifest in force, in the order in which they must be applied. */
  readonly extents: readonly StoredExtent[];
  /** Of the records after it. */
  readonly deltas: readonly StoredPiece[];
}

export interface StoredPiece {
  readonly lengthBytes: number;
  readonly read: () => Promise<Uint8Array>;
}

export interface StoredExtent extends StoredPiece {
  readonly isBase: boolean;
  readonly buckets: BucketRange;
  readonly summary: ExtentSummary | undefined;
}

export type ApplyState = (uid: string, bytes: Uint8Array, sinceManifest: boolean) => void;

export interface LoadedState {
  readonly extents: number;
  readonly bytes: number;
}

/** What a recovery has to read of one record. */
interface RecordedChanges {
  readonly deltas: readonly StoredDelta[];
  readonly outputBytes: number;
}

interface ReadRecord extends RecordedChanges {
  readonly slot: number;
  readonly hash: string;
}

/** Changes per operator uid since a manifest, in bytes. */
export interface ChangeTally {
  records: number;
  bytes: number;
  readonly changed: Set<string>;
}

/**
 * The stream as it is being read: a manifest, then record after record. Holds the inline deltas of the records after
 * the manifest, which the manifest policy keeps small.
 *
 * Invariants
 *   R1. Every record is the successor of the one before it by slot and by hash; the first one of the manifest's record.
 *   R2. `status` is the manifest's status plus all records after it: never less than what was read.
 */
export class RecoveredStream implements StreamCheckpoint {
  readonly streamId: string;
  recordsRead = 0;
  /** Of the hint as it was read, for its replacement. */
  hintEtag: string | undefined;
  /** The store's clock when this read began; not known: long ago. */
  readAtMs = Number.NEGATIVE_INFINITY;
  readonly #store: ObjectStore;
  #status: StreamStatus;
  #tailHash: string;
  #reference: ManifestReference | undefined;
  #loaded: ManifestReference | undefined;
  #manifest: Manifest | undefined;
  #floor = 0;
  #records: ReadRecord[] = [];

  constructor(store: ObjectStore, format: StreamFormat) {
    this.#store = store;
    this.streamId = format.streamId;
    this.#status = emptyStatus(format.streamId);
    this.#tailHash = format.hash;
  }

  get status(): StreamStatus {
    return this.#status;
  }

  get tailHash(): string {
    return this.#tailHash;
  }

  /** The slot this read began after. */
  get baseSlot(): number {
    return this.#loaded?.slot ?? 0;
  }

  /** In force after the last record. */
  get manifestReference(): ManifestReference | undefined {
    return this.#reference;
  }

  get manifest(): Manifest | undefined {
    return this.#manifest;
  }

  /** The floor the log announced last. */
  get floor(): number {
    return this.#floor;
  }

  /** Begins at a manifest; only before the first record. */
  startFrom(reference: ManifestReference, manifest: Manifest): void {
    invariant(this.#status.tailSlot === 0, 'A stream is read from one manifest.');
    this.#reference = reference;
    this.#loaded = reference;
    this.#manifest = manifest;
    this.#status = manifest.status;
    this.#tailHash = manifest.recordHash;
  }

  /** @throws CHECKPOINT_CORRUPT when the record doesn't follow (R1). */
  append(record: LogRecord, hash: string): void {
    const name = logName(record.slot);
    if (record.previousHash !== this.#tailHash) {
      throw corrupt(name, `it does not continue record ${this.#status.tailSlot}: its hash of that record differs`);
    }
    this.#status = statusAfter(this.#status, record);
    this.#tailHash = hash;
    this.#reference = record.links.manifest;
    this.#floor = record.links.floor;
    this.#records.push({ slot: record.slot, hash, ...changesOf(record) });
    this.recordsRead += 1;
  }

  /** Whether a record adopted another manifest than the one that was read. */
  get isManifestStale(): boolean {
    return this.#reference !== undefined && this.#reference.name !== this.#loaded?.name;
  }

  /** Replaces what was read up to the manifest in force by that manifest: same stream, less to load. */
  rebase(manifest: Manifest): void {
    const own = this.#records.find((record) => record.slot === manifest.slot);
    if (own !== undefined && own.hash !== manifest.recordHash) {
      throw corrupt(this.#reference!.name, `it describes another record ${manifest.slot} than the log holds`);
    }
    this.#loaded = this.#reference;
    this.#manifest = manifest;
    this.#records = this.#records.filter((record) => record.slot > manifest.slot);
  }

  /** What the records after the manifest in force changed. */
  changesSinceManifest(): ChangeTally {
    const tally: ChangeTally = { records: 0, bytes: 0, changed: new Set() };
    for (const record of this.#records) addToTally(tally, record);
    return tally;
  }

  async loadState(apply: ApplyState): Promise<LoadedState> {
    const { pieces } = this;
    const fetched: Promise<Uint8Array>[] = [];
    let bytes = 0;
    for (const [index, { uid, sinceManifest }] of pieces.entries()) {
      while (fetched.length < Math.min(pieces.length, index + piecesAhead)) {
        const piece = this.#read(pieces[fetched.length]!.content);
        // Awaited in its turn; an earlier failure may end the loop before.
        piece.catch(() => {});
        fetched.push(piece);
      }
      const piece = await fetched[index]!;
      fetched[index] = nothing;
      apply(uid, piece, sinceManifest);
      bytes += piece.length;
    }
    return { extents: pieces.length, bytes };
  }

  storedState(): ReadonlyMap<string, StoredState> {
    const states = new Map<string, { readonly extents: StoredExtent[]; readonly deltas: StoredPiece[] }>();
    const of = (uid: string): { readonly extents: StoredExtent[]; readonly deltas: StoredPiece[] } => {
      const state = states.get(uid) ?? { extents: [], deltas: [] };
      states.set(uid, state);
      return state;
    };
    for (const { uid, kind, buckets, summary, lengthBytes, parts } of this.#manifest?.extents ?? []) {
      const read = (): Promise<Uint8Array> => this.#read({ kind: 'parts', parts });
      of(uid).extents.push({ isBase: kind === 'base', buckets, summary, lengthBytes, read });
    }
    for (const { deltas } of this.#records) {
      for (const { uid, lengthBytes, content } of deltas) {
        if (lengthBytes > 0) of(uid).deltas.push({ lengthBytes, read: () => this.#read(content) });
      }
    }
    return states;
  }

  /** All state, per operator in the order it must be applied. */
  get pieces(): readonly StatePiece[] {
    const pieces: StatePiece[] = [];
    for (const { uid, lengthBytes, parts } of this.#manifest?.extents ?? []) {
      if (lengthBytes > 0) pieces.push({ uid, content: { kind: 'parts', parts }, sinceManifest: false });
    }
    for (const { deltas } of this.#records) {
      for (const { uid, lengthBytes, content } of deltas) {
        if (lengthBytes > 0) pieces.push({ uid, content, sinceManifest: true });
      }
    }
    return pieces;
  }

  async #read(content: Content): Promise<Uint8Array> {
    if (content.kind === 'inline') return content.bytes;
    try {
      return await readParts(this.#store, content.parts);
    } catch (error) {
      await this.#assertStillThere();
      throw error;
    }
  }

  /** What can't be read may be no damage: a driver that runs on has replaced and deleted it since. */
  async #assertStillThere(): Promise<void> {
    const { value: floor } = await readFloor(this.#store);
    if (floor <= this.baseSlot) return;
    throw new TidemarkError(
      'FENCED',
      `Another driver runs stream ${this.streamId} (${this.#store.url}) and has cleaned away what record ${this.#status.tailSlot} needed, up to record ${floor}. Leave this process stopped, or read the checkpoint again.`,
      { context: { streamId: this.streamId, floor } },
    );
  }
}

export interface StatePiece {
  readonly uid: string;
  readonly content: Content;
  readonly sinceManifest: boolean;
}

// Reads in flight while a piece is applied. A piece may be large: more would cost memory, not save time.
const piecesAhead = 4;
const nothing: Promise<Uint8Array> = Promise.resolve(new Uint8Array(0));

function addToTally(tally: ChangeTally, { deltas, outputBytes }: RecordedChanges): void {
  tally.records += 1;
  tally.bytes += outputBytes;
  for (const { uid, lengthBytes } of deltas) {
    if (lengthBytes === 0) continue;
    tally.bytes += lengthBytes;
    tally.changed.add(uid);
  }
}

function changesOf(record: LogRecord): RecordedChanges {
  if (record.kind !== 'batch') return { deltas: [], outputBytes: 0 };
  const deltas = record.batches.flatMap((batch) => batch.deltas);
  const outputs = record.batches.flatMap((batch) => batch.outputs);
  // Inline rows are read with their record; those in segments are not.
  const inline = outputs.filter(({ content }) => content.kind === 'inline');
  return { deltas, outputBytes: inline.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0) };
}

/** A batch that is handed to the log. Rows in segments are not read by a recovery. */
export function noteBatch(tally: ChangeTally, { deltas, outputs = [] }: BatchCommit, isInline: boolean): void {
  for (const { uid, bytes } of deltas) {
    if (bytes.length > 0) tally.changed.add(uid);
    tally.bytes += bytes.length;
  }
  if (isInline) for (const { bytes } of outputs) tally.bytes += bytes.length;
}
