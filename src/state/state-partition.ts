import type { KeyIdentity } from '../base/canonical-key.ts';
import { invariant } from '../base/errors.ts';
import { finish, keysPerStep, type Steps } from '../base/turns.ts';
import { type Attempt, Change } from './change.ts';
import { CommittedPanes, type TableShare } from './committed-panes.ts';
import { ForeignCell } from './foreign-cell.ts';
import { ForeignRewrites } from './foreign-rewrites.ts';
import { mergeRuns } from './merge-runs.ts';
import { byAge, newStamp, type StoredCell } from './pane.ts';
import { type Overlay, type Sealed, seal } from './sealing.ts';
import type { ExtentScanner } from './state-codec.ts';

/** One key and its value. Cells are handed out to be read; neither must be changed in place or passed on (P1). */
export interface Cell {
  readonly key: unknown;
  readonly value: unknown;
  /** Batch time of the last touch; 0 when the operator keeps no times. */
  readonly timeMs: number;
  /** See {@link StoredCell}; {@link ownValue} for a value that may be changed. */
  readonly decode?: StoredCell['decode'];
  readonly stamp?: StoredCell['stamp'];
}

/**
 * The keyed state of one operator in one partition: committed panes, and the overlay of the batch that is running.
 *
 * A pane is a map of its own within the state: pane 0 holds values without time, panes from 1 hold slices of a window
 * and are dropped whole. Small panes are kept decoded, large ones as bytes; nobody outside can tell.
 *
 * Protocol of a batch: `begin` (again for every attempt of the task) -> reads and writes -> `seal` -> then either
 * `merge`, once the record is known to be ours, or `discard`. What touches many keys comes in steps, between which other
 * work may run, also on other partitions; an attempt may be left between any two, and `begin` or `discard` forgets it.
 *
 * Invariants
 *   P1. A committed cell changes only in `merge`. `seal` takes private copies of keys and values, so neither the user's
 *       functions nor rows that were passed on can reach into committed state.
 *   P2. The order of keys in a pane is the order of their first arrival, and survives a restore: replayed batches
 *       emit rows in the same order.
 *   P3. A committed cell keeps the value, schema version and hash it is stored with; readers are given the value in the
 *       program's version. So fingerprints are of what is stored, and a migration is nothing but later writes.
 */
export class StatePartition {
  readonly #share: TableShare;
  readonly #committed: CommittedPanes;
  readonly #changed = new Map<number, Overlay>();
  readonly #dropped = new Set<number>();
  readonly #foreign = new ForeignRewrites();
  readonly #before = newStamp();
  #sealed: Sealed | undefined;
  #attempt: Attempt = newAttempt();

  constructor(share: TableShare) {
    this.#share = share;
    this.#committed = new CommittedPanes(share);
  }

  get committed(): CommittedPanes {
    return this.#committed;
  }

  /** Starts an attempt: forgets what an earlier attempt of the same batch wrote. */
  begin(): void {
    this.discard();
  }

  get(pane: number, id: KeyIdentity): Cell | undefined {
    const overlay = this.#changed.get(pane);
    if (overlay !== undefined) {
      const changed = overlay.get(id);
      if (changed !== undefined || overlay.has(id)) return changed?.current();
    }
    const cell = this.#dropped.has(pane) ? undefined : this.#committed.get(pane)?.get(id);
    return cell === undefined ? undefined : this.#current(cell);
  }

  /** True when the running batch has written or removed the key. */
  isChanged(pane: number, id: KeyIdentity): boolean {
    return this.#changed.get(pane)?.has(id) ?? false;
  }

