import { ByteWriter } from '../base/byte-writer.ts';
import { type KeyIdentity, keyIdentity } from '../base/canonical-key.ts';
import { invariant } from '../base/errors.ts';
import { copyPlain } from '../base/plain-data.ts';
import { Fingerprint } from './fingerprint.ts';
import { type StateEntry, type StateGroup, writeEntry, writeGroupHead, writeRemoval } from './state-codec.ts';
import { TimeoutIndex } from './timeout-index.ts';

/** One key and its value. Cells are handed out to be read; neither must be changed in place or passed on (P1). */
export interface Cell {
  readonly key: unknown;
  readonly value: unknown;
  /** Batch time of the last touch; 0 when the operator keeps no times. */
  readonly timeMs: number;
}

interface StoredCell {
  key: unknown;
  value: unknown;
  timeMs: number;
  hash: number;
  /** Batch that wrote it; decides what the next manifest must hold. */
  batchId: number;
  /** Where the timeout index holds the key. */
  filedMs: number;
}

type Pane = Map<KeyIdentity, StoredCell>;
type Overlay = Map<KeyIdentity, StoredCell | undefined>;

/**
 * The keyed state of one operator in one partition: committed panes, and the overlay of the batch that is running.
 *
 * A pane is a map of its own within the state: pane 0 holds values without time, panes from 1 hold slices of a window
 * and are dropped whole.
 *
 * Protocol of a batch: `begin` (again for every attempt of the task) -> reads and writes -> `seal` -> then either
 * `merge`, once the record is known to be ours, or `discard`.
 *
 * Invariants
 *   P1. A committed cell changes only in `merge`. `seal` stores private copies of keys and values, so neither the user's
 *       functions nor rows that were passed on can reach into committed state.
 *   P2. The order of keys in a pane is the order of their first arrival, and survives a restore: replayed batches
 *       emit rows in the same order.
 */
export class StatePartition {
  readonly #panes = new Map<number, Pane>();
  readonly #changed = new Map<number, Overlay>();
  readonly #dropped = new Set<number>();
  readonly #timeouts: TimeoutIndex | undefined;
  readonly #removedSinceManifest = new Map<number, Map<KeyIdentity, unknown>>();
  readonly #droppedSinceManifest = new Set<number>();
  #fingerprint = new Fingerprint();
  #sealed: { readonly bytes: Uint8Array; readonly fingerprint: Fingerprint } | undefined;

  /** `keepsTimes`: index the cells of pane 0 by their time, for `expiring`. */
  constructor(keepsTimes: boolean) {
    this.#timeouts = keepsTimes ? new TimeoutIndex() : undefined;
  }

  /** Starts an attempt: forgets what an earlier attempt of the same batch wrote. */
  begin(): void {
    this.discard();
  }

  get(pane: number, id: KeyIdentity): Cell | undefined {
    const overlay = this.#changed.get(pane);
    if (overlay !== undefined) {
      const changed = overlay.get(id);
      if (changed !== undefined || overlay.has(id)) return changed;
    }
    return this.#dropped.has(pane) ? undefined : this.#panes.get(pane)?.get(id);
  }

  /** True when the running batch has written or removed the key. */
  isChanged(pane: number, id: KeyIdentity): boolean {
    return this.#changed.get(pane)?.has(id) ?? false;
  }

