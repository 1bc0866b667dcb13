import { type BucketRange, bucketCount, bucketOf } from '../base/buckets.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { type KeyIdentity, keyOfIdentity, writeKey } from '../base/canonical-key.ts';
import { invariant } from '../base/errors.ts';
import { identityAt } from '../base/key-bytes.ts';
import { ArenaPane } from './arena-pane.ts';
import type { BucketSums } from './bucket-sums.ts';
import { CellPane } from './cell-pane.ts';
import { type Attempt, Change } from './change.ts';
import { Fingerprint } from './fingerprint.ts';
import { ForeignCell } from './foreign-cell.ts';
import { ForeignRewrites } from './foreign-rewrites.ts';
import type { Pane, Stamp, StoredCell } from './pane.ts';
import { type ExtentScanner, writeDrop, writeGroupHead } from './state-codec.ts';
import type { ValueSchema } from './state-schema.ts';

/** One key and its value. Cells are handed out to be read; neither must be changed in place or passed on (P1). */
export interface Cell {
  readonly key: unknown;
  readonly value: unknown;
  /** Batch time of the last touch; 0 when the operator keeps no times. */
  readonly timeMs: number;
}

/** What the partitions of a table have in common. */
export interface TableShare {
  readonly schema: ValueSchema;
  /** A pane of more keys is kept as bytes. */
  readonly cellsMax: number;
  readonly sums: BucketSums;
  /** Place of the next new key in the order of arrival. */
  nextOrdinal: number;
}

type Overlay = Map<KeyIdentity, Change | undefined>;

interface Sealed {
  readonly bytes: Uint8Array;
  /** What the batch adds to the fingerprint and takes from it. */
  readonly change: Fingerprint;
  readonly removed: readonly { readonly pane: number; readonly id: KeyIdentity; readonly stamp: Stamp }[];
}

