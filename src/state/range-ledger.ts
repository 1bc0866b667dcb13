import { allBuckets, type BucketRange } from '../base/buckets.ts';

/** Buckets whose extents are written and replaced together. */
export interface LedgerRange extends BucketRange {
  /** Undefined: the next manifest needs the whole of it. */
  baseBytes: number | undefined;
  /** Of the deltas on top of the base. */
  deltaBytes: number;
  /** Manifests since the base: each may list a delta that lies over this range, also when nothing in it has changed. */
  manifestCount: number;
}

// A range is encoded in one piece and fetched in one piece: this bounds how long a batch waits for either.
const rangeBytesMax = 512 * 1024;
// A chain of deltas is also bounded by its length: each one is a read at a recovery. A small state is cheap to write anew.
const manifestsMaxOfSmall = 16;
const smallBytesMax = 256 * 1024;
const manifestsMax = 256;
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
 *       Apart from ranges that stand still below the deltas of their neighbours: C2.
 *   C2. However little changes, and wherever, a manifest lists a bounded number of deltas: a range is written anew after 16
 *       manifests when the state is small (256 KiB), else after 256. A delta is listed until all it lies over is replaced.
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

  /**
   * Which ranges the manifest to be made holds whole; of the others it holds changes. To be called once for each.
   * `changedBytes`: of the changes since the last manifest, roughly.
   */
  due(alpha: number, changedBytes: number, bytesOf: (range: BucketRange) => number): ReadonlySet<LedgerRange> {
    const due = new Set<LedgerRange>();
    const outgrown: { readonly range: LedgerRange; readonly bytes: number; readonly ratio: number }[] = [];
    const isSmall = this.#ranges.length === 1 && bytesOf(this.#ranges[0]!) <= smallBytesMax;
    const manifestsLimit = isSmall ? manifestsMaxOfSmall : manifestsMax;
    for (const range of this.#ranges) {
      const bytes = bytesOf(range);
      if (range.baseBytes === undefined) due.add(range);
      else if (range.manifestCount >= manifestsLimit || isOutgrown(range, bytes, alpha))
        outgrown.push({ range, bytes, ratio: range.deltaBytes / (bytes + 1) });
    }
    let left = rewriteBytesMin + 2 * changedBytes;
    for (const { range, bytes } of outgrown.sort((a, b) => b.ratio - a.ratio)) {
      if (left <= 0) break;
      left -= bytes;
      due.add(range);
    }
    for (const range of this.#ranges) if (!due.has(range)) range.manifestCount += 1; // C2
    return due;
  }

  wroteBase(range: LedgerRange, bytes: number): void {
    range.baseBytes = bytes;
    range.deltaBytes = 0;
    range.manifestCount = 0;
  }

  wroteDelta(range: LedgerRange, bytes: number): void {
    range.deltaBytes += bytes;
  }
}

function newRange({ from, to }: BucketRange): LedgerRange {
  return { from, to, baseBytes: undefined, deltaBytes: 0, manifestCount: 0 };
}

function isOutgrown({ deltaBytes, manifestCount }: LedgerRange, bytes: number, alpha: number): boolean {
  // From 1 on there is nothing left to pay a base with: then it is a share of the state, as it says.
  const share = alpha < 0.9 ? alpha / (1 - alpha) : alpha * 10;
  if (alpha === 0) return true;
  if (manifestCount === 0) return false;
  return deltaBytes >= share * bytes;
}

function halved(range: LedgerRange, bytesOf: (range: BucketRange) => number): LedgerRange[] {
  const { from, to, baseBytes, deltaBytes, manifestCount } = range;
  if (to - from === 1 || bytesOf(range) <= rangeBytesMax) return [range];
  const middle = (from + to) >>> 1;
  return [
    { from, to: middle },
    { from: middle, to },
  ].flatMap((half) => {
    const share = baseBytes === undefined ? undefined : baseBytes / 2;
    return halved({ ...half, baseBytes: share, deltaBytes: deltaBytes / 2, manifestCount }, bytesOf);
  });
}
