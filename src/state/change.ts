import type { ByteWriter } from '../base/byte-writer.ts';
import type { KeyIdentity } from '../base/canonical-key.ts';
import { hashIdentity, readKeyAt, skipKeyAt } from '../base/key-bytes.ts';
import { copyPlain } from '../base/plain-data.ts';
import type { NewEntry, Stamp, StoredCell } from './pane.ts';
import { readBody, writeEntry } from './state-codec.ts';

const noBytes = Buffer.alloc(0);

/** A key that the running batch has written. What sealing finds out makes it an entry for the pane. */
export class Change implements StoredCell, NewEntry, Stamp {
  key: unknown;
  value: unknown;
  readonly timeMs: number;
  schema: number;
  /** The sealed bytes of the partition; empty before. */
  source: Buffer = noBytes;
  start = 0;
  end = 0;
  keyHash = 0;
  hash = 0;
  ordinal = 0;
  readonly isPlaced = false;
  readonly isDirty = true;
  cell: Change | undefined;
  /** The committed entry it replaces, if it is there. */
  readonly before: Stamp = { hash: 0, schema: 1, size: 0, keyHash: 0 };
  isThere = false;

  constructor(key: unknown, value: unknown, timeMs: number, schema: number) {
    this.key = key;
    this.value = value;
    this.timeMs = timeMs;
    this.schema = schema;
  }

  get size(): number {
    return this.end - this.start;
  }

  find(id: KeyIdentity, isThere: boolean): void {
    this.isThere = isThere;
    this.keyHash = isThere ? this.before.keyHash : hashIdentity(id);
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

  /** As readers may see it: once sealed, what others do to the value they gave must not be seen. */
  current(): { readonly key: unknown; readonly value: unknown; readonly timeMs: number } {
    if (this.cell !== undefined || this.source === noBytes) return this;
    const keyEnd = skipKeyAt(this.source, this.start);
    const key = readKeyAt(this.source, this.start, keyEnd);
    return { key, value: readBody(this.source, keyEnd).value, timeMs: this.timeMs };
  }
}