  put(pane: number, id: KeyIdentity, key: unknown, value: unknown, timeMs = 0): void {
    this.#overlay(pane).set(id, { key, value, timeMs, hash: 0, batchId: 0, filedMs: 0 });
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
    for (const pane of this.#panes.keys()) if (!this.#dropped.has(pane)) panes.add(pane);
    for (const pane of this.#changed.keys()) panes.add(pane);
    return [...panes].sort((a, b) => a - b);
  }

  /**
   * Visits the cells of a pane as the running batch sees them, in order of arrival (P2). The visitor may write to the
   * key it is given. A callback, not an iterator: updateStateByKey visits every key of every batch.
   */
  forEach(pane: number, visit: (id: KeyIdentity, cell: Cell) => void): void {
    const overlay = this.#changed.get(pane);
    const committed = this.#dropped.has(pane) ? undefined : this.#panes.get(pane);
    if (committed !== undefined) {
      for (const [id, cell] of committed) {
        const current = overlay?.has(id) ? overlay.get(id) : cell;
        if (current !== undefined) visit(id, current);
      }
    }
    if (overlay !== undefined) {
      for (const [id, cell] of overlay) if (cell !== undefined && !committed?.has(id)) visit(id, cell);
    }
  }

  /** Committed cells of pane 0 last touched strictly before `thresholdMs` and untouched in the running batch. */
  expiring(thresholdMs: number): Cell[] {
    const cells: Cell[] = [];
    for (const id of new Set(this.#timeouts?.due(thresholdMs))) {
      const cell = this.#panes.get(0)?.get(id);
      if (cell !== undefined && cell.timeMs < thresholdMs && !this.isChanged(0, id)) cells.push(cell);
    }
    return cells;
  }

  /** Encodes the overlay; after it the batch writes nothing more here. Called again, it gives the same bytes. */
  seal(batchId: number): Uint8Array {
    if (this.#sealed !== undefined) return this.#sealed.bytes;
    const writer = new ByteWriter();
    const fingerprint = this.#fingerprint.clone();
    for (const pane of this.#dropped) {
      for (const cell of this.#panes.get(pane)?.values() ?? []) fingerprint.subtract(cell.hash);
      writeGroupHead(writer, pane, true, 0);
    }
    for (const [pane, overlay] of this.#changed) {
      const committed = this.#panes.get(pane);
      const entryCount = countEntries(overlay, committed);
      if (entryCount === 0) continue;
      writeGroupHead(writer, pane, false, entryCount);
      for (const [id, cell] of overlay) {
        if (cell === undefined && committed?.has(id)) writeRemoval(writer, committed.get(id)?.key);
      }
      for (const [id, cell] of overlay) {
        const before = committed?.get(id);
        if (before !== undefined) fingerprint.subtract(before.hash);
        if (cell === undefined) continue;
        cell.hash = writeEntry(writer, pane, cell.key, cell.value, cell.timeMs);
        cell.batchId = batchId;
        // P1. The key of a cell that is committed already stays.
        if (before === undefined) cell.key = copyPlain(cell.key);
        cell.value = copyPlain(cell.value);
        fingerprint.add(cell.hash);
      }
    }
    this.#sealed = { bytes: writer.finish(), fingerprint };
    return this.#sealed.bytes;
  }

  /** Of the state after the running batch. */
  sealedFingerprint(): Fingerprint {
    return this.#sealed?.fingerprint ?? this.#fingerprint;
  }

  /** The batch is committed: its overlay becomes the base. */
  merge(timeoutThresholdMs: number): void {
    if (this.#sealed === undefined) {
      invariant(this.#changed.size === 0 && this.#dropped.size === 0, 'State was changed but not sealed.');
      return;
    }
    for (const pane of this.#dropped) {
      this.#panes.delete(pane);
      this.#removedSinceManifest.delete(pane);
      this.#droppedSinceManifest.add(pane);
    }
    for (const [pane, overlay] of this.#changed) {
      for (const [id, cell] of overlay) {
        if (cell === undefined) this.#removeCommitted(pane, id);
        else this.#setCommitted(pane, id, cell);
      }
    }
    this.#timeouts?.refile(timeoutThresholdMs, (id, filedMs) => {
      const cell = this.#panes.get(0)?.get(id);
      if (cell === undefined || cell.filedMs !== filedMs) return undefined;
      cell.filedMs = cell.timeMs;
      return cell.timeMs;
    });
    this.#fingerprint = this.#sealed.fingerprint;
    this.discard();
  }

  discard(): void {
    this.#changed.clear();
    this.#dropped.clear();
    this.#sealed = undefined;
  }

  /** Restores one entry of a group. `batchId` 0: it stands in the newest manifest already. */
  restore(group: Pick<StateGroup, 'pane'>, entry: StateEntry, batchId: number): void {
    const id = keyIdentity(entry.key);
    const before = this.#panes.get(group.pane)?.get(id);
    if (before !== undefined) this.#fingerprint.subtract(before.hash);
    if (entry.removed) {
      if (before !== undefined) this.#removeCommitted(group.pane, id);
      return;
    }
    this.#fingerprint.add(entry.hash);
    const { key, value, timeMs, hash } = entry;
    this.#setCommitted(group.pane, id, { key, value, timeMs, hash, batchId, filedMs: 0 });
  }

  restoreDrop(pane: number): void {
    for (const cell of this.#panes.get(pane)?.values() ?? []) this.#fingerprint.subtract(cell.hash);
    this.#panes.delete(pane);
    this.#removedSinceManifest.delete(pane);
    this.#droppedSinceManifest.add(pane);
  }

  /** Encodes committed state: all of it, or what was written after `sinceBatchId`. */
  encode(writer: ByteWriter, sinceBatchId: number | undefined): void {
    if (sinceBatchId !== undefined) {
      for (const pane of this.#droppedSinceManifest) writeGroupHead(writer, pane, true, 0);
    }
    const panes = new Set([...this.#panes.keys(), ...this.#removedSinceManifest.keys()]);
    for (const pane of panes) {
      const removed = sinceBatchId === undefined ? undefined : this.#removedSinceManifest.get(pane);
      const cells: StoredCell[] = [];
      for (const cell of this.#panes.get(pane)?.values() ?? []) {
        if (sinceBatchId === undefined || cell.batchId > sinceBatchId) cells.push(cell);
      }
      const entryCount = cells.length + (removed?.size ?? 0);
      if (entryCount === 0) continue;
      writeGroupHead(writer, pane, false, entryCount);
      for (const key of removed?.values() ?? []) writeRemoval(writer, key);
      for (const cell of cells) writeEntry(writer, pane, cell.key, cell.value, cell.timeMs);
    }
  }

  /** A manifest now holds everything up to here. */
  manifestWritten(): void {
    this.#removedSinceManifest.clear();
    this.#droppedSinceManifest.clear();
  }

  /** Keys in pane 0. */
  get keyCount(): number {
    return this.#panes.get(0)?.size ?? 0;
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

  #setCommitted(pane: number, id: KeyIdentity, cell: StoredCell): void {
    let cells = this.#panes.get(pane);
    if (cells === undefined) {
      cells = new Map();
      this.#panes.set(pane, cells);
    }
    const before = cells.get(id);
    if (before === undefined) {
      cells.set(id, cell);
      if (pane === 0 && this.#timeouts !== undefined) {
        cell.filedMs = cell.timeMs;
        this.#timeouts.file(cell.timeMs, id);
      }
    } else {
      // In place: a new object per update scatters the heap and costs long collections.
      before.value = cell.value;
      before.timeMs = cell.timeMs;
      before.hash = cell.hash;
      before.batchId = cell.batchId;
    }
  }

  #removeCommitted(pane: number, id: KeyIdentity): void {
    const cell = this.#panes.get(pane)?.get(id);
    if (cell === undefined) return;
    this.#panes.get(pane)?.delete(id);
    let removed = this.#removedSinceManifest.get(pane);
    if (removed === undefined) {
      removed = new Map();
      this.#removedSinceManifest.set(pane, removed);
    }
    removed.set(id, cell.key);
  }
}

/** Keys the batch made and removed again leave no trace. */
function countEntries(overlay: Overlay, committed: Pane | undefined): number {
  let count = 0;
  for (const [id, cell] of overlay) if (cell !== undefined || committed?.has(id)) count += 1;
  return count;
}