/**
 * The keyed state of one operator in one partition: committed panes, and the overlay of the batch that is running.
 *
 * A pane is a map of its own within the state: pane 0 holds values without time, panes from 1 hold slices of a window
 * and are dropped whole. Small panes are kept decoded, large ones as bytes; nobody outside can tell.
 *
 * Protocol of a batch: `begin` (again for every attempt of the task) -> reads and writes -> `seal` -> then either
 * `merge`, once the record is known to be ours, or `discard`.
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
  readonly #panes = new Map<number, Pane>();
  readonly #changed = new Map<number, Overlay>();
  readonly #dropped = new Set<number>();
  readonly #foreign = new ForeignRewrites();
  /** Gone since the last extent of their bucket, by pane and bucket. */
  readonly #removed = new Map<number, Set<KeyIdentity>>();
  #sealed: Sealed | undefined;
  #attempt: Attempt = { source: undefined };

  constructor(share: TableShare) {
    this.#share = share;
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
    const cell = this.#dropped.has(pane) ? undefined : this.#panes.get(pane)?.get(id);
    return cell === undefined ? undefined : this.#current(cell);
  }

  /** True when the running batch has written or removed the key. */
  isChanged(pane: number, id: KeyIdentity): boolean {
    return this.#changed.get(pane)?.has(id) ?? false;
  }

  put(pane: number, id: KeyIdentity, key: unknown, value: unknown, timeMs = 0): void {
    this.#overlay(pane).set(id, new Change(key, value, timeMs, this.#share.schema.version, this.#attempt));
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
    committed?.forEach((id, cell) => {
      if (overlay === undefined || !overlay.has(id)) {
        visit(id, this.#current(cell));
      } else {
        const changed = overlay.get(id);
        if (changed !== undefined) visit(id, changed.current());
      }
    });
    if (overlay !== undefined) {
      for (const [id, cell] of overlay) if (cell !== undefined && !committed?.has(id)) visit(id, cell.current());
    }
  }

  /** Committed cells of pane 0 last touched strictly before `thresholdMs` and untouched in the running batch, oldest first. */
  expiring(thresholdMs: number): Cell[] {
    const due: { readonly cell: Cell; readonly timeMs: number; readonly ordinal: number }[] = [];
    this.#panes.get(0)?.older(thresholdMs, (id, cell, ordinal) => {
      if (!this.isChanged(0, id)) due.push({ cell: this.#current(cell), timeMs: cell.timeMs, ordinal });
    });
    due.sort((a, b) => a.timeMs - b.timeMs || a.ordinal - b.ordinal);
    return due.map(({ cell }) => cell);
  }

  /** Encodes the overlay; after it the batch writes nothing more here. Called again, it gives the same bytes. */
  seal(): Uint8Array {
    if (this.#sealed !== undefined) return this.#sealed.bytes;
    this.#rewriteForeign();
    const writer = new ByteWriter();
    const change = new Fingerprint();
    const before: Stamp = { hash: 0, schema: 1, size: 0, keyHash: 0 };
    const removed: { readonly pane: number; readonly id: KeyIdentity; readonly stamp: Stamp }[] = [];
    for (const pane of this.#dropped) {
      this.#panes.get(pane)?.stamps(({ hash, schema }) => change.subtract(hash, schema));
      writeDrop(writer, pane);
    }
    for (const [pane, overlay] of this.#changed) {
      const committed = this.#panes.get(pane);
      const gone: KeyIdentity[] = [];
      const changed: Change[] = [];
      const added: Change[] = [];
      for (const [id, cell] of overlay) {
        if (cell !== undefined) {
          const isThere = committed?.stampOf(id, before) ?? false;
          cell.find(id, isThere ? before : undefined);
          (isThere ? changed : added).push(cell);
          if (isThere) change.subtract(before.hash, before.schema);
        } else {
          // Keys the batch made and removed again leave no trace.
          const stamp: Stamp = { hash: 0, schema: 1, size: 0, keyHash: 0 };
          if (!committed?.stampOf(id, stamp)) continue;
          gone.push(id);
          removed.push({ pane, id, stamp });
          change.subtract(stamp.hash, stamp.schema);
        }
      }
      if (gone.length + changed.length + added.length === 0) continue;
      writeGroupHead(writer, pane, 'batch');
      writer.varint(gone.length);
      for (const id of gone) writeKey(writer, keyOfIdentity(id));
      writer.varint(changed.length);
      for (const cell of changed) cell.encode(writer, pane);
      writer.varint(added.length);
      if (added.length > 0) writer.varint(this.#share.nextOrdinal);
      for (const cell of added) {
        cell.ordinal = this.#share.nextOrdinal++;
        cell.encode(writer, pane);
      }
      const isDecoded = !this.#isLarge(pane, overlay.size);
      for (const cells of [changed, added]) {
        for (const cell of cells) {
          change.add(cell.hash, cell.schema);
          if (isDecoded) cell.takeCopies();
          else cell.forgetValue();
        }
      }
    }
    // The writer is nobody else's: no copy is needed.
    const bytes = writer.view();
    this.#attempt.source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#sealed = { bytes, change, removed };
    return bytes;
  }

  /** What the running batch adds to the fingerprint of the table and takes from it. */
  get sealedChange(): Fingerprint | undefined {
    return this.#sealed?.change;
  }

  get droppedPanes(): ReadonlySet<number> {
    return this.#dropped;
  }

  /** The batch is committed: its overlay becomes the base. @returns how many keys changed */
  merge(): number {
    if (this.#sealed === undefined) {
      invariant(this.#changed.size === 0 && this.#dropped.size === 0, 'State was changed but not sealed.');
      return 0;
    }
    let count = 0;
    const { sums } = this.#share;
    const before: Stamp = { hash: 0, schema: 1, size: 0, keyHash: 0 };
    for (const pane of this.#dropped) this.#drop(pane);
    for (const { pane, id, stamp } of this.#sealed.removed) {
      sums.subtract(stamp);
      this.#panes.get(pane)?.remove(id);
      this.#noteRemoved(pane, id, stamp.keyHash);
    }
    for (const [pane, overlay] of this.#changed) {
      const committed = this.#paneFor(pane, overlay.size);
      count += overlay.size;
      for (const [id, cell] of overlay) {
        if (cell === undefined) continue;
        if (cell.isThere) sums.subtract(cell.stampBefore(before));
        sums.add(cell);
        committed.set(id, cell);
      }
    }
    for (const pane of this.#panes.values()) pane.tidy();
    this.discard();
    return count;
  }

  discard(): void {
    this.#changed.clear();
    this.#dropped.clear();
    this.#sealed = undefined;
    this.#attempt = { source: undefined };
  }

  /**
   * Restores the entry the scanner stands at. `isDirty`: it is in no extent yet. `expected`: about how many keys the pane
   * gets, so that one of many is never decoded first.
   * @returns what it adds to the fingerprint is in the sums.
   */
  restore(scanner: ExtentScanner, keyHash: number, isDirty: boolean, expected: number): void {
    const { pane, kind, start, keyEnd, end, timeMs, schema, hash, ordinal, bytes: source } = scanner;
    const { sums } = this.#share;
    const stamp: Stamp = { hash: 0, schema: 1, size: 0, keyHash };
    const target = this.#paneFor(pane, expected);
    if (kind === 'removed') {
      const id = identityAt(source, start, keyEnd);
      if (target.stampOf(id, stamp)) sums.subtract(stamp);
      target.remove(id);
      if (isDirty) this.#noteRemoved(pane, id, keyHash);
      return;
    }
    const isPlaced = kind === 'added';
    sums.add({ keyHash, hash, schema, size: end - start });
    const entry = { source, start, end, keyHash, hash, timeMs, schema, ordinal, isPlaced, isDirty, cell: undefined };
    if (target.restore(entry, keyEnd, stamp)) sums.subtract(stamp);
    if (pane === 0 && schema !== this.#share.schema.version) this.#foreign.met();
  }

  /** The whole state of these buckets follows. */
  restoreBase(range: BucketRange): void {
    for (const pane of this.#panes.values()) pane.clear(range, (stamp) => this.#share.sums.subtract(stamp));
  }

  restoreDrop(pane: number): void {
    this.#drop(pane);
  }

  /** After entries were restored. */
  restored(): void {
    for (const pane of this.#panes.values()) pane.tidy();
  }

  /**
   * Appends what the buckets hold: all of it, or what is in no extent yet. Then it counts as stored.
   * @returns false: there was nothing.
   */
  encode(writer: ByteWriter, range: BucketRange, isDelta: boolean): boolean {
    const before = writer.length;
    const panes = new Set(this.#panes.keys());
    for (const place of this.#removed.keys()) panes.add(Math.floor(place / bucketCount));
    for (const pane of panes) {
      const gone: KeyIdentity[] = [];
      for (let bucket = range.from; bucket < range.to && this.#removed.size > 0; bucket++) {
        const place = pane * bucketCount + bucket;
        if (isDelta) gone.push(...(this.#removed.get(place) ?? []));
        this.#removed.delete(place);
      }
      const entries = this.#panes.get(pane)?.encode({ range, isDelta });
      if (gone.length + (entries?.count ?? 0) === 0) continue;
      writeGroupHead(writer, pane, 'placed');
      writer.varint(gone.length);
      for (const id of gone) writeKey(writer, keyOfIdentity(id));
      writer.varint(0);
      writer.varint(entries?.count ?? 0);
      if (entries !== undefined && entries.count > 0) entries.write(writer);
    }
    return writer.length > before;
  }

  /** Nobody will ask what has gone. */
  forgetRemoved(): void {
    this.#removed.clear();
  }

  /** Keys in pane 0. */
  get keyCount(): number {
    return this.#panes.get(0)?.size ?? 0;
  }

  /** Memory held by panes that are kept as bytes. */
  get heldBytes(): number {
    let sum = 0;
    for (const pane of this.#panes.values()) sum += pane.heldBytes;
    return sum;
  }

  /** P3. */
  #current(cell: StoredCell): Cell {
    return cell.schema === this.#share.schema.version ? cell : new ForeignCell(cell, this.#share.schema);
  }

  /** Only pane 0: the values of the others leave with their window. */
  #rewriteForeign(): void {
    const pane = this.#panes.get(0);
    this.#foreign.next(pane, this.#share.schema.version, (id) => {
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

  #drop(pane: number): void {
    const { sums } = this.#share;
    this.#panes.get(pane)?.stamps((stamp) => sums.subtract(stamp));
    this.#panes.delete(pane);
    for (const place of this.#removed.keys()) {
      if (Math.floor(place / bucketCount) === pane) this.#removed.delete(place);
    }
  }

  #noteRemoved(pane: number, id: KeyIdentity, keyHash: number): void {
    const place = pane * bucketCount + bucketOf(keyHash);
    const removed = this.#removed.get(place);
    if (removed === undefined) this.#removed.set(place, new Set([id]));
    else removed.add(id);
  }

  #isLarge(pane: number, more: number): boolean {
    const committed = this.#panes.get(pane);
    return committed instanceof ArenaPane || (committed?.size ?? 0) + more > this.#share.cellsMax;
  }

  /** The pane, in the form that fits it with `more` keys. */
  #paneFor(pane: number, more: number): Pane {
    const committed = this.#panes.get(pane);
    const isLarge = this.#isLarge(pane, more);
    if (committed !== undefined && (!isLarge || committed instanceof ArenaPane)) return committed;
    const next = isLarge ? new ArenaPane() : new CellPane(pane);
    if (committed instanceof CellPane) for (const [id, entry] of committed.entries()) next.set(id, entry);
    this.#panes.set(pane, next);
    return next;
  }
}
