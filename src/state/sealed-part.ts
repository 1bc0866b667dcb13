import { ByteWriter } from '../base/byte-writer.ts';
import type { Steps } from '../base/turns.ts';
import { Fingerprint } from './fingerprint.ts';
import { type ExtentHead, writeExtentHead } from './state-codec.ts';

/** New keys that stand together. */
export interface Addition {
  /** Where in the bytes the place of the first of them belongs. */
  readonly at: number;
  /** How many new keys of the partition come before. */
  readonly rank: number;
  readonly count: number;
}

/**
 * What a batch does to one partition, encoded, but for the places of new keys in the order of arrival. Those count through
 * all partitions of a table, so they are given when the parts are put together: what is stored then does not depend on
 * the order in which tasks end, nor on the thread they ran in.
 */
export interface SealedPart {
  readonly partition: number;
  readonly bytes: Uint8Array;
  readonly additions: readonly Addition[];
  /** What the batch adds to the fingerprint of the table and takes from it. */
  readonly change: Fingerprint;
  readonly dropped: readonly number[];
}

/** The parts of a table, put together. */
export interface SealedTable {
  readonly bytes: Uint8Array;
  readonly change: Fingerprint;
  readonly dropped: ReadonlySet<number>;
  /** By partition: place of its first new key. */
  readonly firstOrdinals: ReadonlyMap<number, number>;
  readonly nextOrdinal: number;
}

const noBytes = new Uint8Array(0);
// Copied in one step.
const copyBytes = 4 * 1024 * 1024;

/** `parts`: by ascending partition; those of untouched partitions may be missing. No bytes when nothing changed. */
export function* assemble(parts: readonly SealedPart[], head: ExtentHead, nextOrdinal: number): Steps<SealedTable> {
  const writer = new ByteWriter(
    parts.reduce((sum, { bytes, additions }) => sum + bytes.length + 9 * additions.length, 256),
  );
  writeExtentHead(writer, head);
  const change = new Fingerprint();
  const dropped = new Set<number>();
  const firstOrdinals = new Map<number, number>();
  let isChanged = head.hasMeta || head.startsAnew;
  let ordinal = nextOrdinal;
  for (const part of parts) {
    firstOrdinals.set(part.partition, ordinal);
    let from = 0;
    for (const { at, count } of part.additions) {
      yield* copy(writer, part.bytes, from, at);
      writer.varint(ordinal);
      ordinal += count;
      from = at;
    }
    yield* copy(writer, part.bytes, from, part.bytes.length);
    change.addAll(part.change);
    for (const pane of part.dropped) dropped.add(pane);
    if (part.bytes.length > 0) isChanged = true;
  }
  return { bytes: isChanged ? writer.view() : noBytes, change, dropped, firstOrdinals, nextOrdinal: ordinal };
}

function* copy(writer: ByteWriter, bytes: Uint8Array, from: number, to: number): Steps {
  for (let at = from; at < to; at += copyBytes) {
    writer.raw(bytes, at, Math.min(to, at + copyBytes));
    yield;
  }
}
