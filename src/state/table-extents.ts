import type { BucketRange } from '../base/buckets.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import type { Steps } from '../base/turns.ts';
import type { BucketSums } from './bucket-sums.ts';
import type { LedgerRange, RangeLedger } from './range-ledger.ts';
import { writeDrop, writeExtentHead } from './state-codec.ts';
import type { TableNote } from './stored-operator.ts';

/** Some buckets of the committed state, whole or changed, for a manifest. */
export interface TableExtent {
  readonly kind: 'base' | 'delta';
  readonly buckets: BucketRange;
  readonly bytes: Uint8Array;
  readonly summary: { readonly fingerprint: string; readonly note: TableNote };
}

/** The partitions of a table, wherever they are: its committed state, which no batch may change meanwhile. */
export interface CommittedState {
  readonly sums: BucketSums;
  /** Appends what the partitions hold of the buckets, one after the other: all of it, or what is in no extent yet. */
  readonly encode: (writer: ByteWriter, range: BucketRange, isDelta: boolean) => Steps;
}

/** What extents are made of. */
export interface ExtentSource extends CommittedState {
  readonly ledger: RangeLedger;
  readonly note: TableNote;
  /** Panes that have gone since the last manifest. */
  readonly dropped: readonly number[];
}

/** What the next manifest holds of a table. */
export interface ExtentPlan {
  /** Buckets that are not in the store only, with the form they are to be encoded in. */
  readonly ranges: readonly { readonly range: LedgerRange; readonly isDelta: boolean }[];
  /** Of the ledger, as it was. */
  readonly before: readonly LedgerRange[];
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
 * Decides what the next manifest holds; once for each. `alpha`: see RangeLedger. `changedBytes`: since the last manifest,
 * roughly. `isLoaded`: false, when the buckets are still in the store only, and as they were.
 */
export function planExtents(
  ledger: RangeLedger,
  { alpha, changedBytes, sums }: { readonly alpha: number; readonly changedBytes: number; readonly sums: BucketSums },
  isLoaded: (range: BucketRange) => boolean,
): ExtentPlan {
  const bytesOf = (range: BucketRange): number => sums.bytesOf(range);
  const before = ledger.ranges.map((range) => ({ ...range }));
  ledger.split(bytesOf);
  const due = ledger.due(alpha, changedBytes, bytesOf);
  const loaded = ledger.ranges.filter((range) => isLoaded(range));
  return { before, ranges: loaded.map((range) => ({ range, isDelta: !due.has(range) })) };
}

/**
 * What the next manifest must hold, at least one extent: bases of some buckets, changes of the others. Each counts as
 * stored when it is given. Undefined stands between two steps of work.
 */
export function* tableExtents(source: ExtentSource, { ranges }: ExtentPlan): Generator<TableExtent | undefined> {
  const { ledger, dropped } = source;
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
  for (const { range, isDelta } of ranges) {
    const { from, to } = range;
    if (open !== undefined && (!isDelta || open.to !== from)) yield* close();
    if (!isDelta) {
      isEmpty = false;
      const writer = newWriter(source, range);
      yield* source.encode(writer, range, false);
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

function* encodeChanges({ encode, ledger }: ExtentSource, writer: ByteWriter, range: LedgerRange): Steps<boolean> {
  const before = writer.length;
  yield* encode(writer, range, true);
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
