import { ByteWriter } from '../base/byte-writer.ts';
import { type KeyIdentity, keyIdentity } from '../base/canonical-key.ts';
import { invariant } from '../base/errors.ts';
import { copyPlain } from '../base/plain-data.ts';
import { Fingerprint } from './fingerprint.ts';
import { type StateEntry, type StateGroup, writeEntry, writeGroupHead, writeRemoval } from './state-codec.ts';
import type { ValueSchema } from './state-schema.ts';
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
  /** Version of the value's form, as it is stored. */
  schema: number;
  /** Batch that wrote it; decides what the next manifest must hold. */
  batchId: number;
  /** Where the timeout index holds the key. */
  filedMs: number;
}

type Pane = Map<KeyIdentity, StoredCell>;
type Overlay = Map<KeyIdentity, StoredCell | undefined>;

// Values of another schema version that a batch rewrites here beside those it has written anyway.
const rewritesPerBatchMax = 1000;

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
 *   P3. A committed cell keeps the value, schema version and hash it is stored with; readers are given the value in the
 *       program's version. So fingerprints are of what is stored, and a migration is nothing but later writes.
 */
export class StatePartition {
  readonly #panes = new Map<number, Pane>();
  readonly #changed = new Map<number, Overlay>();
  readonly #dropped = new Set<number>();
  readonly #timeouts: TimeoutIndex | undefined;
  readonly #schema: ValueSchema;
  /** Keys of pane 0 that were restored in another schema version; those written since leave it when they are met. */
  readonly #foreign = new Set<KeyIdentity>();
  readonly #removedSinceManifest = new Map<number, Map<KeyIdentity, unknown>>();
  readonly #droppedSinceManifest = new Set<number>();
  #fingerprint = new Fingerprint();
  #sealed: { readonly bytes: Uint8Array; readonly fingerprint: Fingerprint } | undefined;

  /** `keepsTimes`: index the cells of pane 0 by their time, for `expiring`. */
  constructor(keepsTimes: boolean, schema: ValueSchema) {
    this.#schema = schema;
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
    const cell = this.#dropped.has(pane) ? undefined : this.#panes.get(pane)?.get(id);
    return cell === undefined ? undefined : this.#current(cell);
  }

  /** True when the running batch has written or removed the key. */
  isChanged(pane: number, id: KeyIdentity): boolean {
    return this.#changed.get(pane)?.has(id) ?? false;
  }

  put(pane: number, id: KeyIdentity, key: unknown, value: unknown, timeMs = 0): void {
    const schema = this.#schema.version;
    this.#overlay(pane).set(id, { key, value, timeMs, hash: 0, schema, batchId: 0, filedMs: 0 });
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
        if (current !== undefined) visit(id, this.#current(current));
      }
    }
    if (overlay !== undefined) {
      for (const [id, cell] of overlay) if (cell !== undefined && !committed?.has(id)) visit(id, cell);
    }
  }

  /**
   * Committed cells of pane 0 last touched strictly before `thresholdMs` and untouched in the running batch, oldest first.
   * In an order that a restart does not change, which the index has not: a batch that is run again gives the same rows.
   */
  expiring(thresholdMs: number): Cell[] {
    const cells: StoredCell[] = [];
    for (const id of new Set(this.#timeouts?.due(thresholdMs))) {
      const cell = this.#panes.get(0)?.get(id);
      if (cell === undefined || cell.timeMs >= thresholdMs || this.isChanged(0, id)) continue;
      cells.push(cell);
    }
    cells.sort((a, b) => a.timeMs - b.timeMs || a.hash - b.hash);
    return cells.map((cell) => this.#current(cell));
  }

  /** Encodes the overlay; after it the batch writes nothing more here. Called again, it gives the same bytes. */
  seal(batchId: number): Uint8Array {
    if (this.#sealed !== undefined) return this.#sealed.bytes;
    this.#rewriteForeign();
    const writer = new ByteWriter();
    const fingerprint = this.#fingerprint.clone();
    for (const pane of this.#dropped) {
      for (const cell of this.#panes.get(pane)?.values() ?? []) fingerprint.subtract(cell.hash, cell.schema);
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
        if (before !== undefined) fingerprint.subtract(before.hash, before.schema);
        if (cell === undefined) continue;
        cell.hash = writeEntry(writer, pane, cell.key, cell.value, cell.timeMs, cell.schema);
        cell.batchId = batchId;
        // P1. The key of a cell that is committed already stays.
        if (before === undefined) cell.key = copyPlain(cell.key);
        cell.value = copyPlain(cell.value);
        fingerprint.add(cell.hash, cell.schema);
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
    if (before !== undefined) this.#fingerprint.subtract(before.hash, before.schema);
    if (entry.removed) {
      if (before !== undefined) this.#removeCommitted(group.pane, id);
      return;
    }
    const { key, value, timeMs, hash, schema } = entry;
    this.#fingerprint.add(hash, schema);
    this.#setCommitted(group.pane, id, { key, value, timeMs, hash, schema, batchId, filedMs: 0 });
    if (group.pane === 0 && schema !== this.#schema.version) this.#foreign.add(id);
  }

  restoreDrop(pane: number): void {
    for (const { hash, schema } of this.#panes.get(pane)?.values() ?? []) this.#fingerprint.subtract(hash, schema);
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
      for (const { key, value, timeMs, schema } of cells) writeEntry(writer, pane, key, value, timeMs, schema);
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

  /** P3. */
  #current(cell: StoredCell): Cell {
    return cell.schema === this.#schema.version ? cell : new ForeignCell(cell, this.#schema);
  }

  /**
   * Writes some of the values of another schema version in the program's, so that a while after a redeploy none is left.
   * Only pane 0: the others leave with their window.
   */
  #rewriteForeign(): void {
    if (this.#foreign.size === 0) return;
    let left = rewritesPerBatchMax;
    for (const id of this.#foreign) {
      const cell = this.#panes.get(0)?.get(id);
      if (cell === undefined || cell.schema === this.#schema.version) {
        this.#foreign.delete(id);
      } else if (!this.isChanged(0, id)) {
        if (left-- === 0) return;
        this.put(0, id, cell.key, this.#current(cell).value, cell.timeMs);
      }
    }
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
      before.schema = cell.schema;
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

/** A cell of another schema version, as readers see it. Many are visited for their keys only. */
class ForeignCell implements Cell {
  readonly #stored: StoredCell;
  readonly #schema: ValueSchema;
  #upgraded: { readonly value: unknown } | undefined;

  constructor(stored: StoredCell, schema: ValueSchema) {
    this.#stored = stored;
    this.#schema = schema;
  }

  get key(): unknown {
    return this.#stored.key;
  }

  get timeMs(): number {
    return this.#stored.timeMs;
  }

  get value(): unknown {
    const { key, value, schema } = this.#stored;
    this.#upgraded ??= { value: this.#schema.upgrade(key, value, schema) };
    return this.#upgraded.value;
  }
}

/** Keys the batch made and removed again leave no trace. */
function countEntries(overlay: Overlay, committed: Pane | undefined): number {
  let count = 0;
  for (const [id, cell] of overlay) if (cell !== undefined || committed?.has(id)) count += 1;
  return count;
}
