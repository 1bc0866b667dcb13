import type { Part } from '../checkpoint/content.ts';
import type { ManifestExtent, StoredDelta } from '../checkpoint/log-record.ts';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { readParts } from '../checkpoint/state-loader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Findings } from './findings.ts';
import type { StoredObject } from './stored-objects.ts';
import { StoredState } from './stored-state.ts';

// Parts are up to 64 MiB.
const readsMax = 4;

/** What there is to be checked in one place of the log: deltas of a record, or extents of a manifest. */
export interface Piece {
  readonly uid: string;
  readonly lengthBytes: number;
  /** Inline bytes, or where they lie. */
  readonly content: StoredDelta['content'];
}

export function piecesOf(extents: readonly ManifestExtent[]): readonly Piece[] {
  return extents.map(({ uid, lengthBytes, parts }) => ({ uid, lengthBytes, content: { kind: 'parts', parts } }));
}

/**
 * Puts the state of all operators together, checks every part on the way, and compares fingerprints.
 *
 * In: pieces in the order of the log. An operator with a damaged piece is not known any more until its whole state
 * comes again; all others go on, and so does the check of the parts.
 */
export class StateWalk {
  readonly #store: ObjectStore;
  readonly #objects: ReadonlyMap<string, StoredObject>;
  readonly #findings: Findings;
  readonly #touch: (object: string) => void;
  #states = new Map<string, StoredState | undefined>();
  partsRead = 0;
  bytesRead = 0;
  fingerprintsCompared = 0;

  constructor(
    store: ObjectStore,
    objects: ReadonlyMap<string, StoredObject>,
    findings: Findings,
    touch: (object: string) => void,
  ) {
    this.#store = store;
    this.#objects = objects;
    this.#findings = findings;
    this.#touch = touch;
  }

  /** What came before is not known: a record of the way is damaged. */
  forget(): void {
    for (const uid of this.#states.keys()) this.#states.set(uid, undefined);
  }

  /** Goes on with a state that was read from a manifest; where that is damaged, with what is known already. */
  adopt(other: StateWalk): void {
    const own = this.#states;
    this.#states = new Map([...other.#states].map(([uid, state]) => [uid, state ?? own.get(uid)]));
    this.partsRead += other.partsRead;
    this.bytesRead += other.bytesRead;
    this.fingerprintsCompared += other.fingerprintsCompared;
  }

  /** Entries per operator. */
  get entryCounts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const [uid, state] of this.#states) if (state !== undefined) counts.set(uid, state.entryCount);
    return counts;
  }

  /** `where`: the record or manifest that names the piece. `known` false: check the bytes only. */
  async apply(where: string, { uid, lengthBytes, content }: Piece, known: boolean): Promise<void> {
    const bytes = content.kind === 'inline' ? content.bytes : await this.#readParts(content.parts);
    if (bytes !== undefined && bytes.length !== lengthBytes) {
      this.#findings.add(where, `its parts of '${uid}' have ${bytes.length} bytes where it says ${lengthBytes}`);
    }
    if (!known) return;
    if (bytes === undefined) {
      this.#states.set(uid, undefined);
      return;
    }
    const state = this.#states.has(uid) ? this.#states.get(uid) : new StoredState(false);
    this.#states.set(uid, state);
    if (state === undefined) return;
    const applied = await this.#findings.catch(where, () => {
      state.apply(bytes);
      return true;
    });
    if (applied === undefined) this.#states.set(uid, undefined);
  }

  /** `where`: what names the fingerprint. */
  compare(where: string, uid: string, expected: string): void {
    if (!this.#states.has(uid)) this.#states.set(uid, new StoredState(false));
    const state = this.#states.get(uid);
    if (state === undefined) return;
    this.fingerprintsCompared += 1;
    const { fingerprint } = state;
    if (fingerprint === expected) return;
    this.#findings.add(
      where,
      `the state of '${uid}' has fingerprint ${fingerprint} where ${expected} was committed (entries:digest)`,
    );
    // Once is enough: all later fingerprints would differ too.
    this.#states.set(uid, undefined);
  }

  /** Undefined: a part is damaged, and every damaged one is named. */
  async #readParts(parts: readonly Part[]): Promise<Uint8Array | undefined> {
    const pieces = await mapBounded(parts, readsMax, (part) => this.#readPart(part));
    const whole = pieces.filter((piece) => piece !== undefined);
    return whole.length === pieces.length ? Buffer.concat(whole) : undefined;
  }

  async #readPart(part: Part): Promise<Uint8Array | undefined> {
    this.#touch(part.object);
    if (!this.#objects.has(part.object)) {
      this.#findings.add(part.object, 'it is missing, and holds state the log refers to');
      return undefined;
    }
    const piece = await this.#findings.catch(part.object, () => readParts(this.#store, [part]));
    this.partsRead += 1;
    this.bytesRead += piece?.length ?? 0;
    return piece;
  }
}
