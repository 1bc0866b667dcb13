import type { ByteWriter } from '../base/byte-writer.ts';
import type { KeyIdentity } from '../base/canonical-key.ts';
import { hashIdentity, readKeyAt, skipKeyAt } from '../base/key-bytes.ts';
import { copyPlain } from '../base/plain-data.ts';
import type { ArenaPane } from './arena-pane.ts';
import type { NewEntry, Pane, Stamp, StoredCell, Summand } from './pane.ts';
import { readBody, writeEntry } from './state-codec.ts';

/** What the changes of a partition in one attempt have in common. */
export interface Attempt {
  /** The sealed bytes of the partition; undefined before. */
  source: Buffer | undefined;
  /** Place of its first new key in the order of arrival; known when the whole table is sealed. */
  firstOrdinal: number;
}

const noBytes = Buffer.alloc(0);

/**
 * A key that the running batch has written. What sealing finds out makes it an entry for the pane. All of a batch are alive
 * at once and are moved by the collector, so they are kept small.
 */
export class Change implements StoredCell, NewEntry, Summand {
  key: unknown;
  value: unknown;
  readonly timeMs: number;
  schema: number;
  readonly #attempt: Attempt;
  start = 0;
  end = 0;
  keyHash = 0;
  hash = 0;
  /** Of a new key: how many of the partition come before it. */
  rank = 0;
  slot = -1;
  epoch = 0;
  cell: Change | undefined;
  /** Of the committed entry it replaces; size 0: there is none. */
  #sizeBefore = 0;
  #hashBefore = 0;
  #schemaBefore = 0;

  constructor(key: unknown, value: unknown, timeMs: number, schema: number, attempt: Attempt) {
    this.#attempt = attempt;
    this.key = key;
    this.value = value;
    this.timeMs = timeMs;
    this.schema = schema;
  }

  get size(): number {
    return this.end - this.start;
  }

  get source(): Buffer {
    return this.#attempt.source ?? noBytes;
  }

  get ordinal(): number {
    return this.#attempt.firstOrdinal + this.rank;
  }

  get isPlaced(): boolean {
    return false;
  }

  get isDirty(): boolean {
    return true;
  }

  /** The committed entry that it replaces is there. */
  get isThere(): boolean {
    return this.#sizeBefore > 0;
  }

  /** `before`: of the committed entry that it replaces. */
  find(id: KeyIdentity, before: Stamp | undefined): void {
    this.keyHash = before?.keyHash ?? hashIdentity(id);
    this.#sizeBefore = before?.size ?? 0;
    this.#hashBefore = before?.hash ?? 0;
    this.#schemaBefore = before?.schema ?? 0;
    this.slot = before?.slot ?? -1;
    this.epoch = before?.epoch ?? 0;
  }

  /** What was found of the entry before holds. */
  isFoundIn(pane: Pane): boolean {
    return this.isThere && this.slot >= 0 && pane.isCurrent(this.keyHash, this.epoch);
  }

  /** Once encoded: takes the bytes back when they are those of the committed entry. The fingerprint is the same either way. */
  withdrawIfSame(pane: ArenaPane, writer: ByteWriter): void {
    if (this.hash !== this.#hashBefore || this.size !== this.#sizeBefore || !this.isFoundIn(pane)) return;
    if (!pane.hasSame(this, writer.roomAt(this.end, 0))) return;
    writer.endAt(this.start);
    this.end = this.start;
  }

  /** It is no change: see `withdrawIfSame`. */
  get isWithdrawn(): boolean {
    return this.end === this.start;
  }

  /** Its bytes were moved to the front. */
  moveBack(bytes: number): void {
    this.start -= bytes;
    this.end -= bytes;
  }

  stampBefore(stamp: Stamp): Stamp {
    stamp.hash = this.#hashBefore;
    stamp.schema = this.#schemaBefore;
    stamp.size = this.#sizeBefore;
    stamp.keyHash = this.keyHash;
    return stamp;
  }

  encode(writer: ByteWriter, pane: number): void {
    this.start = writer.length;
    this.hash = writeEntry(writer, pane, this.key, this.value, this.timeMs, this.schema);
    this.end = writer.length;
  }

  /** For a pane that keeps values decoded: what it is given must be nobody else's. */
  takeCopies(): void {
    // The key of a cell that is committed already stays.
    if (!this.isThere) this.key = copyPlain(this.key);
    this.value = copyPlain(this.value);
    this.cell = this;
  }

  /** For a pane that keeps bytes: they are all that is needed. */
  forgetValue(): void {
    this.value = undefined;
  }

  /** As readers may see it: once sealed, what others do to the value they gave must not be seen. */
  current(): { readonly key: unknown; readonly value: unknown; readonly timeMs: number } {
    const { source } = this;
    if (this.cell !== undefined || source === noBytes) return this;
    const keyEnd = skipKeyAt(source, this.start);
    return { key: readKeyAt(source, this.start, keyEnd), value: readBody(source, keyEnd).value, timeMs: this.timeMs };
  }
}
