import { allBuckets, type BucketRange } from '../base/buckets.ts';

/** Buckets whose extents are written and replaced together. */
export interface LedgerRange extends BucketRange {
  /** Undefined: the next manifest needs the whole of it. */
  baseBytes: number | undefined;
  /** Of the deltas on top of the base. */
  deltaBytes: number;
  deltaCount: number;
}

// A range is encoded in one piece and fetched in one piece: this bounds how long a batch waits for either.
const rangeBytesMax = 512 * 1024;
// A chain of deltas is also bounded by its length: each one is a read at a recovery. A small base is cheap to write anew.
const deltasMaxOfSmall = 16;
const smallBytesMax = 256 * 1024;
const deltasMax = 256;
// Bases written anew at one manifest, beside twice what has changed: the others wait for the next.
const rewriteBytesMin = 16 * 1024 * 1024;

/**
 * Decides which buckets of a state the next manifest holds whole, and which as changes only.
 *
 * In: what the extents in force hold, and how large the state is. A range begins as all buckets and is halved while it is
 * too large to be encoded in one piece.
 *
 * Invariant
 *   C1. With 0 < alpha < 1, all bytes written (changes in the log, deltas, bases) are at most 1 + 1/alpha times those of
 *       the changes. A delta costs at most what its changes cost in the log: 1. So a base may cost 1/alpha - 1 per byte of
 *       the deltas that it replaces, and is written when they have reached alpha / (1 - alpha) of what it will hold.
 *       Apart from small ranges with many deltas (256 KiB, every 16th manifest).
 */
export class RangeLedger {
  #ranges: LedgerRange[] = [newRange(allBuckets)];

  get ranges(): readonly LedgerRange[] {
    return this.#ranges;
  }

  /** As the extents in force have it. */
  restore(ranges: readonly LedgerRange[]): void {
    this.#ranges = ranges.map((range) => ({ ...range }));
  }

  /** Halves what has become too large. */
  split(bytesOf: (range: BucketRange) => number): void {
    this.#ranges = this.#ranges.flatMap((range) => halved(range, bytesOf));
  }

  /** Which ranges are to be written whole. `changedBytes`: of the changes since the last manifest, roughly. */
  due(alpha: number, changedBytes: number, bytesOf: (range: BucketRange) => number): ReadonlySet<LedgerRange> {
    const due = new Set<LedgerRange>();
    const outgrown: { readonly range: LedgerRange; readonly bytes: number; readonly ratio: number }[] = [];
    for (const range of this.#ranges) {
      const bytes = bytesOf(range);
      if (range.baseBytes === undefined) due.add(range);
      else if (isOutgrown(range, bytes, alpha)) outgrown.push({ range, bytes, ratio: range.deltaBytes / (bytes + 1) });
    }
    let left = rewriteBytesMin + 2 * changedBytes;
    for (const { range, bytes } of outgrown.sort((a, b) => b.ratio - a.ratio)) {
      if (left <= 0) break;
      left -= bytes;
      due.add(range);
    }
    return due;
  }

  wroteBase(range: LedgerRange, bytes: number): void {
    range.baseBytes = bytes;
    range.deltaBytes = 0;
    range.deltaCount = 0;
  }

  wroteDelta(range: LedgerRange, bytes: number): void {
    range.deltaBytes += bytes;
    range.deltaCount += 1;
  }
}

function newRange({ from, to }: BucketRange): LedgerRange {
  return { from, to, baseBytes: undefined, deltaBytes: 0, deltaCount: 0 };
}

function isOutgrown({ deltaBytes, deltaCount }: LedgerRange, bytes: number, alpha: number): boolean {
  // From 1 on there is nothing left to pay a base with: then it is a share of the state, as it says.
  const share = alpha < 0.9 ? alpha / (1 - alpha) : alpha * 10;
  if (alpha === 0) return true;
  if (deltaCount === 0) return false;
  if (deltaCount >= (bytes <= smallBytesMax ? deltasMaxOfSmall : deltasMax)) return true;
  return deltaBytes >= share * bytes;
}

function halved(range: LedgerRange, bytesOf: (range: BucketRange) => number): LedgerRange[] {
  const { from, to, baseBytes, deltaBytes, deltaCount } = range;
  if (to - from === 1 || bytesOf(range) <= rangeBytesMax) return [range];
  const middle = (from + to) >>> 1;
  return [
    { from, to: middle },
    { from: middle, to },
  ].flatMap((half) => {
    const share = baseBytes === undefined ? undefined : baseBytes / 2;
    return halved({ ...half, baseBytes: share, deltaBytes: deltaBytes / 2, deltaCount }, bytesOf);
  });
}
