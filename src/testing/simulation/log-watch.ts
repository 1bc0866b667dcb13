import { type MarkedRecord, readMarkedRecord, slotOf } from './marks.ts';
import type { StoreObserver } from './stored-objects.ts';
import type { Verdict } from './verdict.ts';

/** What a savepoint needs: the records after its manifest, up to its own. */
interface Pin {
  readonly slot: number;
  readonly manifest: string | undefined;
  /** The slot that describes. */
  readonly from: number;
}

/**
 * Watches the raw objects of the store: which record first took each slot, whatever is deleted or written there later.
 *
 * Invariants
 *   H1. Slots are filled without holes. A batch, plan or drain belongs to the newest fence before it, and a slot above the
 *       floor is never filled twice.
 *   H6. What a record names exists when it is written. The segments that a record above the floor names, the manifest
 *       that the last record names, and the manifest and records of a savepoint, are not deleted. The floor never falls.
 */
export class LogWatch implements StoreObserver {
  readonly #verdict: Verdict;
  readonly #onRecord: (record: MarkedRecord) => void;
  readonly #slots = new Set<number>();
  readonly #objects = new Set<string>();
  /** By slot: what the record there names. */
  readonly #references = new Map<number, readonly string[]>();
  readonly #pins = new Map<number, Pin>();
  readonly #pinned = new Set<number>();
  #floor = 0;
  #tail = 0;
  #tailKind: MarkedRecord['kind'] = 'other';
  #epoch = 0;
  #manifestSlot = 0;
  recreatedSlots = 0;
  deletions = 0;
  /** Records of somebody who stopped. */
  drains = 0;

  constructor(verdict: Verdict, onRecord: (record: MarkedRecord) => void) {
    this.#verdict = verdict;
    this.#onRecord = onRecord;
  }

  /** Slot of the newest fence. */
  get epoch(): number {
    return this.#epoch;
  }

  get floor(): number {
    return this.#floor;
  }

  get tail(): number {
    return this.#tail;
  }

  /** Whoever wrote last has said that it stopped. */
  get isDrained(): boolean {
    return this.#tailKind === 'drain';
  }

  /** The slot of the newest manifest: the floor is not above it. */
  get manifestSlot(): number {
    return this.#manifestSlot;
  }

  /** Savepoints that are there, by the number of their mark, and the slot of each. */
  get savepoints(): ReadonlyMap<number, { readonly slot: number }> {
    return this.#pins;
  }

  /** Also one that was removed since. */
  hadSavepoint(mark: number): boolean {
    return this.#pinned.has(mark);
  }

  written(name: string, bytes: Uint8Array): void {
    this.#objects.add(name);
    if (name === 'gc/floor') {
      const floor = slotOf(bytes);
      if (floor < this.#floor) this.#verdict.violate(`The floor fell from ${this.#floor} to ${floor}.`); // H6
      this.#floor = floor;
    }
    const slot = slotOfName(name);
    if (slot === undefined) return;
    if (!this.#slots.has(slot)) {
      this.#slots.add(slot);
      this.#appended(slot, readMarkedRecord(bytes));
      return;
    }
    // A sleeper's write into an emptied slot. It counts for nothing, as long as it lies at or below the floor.
    this.recreatedSlots += 1;
    if (slot > this.#floor) this.#verdict.violate(`Record ${slot} was written again above the floor ${this.#floor}.`);
  }

  deleted(name: string): void {
    this.#objects.delete(name);
    this.deletions += 1;
    const slot = slotOfName(name);
    for (const [mark, pin] of this.#pins) {
      if (name !== pin.manifest && !(slot !== undefined && slot > pin.from && slot < pin.slot)) continue;
      this.#verdict.violate(`${name} was deleted, and savepoint ${mark} of record ${pin.slot} needs it.`); // H6
    }
    if (slot !== undefined) {
      if (slot > this.#floor) this.#verdict.violate(`${name} was deleted, and the floor is ${this.#floor}.`);
      this.#references.delete(slot);
      return;
    }
    for (const [user, references] of this.#references) {
      // Only the end of the log needs its manifest: an older record may name one that a newer has replaced.
      const isNeeded = name.startsWith('man/') ? user === this.#tail : this.#isKept(user);
      if (isNeeded && references.includes(name)) {
        this.#verdict.violate(`${name} was deleted, and record ${user} above the floor ${this.#floor} names it.`); // H6
      }
    }
  }

  #isKept(slot: number): boolean {
    return slot > this.#floor || [...this.#pins.values()].some((pin) => slot > pin.from && slot < pin.slot);
  }

  #appended(slot: number, record: MarkedRecord): void {
    const { kind, epoch, references, savepoint } = record;
    if (references.length > 0) this.#references.set(slot, references);
    const missing = references.find((name) => !this.#objects.has(name));
    if (missing !== undefined) this.#verdict.violate(`Record ${slot} names ${missing}, which does not exist.`); // H6
    if (record.slot !== slot) this.#verdict.violate(`Record ${slot} says that it is record ${record.slot}.`);
    if (slot !== this.#tail + 1) {
      this.#verdict.violate(`Record ${slot} was written, and the log ends at ${this.#tail}.`); // H1
    }
    this.#tail = slot;
    this.#tailKind = kind;
    if (kind === 'drain') this.drains += 1;
    if (kind === 'fence') this.#epoch = slot;
    if (epoch !== this.#epoch) {
      this.#verdict.violate(`Record ${slot} was written by epoch ${epoch} after the fence of epoch ${this.#epoch}.`); // H1
    }
    const manifest = references.find((name) => name.startsWith('man/'));
    if (manifest !== undefined) this.#manifestSlot = manifestSlotOf(manifest);
    if (savepoint !== undefined && kind === 'pin') {
      this.#pinned.add(savepoint);
      this.#pins.set(savepoint, { slot, manifest, from: manifest === undefined ? 0 : manifestSlotOf(manifest) });
    }
    if (savepoint !== undefined && kind === 'unpin') this.#pins.delete(savepoint);
    this.#onRecord(record);
  }
}

function slotOfName(name: string): number | undefined {
  return name.startsWith('log/') ? Number(name.slice(4)) : undefined;
}

/** `man/<slot>-<id>` */
function manifestSlotOf(name: string): number {
  return Number(name.slice(4, name.indexOf('-')));
}
