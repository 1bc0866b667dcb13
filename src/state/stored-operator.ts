import type { BucketRange } from '../base/buckets.ts';
import type { Fingerprint } from './fingerprint.ts';
import { ExtentScanner } from './state-codec.ts';

/** The state of one operator as it lies in the store. */
export interface StoredOperator {
  /** Of the manifest in force, in the order in which they must be applied. */
  readonly extents: readonly StoredExtent[];
  /** Of the records after it, in order. */
  readonly deltas: readonly StoredBytes[];
}

export interface StoredBytes {
  readonly lengthBytes: number;
  /** Fetches them and checks them against their hash. */
  readonly read: () => Promise<Uint8Array>;
}

export interface StoredExtent extends StoredBytes {
  readonly isBase: boolean;
  readonly buckets: BucketRange;
  /** What is known of it unread; undefined: nothing. */
  readonly summary: { readonly fingerprint: string; readonly note: unknown } | undefined;
}

/** What every extent of a table says of the table, in the manifest. */
export interface TableNote {
  readonly meta: unknown;
  readonly nextOrdinal: number;
}

// A piece may be large: more would cost memory, not save time.
const readsAhead = 4;

/** The pieces one after the other, a few of them on their way while one is used. */
export async function* readInOrder(pieces: readonly StoredBytes[]): AsyncGenerator<Uint8Array> {
  const underWay: Promise<Uint8Array>[] = [];
  for (const [index] of pieces.entries()) {
    while (underWay.length < readsAhead && index + underWay.length < pieces.length) {
      const piece = pieces[index + underWay.length]!.read();
      piece.catch(() => {}); // Met in its turn; an earlier failure may end the loop before.
      underWay.push(piece);
    }
    yield await underWay.shift()!;
  }
}

/** Partitions of a table that are not in this thread. */
export interface PartitionsElsewhere {
  /** Applies an extent, after those before it. `sinceManifest`: it is newer than the newest manifest. */
  apply(bytes: Uint8Array, sinceManifest: boolean): Promise<void>;
  /** What all that was applied has made of them. */
  restored(): Promise<RestoredPartitions>;
}

export interface RestoredPartitions {
  readonly fingerprint: Fingerprint;
  /** In pane 0. */
  readonly keyCount: number;
  readonly nextOrdinal: number;
  /** Panes that have gone since the newest manifest. */
  readonly dropped: readonly number[];
}

/** What must be applied: without what an operator of the same uid had left that was given up. The changes are read. */
export async function readChanges({ extents, deltas }: StoredOperator): Promise<{
  readonly extents: readonly StoredExtent[];
  readonly deltas: readonly Uint8Array[];
  readonly bytesRead: number;
}> {
  const all: Uint8Array[] = [];
  for await (const bytes of readInOrder(deltas)) all.push(bytes);
  const anewAt = all.findLastIndex((bytes) => bytes.length > 0 && new ExtentScanner(bytes).startsAnew);
  return {
    extents: anewAt < 0 ? extents : [],
    deltas: all.slice(Math.max(anewAt, 0)).filter((bytes) => bytes.length > 0),
    bytesRead: all.reduce((sum, { length }) => sum + length, 0),
  };
}
