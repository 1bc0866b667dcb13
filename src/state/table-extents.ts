import type { BucketRange } from '../base/buckets.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import type { Steps } from '../base/turns.ts';
import type { BucketSums } from './bucket-sums.ts';
import type { LedgerRange, RangeLedger } from './range-ledger.ts';
import { writeDrop, writeExtentHead } from './state-codec.ts';
import type { StatePartition } from './state-partition.ts';
import type { TableNote } from './stored-operator.ts';

/** Some buckets of the committed state, whole or changed, for a manifest. */
export interface TableExtent {
  readonly kind: 'base' | 'delta';
  readonly buckets: BucketRange;
  readonly bytes: Uint8Array;
  readonly summary: { readonly fingerprint: string; readonly note: TableNote };
}

/** What extents are made of: the committed state of a table, which no batch may change meanwhile. */
export interface ExtentSource {
  readonly partitions: readonly StatePartition[];
  readonly sums: BucketSums;
  readonly ledger: RangeLedger;
  readonly note: TableNote;
  /** Panes that have gone since the last manifest. */
  readonly dropped: readonly number[];
  /** Of the changes since the last manifest, roughly. */
  readonly bytesSinceManifest: number;
  /** False: the buckets are still in the store only, and as they were. */
  readonly isLoaded: (range: BucketRange) => boolean;
}

/** Changes of neighbouring buckets on their way into one extent. */
interface OpenDelta {
  readonly writer: ByteWriter;
  readonly from: number;
  to: number;
  isChanged: boolean;
}

// Changes of neighbouring buckets share an extent up to here.
const deltaBytesMin = 64 * 1024;

/**
 * What the next manifest must hold, at least one extent: bases of some buckets, changes of the others. Each counts as
 * stored when it is given. Undefined stands between two steps of work. `alpha`: see RangeLedger.
 */
export function* tableExtents(source: ExtentSource, alpha: number): Generator<TableExtent | undefined> {
  const { ledger, dropped } = source;
  const bytesOf = (range: BucketRange): number => source.sums.bytesOf(range);
  ledger.split(bytesOf);
  const due = ledger.due(alpha, source.bytesSinceManifest, bytesOf);
  let isEmpty = true;
  let open: OpenDelta | undefined;
  let unchanged: OpenDelta | undefined;
  const close = (): TableExtent[] => {
    const closed = open;
    open = undefined;
    if (closed === undefined) return [];
    if (!closed.isChanged) {
      unchanged = closed;
      return [];
    }
    isEmpty = false;
    return [extentOf(source, 'delta', closed, closed.writer)];
  };
  for (const range of ledger.ranges) {
    const { from, to } = range;
    const isLoaded = source.isLoaded(range);
    if (!isLoaded || due.has(range)) yield* close();
    if (!isLoaded) continue;
    if (due.has(range)) {
      isEmpty = false;
      const writer = newWriter(source, range);
      for (const { committed } of source.partitions) yield* committed.encode(writer, range, false);
      ledger.wroteBase(range, writer.length);
      yield extentOf(source, 'base', range, writer);
      continue;
    }
    if (open === undefined) {
      open = { writer: newWriter(source, undefined), from, to, isChanged: dropped.length > 0 };
      for (const pane of dropped) writeDrop(open.writer, pane);
    }
    open.to = to;
    if (yield* encodeChanges(source, open.writer, range)) open.isChanged = true;
    if (open.writer.length >= deltaBytesMin) yield* close();
    yield;
  }
  yield* close();
  if (isEmpty && unchanged !== undefined) yield extentOf(source, 'delta', unchanged, unchanged.writer);
}

function* encodeChanges({ partitions, ledger }: ExtentSource, writer: ByteWriter, range: LedgerRange): Steps<boolean> {
  const before = writer.length;
  for (const { committed } of partitions) yield* committed.encode(writer, range, true);
  if (writer.length === before) return false;
  ledger.wroteDelta(range, writer.length - before);
  return true;
}

function newWriter({ note: { meta } }: ExtentSource, base: BucketRange | undefined): ByteWriter {
  const writer = new ByteWriter();
  // Also when it is undefined: it may have been something.
  writeExtentHead(writer, { startsAnew: false, base, hasMeta: true, meta });
  return writer;
}

function extentOf(
  { sums, note }: ExtentSource,
  kind: 'base' | 'delta',
  { from, to }: BucketRange,
  writer: ByteWriter,
): TableExtent {
  const fingerprint = sums.fingerprintOf({ from, to }).toString();
  return { kind, buckets: { from, to }, bytes: writer.finish(), summary: { fingerprint, note } };
}