  /** `before`: what `get` gave for the key, if anything; it need not be looked for again. */
  put(pane: number, id: KeyIdentity, key: unknown, value: unknown, timeMs = 0, before?: Cell): void {
    const change = new Change(key, value, timeMs, this.#share.schema.version, this.#attempt);
    if (before?.stamp?.(this.#before) === true) change.find(id, this.#before);
    this.#overlay(pane).set(id, change);
  }

  remove(pane: number, id: KeyIdentity): void {
    this.#overlay(pane).set(id, undefined);
  }

  /** Removes a whole pane. It must not be written to again, in this batch or later. */
  dropPane(pane: number): void {
    this.#changed.delete(pane);
    this.#dropped.add(pane);
  }

  /** Panes that hold keys, ascending. */
  panes(): number[] {
    const panes = new Set<number>();
    for (const pane of this.#committed.numbers()) if (!this.#dropped.has(pane)) panes.add(pane);
    for (const pane of this.#changed.keys()) panes.add(pane);
    return [...panes].sort((a, b) => a - b);
  }

  /**
   * Visits the cells of a pane as the running batch sees them, in order of arrival (P2). The visitor may write to the
   * key it is given. A callback, not an iterator: updateStateByKey visits every key of every batch.
   */
  *visit(pane: number, visit: (id: KeyIdentity, cell: Cell) => void): Steps {
    const overlay = this.#changed.get(pane);
    const committed = this.#dropped.has(pane) ? undefined : this.#committed.get(pane);
    const steps = committed?.forEach((id, cell) => {
      if (overlay === undefined || !overlay.has(id)) {
        visit(id, this.#current(cell));
      } else {
        const changed = overlay.get(id);
        if (changed !== undefined) visit(id, changed.current());
      }
    });
    if (steps !== undefined) yield* steps;
    let count = 0;
    for (const [id, cell] of overlay ?? []) {
      if (cell !== undefined && !committed?.has(id)) visit(id, cell.current());
      if (++count % keysPerStep === 0) yield;
    }
  }

  /** `visit` at once. */
  forEach(pane: number, visit: (id: KeyIdentity, cell: Cell) => void): void {
    finish(this.visit(pane, visit));
  }

  /** Committed cells of pane 0 last touched strictly before `thresholdMs` and untouched in the running batch, oldest first. */
  *expiring(thresholdMs: number, visit: (id: KeyIdentity, cell: Cell) => void): Steps {
    const committed = this.#committed.get(0);
    if (committed === undefined) return;
    const aged = yield* committed.older(thresholdMs);
    const runs = aged.filter(({ length }) => length > 0).map((items) => ({ items, at: 0 }));
    yield* mergeRuns(
      runs,
      (a, b) => byAge(a.items[a.at]!, b.items[b.at]!),
      ({ items, at }) => {
        const { id } = items[at]!;
        if (!this.isChanged(0, id)) visit(id, this.#current(committed.get(id)!));
      },
    );
  }

  /** Encodes the overlay; after it the batch writes nothing more here. Called again, it gives the same bytes. */
  *sealSteps(): Steps<Sealed> {
    if (this.#sealed === undefined) {
      yield* this.#rewriteForeign();
      const sealed = yield* seal(this.#dropped, this.#changed, this.#committed);
      const { bytes } = sealed;
      this.#attempt.source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.#sealed = sealed;
    }
    return this.#sealed;
  }

  get droppedPanes(): ReadonlySet<number> {
    return this.#dropped;
  }

  /** Gives the new keys of the sealed batch their places in the order of arrival, from this one on. Before `merge`. */
  place(firstOrdinal: number): void {
    this.#attempt.firstOrdinal = firstOrdinal;
  }

  /** The batch is committed: its overlay becomes the base. Whoever reads in between sees the batch's own view. */
  *mergeSteps(): Steps {
    if (this.#sealed === undefined) {
      invariant(this.#changed.size === 0 && this.#dropped.size === 0, 'State was changed but not sealed.');
      return;
    }
    const committed = this.#committed;
    for (const pane of this.#dropped) yield* committed.drop(pane);
    let count = 0;
    for (const { pane, id, stamp } of this.#sealed.removed) {
      committed.remove(pane, id, stamp);
      if (++count % keysPerStep === 0) yield;
    }
    for (const [pane, overlay] of this.#changed) {
      let left = overlay.size;
      yield* committed.grow(pane, left);
      let target = committed.paneFor(pane, left);
      for (const [id, cell] of overlay) {
        if (cell !== undefined) committed.merge(target, id, cell);
        if (--left % keysPerStep !== 0) continue;
        yield;
        target = committed.paneFor(pane, left);
      }
    }
    yield* committed.tidy();
    this.discard();
  }

  /** Seals and merges at once, for a partition by itself. */
  commit(): void {
    const { additions } = finish(this.sealSteps());
    this.place(this.#share.nextOrdinal);
    this.#share.nextOrdinal += additions.reduce((sum, { count }) => sum + count, 0);
    finish(this.mergeSteps());
  }

  discard(): void {
    this.#changed.clear();
    this.#dropped.clear();
    this.#sealed = undefined;
    this.#attempt = newAttempt();
  }

  /** Restores the entry the scanner stands at: see {@link CommittedPanes.restore}. */
  restore(scanner: ExtentScanner, keyHash: number, isDirty: boolean, expected: number): void {
    this.#committed.restore(scanner, keyHash, isDirty, expected);
    const { pane, kind, schema } = scanner;
    if (pane === 0 && kind !== 'removed' && schema !== this.#share.schema.version) this.#foreign.met();
  }

  /** Keys in pane 0. */
  get keyCount(): number {
    return this.#committed.get(0)?.size ?? 0;
  }

  /** P3. */
  #current(cell: StoredCell): Cell {
    return cell.schema === this.#share.schema.version ? cell : new ForeignCell(cell, this.#share.schema);
  }

  /** Only pane 0: the values of the others leave with their window. */
  #rewriteForeign(): Steps {
    const pane = this.#committed.get(0);
    return this.#foreign.next(pane, this.#share.schema.version, (id) => {
      if (this.isChanged(0, id)) return false;
      const cell = pane!.get(id)!;
      this.put(0, id, cell.key, this.#current(cell).value, cell.timeMs);
      return true;
    });
  }

  #overlay(pane: number): Overlay {
    let overlay = this.#changed.get(pane);
    if (overlay === undefined) {
      invariant(!this.#dropped.has(pane), `Pane ${pane} was dropped in this batch.`);
      overlay = new Map();
      this.#changed.set(pane, overlay);
    }
    return overlay;
  }
}

function newAttempt(): Attempt {
  return { source: undefined, firstOrdinal: 0 };
}
