import type { BucketRange } from '../base/buckets.ts';
import type { ByteWriter } from '../base/byte-writer.ts';
import { type KeyIdentity, keyOfIdentity, writeKey } from '../base/canonical-key.ts';
import { identityAt } from '../base/key-bytes.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import { ArenaPane } from './arena-pane.ts';
import type { BucketSums } from './bucket-sums.ts';
import { CellPane } from './cell-pane.ts';
import type { Change } from './change.ts';
import { type NewEntry, newStamp, type Pane, type Stamp, type Summand } from './pane.ts';
import { RemovedKeys } from './removed-keys.ts';
import { type ExtentScanner, writeGroupHead } from './state-codec.ts';
import type { ValueSchema } from './state-schema.ts';

/** What the partitions of a table have in common. */
export interface TableShare {
  readonly schema: ValueSchema;
  /** A pane of more keys is kept as bytes. */
  readonly cellsMax: number;
  readonly sums: BucketSums;
  /** Place of the next new key in the order of arrival. */
  nextOrdinal: number;
}

/**
 * The committed entries of one partition, pane by pane. Small panes are kept decoded, large ones as bytes.
 *
 * In: merged changes, and entries that are restored. Out: panes to read, and what an extent must hold of some buckets.
 * Keeps the sums of the table in step with what it holds.
 *
 * A pane may change its form whenever entries come: whoever lets others have their turn asks for it again.
 */
export class CommittedPanes {
  readonly #share: TableShare;
  readonly #panes = new Map<number, Pane>();
  readonly #removed = new RemovedKeys();
  readonly #before = newStamp();

  constructor(share: TableShare) {
    this.#share = share;
  }

  get(pane: number): Pane | undefined {
    return this.#panes.get(pane);
  }

  numbers(): Iterable<number> {
    return this.#panes.keys();
  }

  /** With `more` keys it is kept as bytes. */
  isLarge(pane: number, more: number): boolean {
    const committed = this.#panes.get(pane);
    return committed instanceof ArenaPane || (committed?.size ?? 0) + more > this.#share.cellsMax;
  }

  /** The pane, in the form that fits it with `more` keys; in entries of about `entryBytes`, where that is known. */
  paneFor(pane: number, more: number, entryBytes: number = 0): Pane {
    const committed = this.#panes.get(pane);
    const isLarge = this.isLarge(pane, more);
    if (committed !== undefined && (!isLarge || committed instanceof ArenaPane)) return committed;
    const next = isLarge ? new ArenaPane(entryBytes === 0 ? 0 : more, entryBytes) : new CellPane(pane);
    if (committed instanceof CellPane) for (const [id, entry] of committed.entries()) next.set(id, entry);
    this.#panes.set(pane, next);
    return next;
  }

