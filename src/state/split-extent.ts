import { type BucketRange, bucketOf } from '../base/buckets.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { hashKeyAt } from '../base/key-bytes.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import { ExtentScanner, writeDrop, writeExtentHead, writeGap, writeGroupHead } from './state-codec.ts';

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly ordinal: number;
}

/**
 * Cuts an extent by buckets, entry by entry as they lie: one extent per range, in their order; undefined where it holds
 * nothing of a range. Whole panes are dropped in all of them.
 * @throws CHECKPOINT_CORRUPT
 */
export function* splitExtent(bytes: Uint8Array, ranges: readonly BucketRange[]): Steps<(Uint8Array | undefined)[]> {
  const writers = ranges.map(() => {
    const writer = new ByteWriter();
    writeExtentHead(writer, { startsAnew: false, base: undefined, hasMeta: false, meta: undefined });
    return writer;
  });
  const headBytes = writers[0]?.length ?? 0;
  const rangeOf = new Int16Array(256).fill(-1);
  for (const [index, { from, to }] of ranges.entries()) rangeOf.fill(index, from, to);
  const scanner = new ExtentScanner(bytes);
  let count = 0;
  while (scanner.nextGroup()) {
    const { pane } = scanner;
    if (scanner.dropped) for (const writer of writers) writeDrop(writer, pane);
    const parts = ranges.map(() => ({ removed: [] as Piece[], changed: [] as Piece[], added: [] as Piece[] }));
    while (scanner.nextEntry()) {
      const { kind, start, keyEnd, end, ordinal } = scanner;
      const index = rangeOf[bucketOf(hashKeyAt(scanner.bytes, start, keyEnd))]!;
      if (index >= 0) parts[index]![kind].push({ start, end, ordinal });
      if (++count % keysPerStep === 0) yield;
    }
    for (const [index, { removed, changed, added }] of parts.entries()) {
      if (removed.length + changed.length + added.length === 0) continue;
      const writer = writers[index]!;
      writeGroupHead(writer, pane, 'placed');
      for (const pieces of [removed, changed]) {
        writer.varint(pieces.length);
        for (const { start, end } of pieces) writer.raw(scanner.bytes, start, end);
      }
      writer.varint(added.length);
      let last = added[0]?.ordinal ?? 0;
      if (added.length > 0) writer.varint(last);
      for (const { start, end, ordinal } of added) {
        writeGap(writer, ordinal - last);
        last = ordinal;
        writer.raw(scanner.bytes, start, end);
      }
      yield;
    }
  }
  return writers.map((writer) => (writer.length > headBytes ? writer.finish() : undefined));
}
