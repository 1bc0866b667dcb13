import { type BucketRange, bucketOf } from '../base/buckets.ts';
import { type KeyIdentity, keyIdentity } from '../base/canonical-key.ts';
import { hashIdentity } from '../base/key-bytes.ts';
import { Fingerprint } from '../state/fingerprint.ts';
import { readExtent } from '../state/state-codec.ts';

/** One entry of an operator's state as it is stored. */
export interface StoredEntry {
  /** 0: values without time; from 1: slices of a window. */
  readonly pane: number;
  readonly key: unknown;
  readonly value: unknown;
  /** Batch time of the last touch; 0 when the operator keeps no times. */
  readonly timeMs: number;
}

interface Cell {
  readonly hash: number;
  /** Place in the order of arrival. */
  readonly ordinal: number;
  readonly schema: number;
  /** Undefined: only hashes are kept. */
  readonly entry: StoredEntry | undefined;
}

/**
 * The state of one operator, put together from its extents without its program: no partitions, no overlay, no timeouts.
 * Apart from the codec it shares nothing with the engine's own tables, so that its fingerprint is a second opinion.
 */
export class StoredState {
  readonly #panes = new Map<number, Map<KeyIdentity, Cell>>();
  readonly #keepsValues: boolean;
  #fingerprint = new Fingerprint();
  meta: unknown;

  /** `keepsValues` false: hashes only, for a check that must hold large states. */
  constructor(keepsValues: boolean) {
    this.#keepsValues = keepsValues;
  }

  /** @throws CHECKPOINT_CORRUPT; the state is then of no use any more. */
  apply(extent: Uint8Array): void {
    if (extent.length === 0) return;
    const { startsAnew, base, hasMeta, meta, groups } = readExtent(extent);
    if (startsAnew) {
      this.#panes.clear();
      this.#fingerprint = new Fingerprint();
      this.meta = undefined;
    }
    if (base !== undefined) this.#forget(base);
    if (hasMeta) this.meta = meta;
    for (const { pane, dropped, entries } of groups) {
      if (dropped) this.#drop(pane);
      const cells = this.#panes.get(pane) ?? new Map<KeyIdentity, Cell>();
      for (const { key, removed, value, timeMs, schema, hash, ordinal } of entries) {
        const id = keyIdentity(key);
        const before = cells.get(id);
        if (before !== undefined) this.#fingerprint.subtract(before.hash, before.schema);
        if (removed) {
          cells.delete(id);
          continue;
        }
        this.#fingerprint.add(hash, schema);
        const entry = this.#keepsValues ? { pane, key, value, timeMs } : undefined;
        // A key that got another place in the order goes there; which is the end, unless bases follow one another.
        const place = ordinal ?? before?.ordinal ?? 0;
        if (before !== undefined && place !== before.ordinal) cells.delete(id);
        cells.set(id, { hash, schema, entry, ordinal: place });
      }
      if (cells.size > 0) this.#panes.set(pane, cells);
      else this.#panes.delete(pane);
    }
  }

  /** As the record of a batch names it: entries and digest. */
  get fingerprint(): string {
    return this.#fingerprint.toString();
  }

  get entryCount(): number {
    return this.#fingerprint.count;
  }

  /** Ascending. */
  get panes(): readonly number[] {
    return [...this.#panes.keys()].sort((a, b) => a - b);
  }

  /** By pane, then in the order of arrival; none where only hashes are kept. */
  *entries(): Generator<StoredEntry> {
    for (const pane of this.panes) {
      const cells = [...this.#panes.get(pane)!.values()].sort((a, b) => a.ordinal - b.ordinal);
      for (const { entry } of cells) if (entry !== undefined) yield entry;
    }
  }

  get(pane: number, key: unknown): StoredEntry | undefined {
    return this.#panes.get(pane)?.get(keyIdentity(key))?.entry;
  }

  /** A base of these buckets follows. */
  #forget({ from, to }: BucketRange): void {
    for (const cells of this.#panes.values()) {
      for (const [id, { hash, schema }] of cells) {
        const bucket = bucketOf(hashIdentity(id));
        if (bucket < from || bucket >= to) continue;
        this.#fingerprint.subtract(hash, schema);
        cells.delete(id);
      }
    }
  }

  #drop(pane: number): void {
    for (const { hash, schema } of this.#panes.get(pane)?.values() ?? []) this.#fingerprint.subtract(hash, schema);
    this.#panes.delete(pane);
  }
}