  /** `paneFor` in steps; when entries come in between, it is left to that. */
  *grow(pane: number, more: number): Steps {
    const committed = this.#panes.get(pane);
    if (!(committed instanceof CellPane) || !this.isLarge(pane, more)) return;
    const { changes } = committed;
    const next = new ArenaPane();
    let count = 0;
    for (const [id, entry] of committed.entries()) {
      next.set(id, entry);
      if (++count % keysPerStep !== 0) continue;
      yield;
      if (committed.changes !== changes || this.#panes.get(pane) !== committed) return;
    }
    this.#panes.set(pane, next);
  }

  /** `grow` before entries are restored: it will have about `expected` keys. */
  growTo(pane: number, expected: number): Steps {
    return this.grow(pane, this.#missing(pane, expected));
  }

  /** `target` is the pane, from {@link paneFor}. */
  merge(target: Pane, id: KeyIdentity, change: Change): void {
    const { sums } = this.#share;
    if (change.isThere) sums.subtract(change.stampBefore(this.#before));
    sums.add(change);
    target.set(id, change);
  }

  /** An entry with this stamp. */
  remove(pane: number, id: KeyIdentity, stamp: Summand): void {
    this.#share.sums.subtract(stamp);
    this.#panes.get(pane)?.remove(id);
    this.#removed.add(pane, id, stamp.keyHash);
  }

  *drop(pane: number): Steps {
    const { sums } = this.#share;
    const dropped = this.#panes.get(pane);
    this.#panes.delete(pane);
    this.#removed.forgetPane(pane);
    if (dropped !== undefined) yield* dropped.stamps((stamp) => sums.subtract(stamp));
  }

  /** Gives back memory after many changes. */
  *tidy(): Steps {
    for (const pane of [...this.#panes.values()]) if (pane instanceof ArenaPane) yield* pane.tidy();
  }

  /**
   * Restores the entry the scanner stands at. `isDirty`: it is in no extent yet. `expected`: about how many keys the pane
   * gets, so that one of many is never decoded first.
   */
  restore(scanner: ExtentScanner, keyHash: number, isDirty: boolean, expected: number): void {
    const { pane, kind, start, keyEnd, end, timeMs, schema, hash, ordinal, bytes: source } = scanner;
    const { sums } = this.#share;
    const stamp: Stamp = { hash: 0, schema: 1, size: 0, keyHash, slot: -1, epoch: 0 };
    const there = this.#panes.get(pane);
    const target = there instanceof ArenaPane ? there : this.paneFor(pane, this.#missing(pane, expected), end - start);
    if (kind === 'removed') {
      const id = identityAt(source, start, keyEnd);
      if (target.stampOf(id, stamp)) sums.subtract(stamp);
      target.remove(id);
      if (isDirty) this.#removed.add(pane, id, keyHash);
      return;
    }
    const isPlaced = kind === 'added';
    sums.add({ keyHash, hash, schema, size: end - start });
    // No spread: this is done for every entry of a restore.
    const entry: NewEntry = {
      source,
      start,
      end,
      keyHash,
      hash,
      timeMs,
      schema,
      ordinal,
      isPlaced,
      isDirty,
      slot: -1,
      epoch: 0,
      cell: undefined,
    };
    if (target.restore(entry, keyEnd, stamp)) sums.subtract(stamp);
  }

  #missing(pane: number, expected: number): number {
    return Math.max(1, expected - (this.#panes.get(pane)?.size ?? 0));
  }

  /** The whole state of these buckets follows. */
  restoreBase(range: BucketRange): void {
    for (const pane of this.#panes.values()) pane.clear(range, (stamp) => this.#share.sums.subtract(stamp));
  }

  /**
   * Appends what the buckets hold: all of it, or what is in no extent yet. Then it counts as stored.
   * @returns false: there was nothing.
   */
  *encode(writer: ByteWriter, range: BucketRange, isDelta: boolean): Steps<boolean> {
    const before = writer.length;
    const panes = this.#removed.panes();
    for (const pane of this.#panes.keys()) panes.add(pane);
    for (const pane of panes) {
      const removed = this.#removed.take(pane, range);
      const gone = isDelta ? removed : [];
      const entries = this.#panes.get(pane)?.encode({ range, isDelta });
      if (gone.length + (entries?.count ?? 0) === 0) continue;
      writeGroupHead(writer, pane, 'placed');
      writer.varint(gone.length);
      for (const id of gone) writeKey(writer, keyOfIdentity(id));
      writer.varint(0);
      writer.varint(entries?.count ?? 0);
      if (entries !== undefined && entries.count > 0) yield* entries.write(writer);
      yield;
    }
    return writer.length > before;
  }

  /** Nobody will ask what has gone. */
  forgetRemoved(): void {
    this.#removed.forgetAll();
  }

  /** Memory held by panes that are kept as bytes. */
  get heldBytes(): number {
    let sum = 0;
    for (const pane of this.#panes.values()) sum += pane.heldBytes;
    return sum;
  }
}
