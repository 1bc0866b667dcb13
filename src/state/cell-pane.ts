import { type BucketRange, bucketOf } from '../base/buckets.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import type { KeyIdentity } from '../base/canonical-key.ts';
import { identityAt, readKeyAt, skipKeyAt } from '../base/key-bytes.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import {
  type Aged,
  byAge,
  type EncodedEntries,
  type EncodePass,
  type NewEntry,
  type Pane,
  type Stamp,
  type StoredCell,
  type Summand,
} from './pane.ts';
import { readBody, writeEntry, writeGap } from './state-codec.ts';

interface Cell extends StoredCell {
  value: unknown;
  timeMs: number;
  schema: number;
  hash: number;
  size: number;
  ordinal: number;
  readonly keyHash: number;
  isDirty: boolean;
}

/**
 * A pane as a Map of decoded values: the fastest to read, and the dearest to keep. For panes of up to some thousand keys.
 */
export class CellPane implements Pane {
  readonly #pane: number;
  #cells = new Map<KeyIdentity, Cell>();
  #isSorted = true;
  #lastOrdinal = -1;
  #changes = 0;

  constructor(pane: number) {
    this.#pane = pane;
  }

  get size(): number {
    return this.#cells.size;
  }

  get heldBytes(): number {
    return 0;
  }

  /** Differs when entries have come or gone. */
  get changes(): number {
    return this.#changes;
  }

  has(id: KeyIdentity): boolean {
    return this.#cells.has(id);
  }

  get(id: KeyIdentity): StoredCell | undefined {
    return this.#cells.get(id);
  }

  stampOf(id: KeyIdentity, stamp: Stamp): boolean {
    const cell = this.#cells.get(id);
    if (cell === undefined) return false;
    copyStamp(cell, stamp);
    return true;
  }

  isCurrent(): boolean {
    return false;
  }

  set(id: KeyIdentity, entry: NewEntry): void {
    this.#changes += 1;
    const { hash, timeMs, schema, ordinal, keyHash, isDirty } = entry;
    const size = entry.end - entry.start;
    const before = this.#cells.get(id);
    if (before !== undefined && (!entry.isPlaced || before.ordinal === ordinal)) {
      // In place: a new object per update scatters the heap and costs long collections.
      before.value = decodedOf(entry);
      before.timeMs = timeMs;
      before.schema = schema;
      before.hash = hash;
      before.size = size;
      before.isDirty ||= isDirty;
      return;
    }
    if (before !== undefined) this.#cells.delete(id);
    const key = entry.cell?.key ?? readKeyAt(entry.source, entry.start, skipKeyAt(entry.source, entry.start));
    if (ordinal < this.#lastOrdinal) this.#isSorted = false;
    else this.#lastOrdinal = ordinal;
    this.#cells.set(id, { key, value: decodedOf(entry), timeMs, schema, hash, size, ordinal, keyHash, isDirty });
  }

  restore(entry: NewEntry, keyEnd: number, stamp: Stamp): boolean {
    const id = identityAt(entry.source, entry.start, keyEnd);
    const isThere = this.stampOf(id, stamp);
    this.set(id, entry);
    return isThere;
  }

  remove(id: KeyIdentity): void {
    this.#changes += 1;
    this.#cells.delete(id);
  }

  clear({ from, to }: BucketRange, visit: (entry: Summand) => void): void {
    this.#changes += 1;
    for (const [id, cell] of this.#cells) {
      const bucket = bucketOf(cell.keyHash);
      if (bucket < from || bucket >= to) continue;
      visit(cell);
      this.#cells.delete(id);
    }
  }

  *forEach(visit: (id: KeyIdentity, cell: StoredCell) => void): Steps {
    let count = 0;
    for (const [id, cell] of this.#sorted()) {
      visit(id, cell);
      if (++count % keysPerStep === 0) yield;
    }
  }

  *older(thresholdMs: number): Steps<Aged[][]> {
    const run: Aged[] = [];
    let count = 0;
    for (const [id, { timeMs, ordinal }] of this.#cells) {
      if (timeMs < thresholdMs) run.push({ id, timeMs, ordinal });
      if (++count % keysPerStep === 0) yield;
    }
    return [run.sort(byAge)];
  }

  foreign(bucket: number, version: number, max: number): KeyIdentity[] {
    const ids: KeyIdentity[] = [];
    for (const [id, cell] of this.#cells) {
      if (cell.schema === version || bucketOf(cell.keyHash) !== bucket) continue;
      ids.push(id);
      if (ids.length === max) break;
    }
    return ids;
  }

  *stamps(visit: (entry: Summand) => void): Steps {
    let count = 0;
    for (const cell of this.#cells.values()) {
      visit(cell);
      if (++count % keysPerStep === 0) yield;
    }
  }

  /** Every entry, encoded: to go on in another form. */
  *entries(): Generator<[KeyIdentity, NewEntry]> {
    const writer = new ByteWriter();
    for (const [id, cell] of this.#sorted()) {
      const { hash, timeMs, schema, ordinal, keyHash, isDirty } = cell;
      writer.reset();
      writeEntry(writer, this.#pane, cell.key, cell.value, timeMs, schema);
      const bytes = writer.view();
      const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      yield [
        id,
        {
          source,
          start: 0,
          end: source.length,
          keyHash,
          hash,
          timeMs,
          schema,
          ordinal,
          isPlaced: true,
          slot: -1,
          epoch: 0,
          isDirty,
          cell,
        },
      ];
    }
  }

  encode({ range, isDelta }: EncodePass): EncodedEntries {
    const cells: Cell[] = [];
    for (const cell of this.#sorted().values()) {
      const bucket = bucketOf(cell.keyHash);
      if (bucket < range.from || bucket >= range.to || (isDelta && !cell.isDirty)) continue;
      cells.push(cell);
      cell.isDirty = false;
    }
    return { count: cells.length, write: (writer) => this.#write(writer, cells) };
  }

  *#write(writer: ByteWriter, cells: readonly Cell[]): Steps {
    let last = cells[0]?.ordinal ?? 0;
    let count = 0;
    writer.varint(last);
    for (const { key, value, timeMs, schema, ordinal } of cells) {
      writeGap(writer, ordinal - last);
      last = ordinal;
      writeEntry(writer, this.#pane, key, value, timeMs, schema);
      if (++count % keysPerStep === 0) yield;
    }
  }

  #sorted(): Map<KeyIdentity, Cell> {
    if (!this.#isSorted) {
      this.#cells = new Map([...this.#cells].sort((a, b) => a[1].ordinal - b[1].ordinal));
      this.#isSorted = true;
    }
    return this.#cells;
  }
}

function decodedOf({ cell, source, start }: NewEntry): unknown {
  return cell === undefined ? readBody(source, skipKeyAt(source, start)).value : cell.value;
}

function copyStamp(from: Cell, to: Stamp): void {
  to.hash = from.hash;
  to.schema = from.schema;
  to.size = from.size;
  to.keyHash = from.keyHash;
  to.slot = -1;
}
