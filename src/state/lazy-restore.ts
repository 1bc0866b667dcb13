import { allBuckets, type BucketRange, bucketCount } from '../base/buckets.ts';
import { TidemarkError } from '../base/errors.ts';
import type { Steps, Turns } from '../base/turns.ts';
import type { BucketSums } from './bucket-sums.ts';
import { Fingerprint } from './fingerprint.ts';
import type { LedgerRange } from './range-ledger.ts';
import { splitExtent } from './split-extent.ts';
import type { StoredExtent } from './stored-operator.ts';

const readsMax = 4;

interface Atom {
  readonly range: BucketRange;
  /** From the last base on. */
  readonly chain: readonly SharedExtent[];
  /** Of the records after the manifest. */
  readonly deltas: readonly Uint8Array[];
  loading: Promise<void> | undefined;
  isLoaded: boolean;
}

/** What the restore does to the table. */
interface RestoreTarget {
  readonly uid: string;
  readonly sums: BucketSums;
  readonly turns: Turns;
  /** `isDirty`: in no extent yet. */
  apply(bytes: Uint8Array, isDirty: boolean, range: BucketRange): Steps;
}

/**
 * Brings a large state back bucket by bucket while batches run: those that a batch needs first, the others behind it.
 *
 * Buckets are loaded together that all extents hold together. An extent that holds more of them (it was written when the
 * state was smaller) is fetched once and cut.
 *
 * Invariants
 *   Z1. A range is applied as a whole, and nothing of it is read or written before.
 *   Z2. What is loaded has the fingerprint it was stored with, and all of it together that of the last batch.
 */
export class LazyRestore {
  readonly #target: RestoreTarget;
  readonly #expected: string;
  readonly #atoms: readonly Atom[];
  readonly #atomOf = new Int16Array(bucketCount);
  readonly #restored = new Fingerprint();
  #left: number;

  /**
   * `deltas`: of the records after the manifest, read and cut by {@link atomsOf} the extents. `expected`: the fingerprint
   * after the last of them.
   */
  constructor(
    target: RestoreTarget,
    extents: readonly StoredExtent[],
    deltas: readonly (readonly (Uint8Array | undefined)[])[],
    expected: string,
  ) {
    this.#target = target;
    this.#expected = expected;
    const ranges = atomsOf(extents);
    for (const [index, { from, to }] of ranges.entries()) this.#atomOf.fill(index, from, to);
    const shared = extents.map((extent) => new SharedExtent(extent, ranges, target.turns));
    this.#atoms = ranges.map((range, index) => {
      const covering = shared.filter(({ extent: { buckets } }) => buckets.from <= range.from && range.to <= buckets.to);
      const base = covering.findLastIndex(({ extent }) => extent.isBase);
      const chain = covering.slice(Math.max(base, 0));
      for (const extent of chain) extent.readers += 1;
      return {
        range,
        chain,
        deltas: deltas.flatMap((pieces) => pieces[index] ?? []),
        loading: undefined,
        isLoaded: false,
      };
    });
    this.#left = this.#atoms.length;
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  isLoaded(range: BucketRange): boolean {
    return this.#atoms[this.#atomOf[range.from]!]!.isLoaded;
  }

  /** What the extents hold, for the ledger. */
  ledger(): LedgerRange[] {
    return this.#atoms.map(({ range: { from, to }, chain }) => {
      const bytes = chain.map(({ extent: { lengthBytes, buckets } }) => {
        return (lengthBytes * (to - from)) / (buckets.to - buckets.from);
      });
      const [baseBytes, ...deltaBytes] = bytes;
      return {
        from,
        to,
        baseBytes,
        deltaBytes: deltaBytes.reduce((sum, part) => sum + part, 0),
        manifestCount: deltaBytes.length,
      };
    });
  }

  /** Resolves when these buckets are loaded. @throws STATE_MISMATCH, CHECKPOINT_CORRUPT, and what the store throws */
  async load(buckets: Iterable<number>): Promise<void> {
    const atoms = new Set<Atom>();
    for (const bucket of buckets) {
      const atom = this.#atoms[this.#atomOf[bucket]!]!;
      if (!atom.isLoaded) atoms.add(atom);
    }
    await this.#loadEach([...atoms]);
  }

  loadAll(): Promise<void> {
    return this.#loadEach(this.#atoms.filter((atom) => !atom.isLoaded));
  }

  /** A manifest takes over what the records hold, so those buckets must be there; and some, to say that nothing changed. */
  loadChanged(): Promise<void> {
    return this.#loadEach(this.#atoms.filter(({ isLoaded, deltas }, i) => !isLoaded && (i === 0 || deltas.length > 0)));
  }

  async #loadEach(atoms: readonly Atom[]): Promise<void> {
    let next = 0;
    let hasFailed = false;
    const lane = async (): Promise<void> => {
      while (next < atoms.length && !hasFailed) {
        const atom = atoms[next++]!;
        atom.loading ??= this.#load(atom);
        try {
          await atom.loading;
        } catch (error) {
          atom.loading = undefined; // Everything is read before anything is applied, so it can be tried again.
          hasFailed = true;
          throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(readsMax, atoms.length) }, lane));
  }

  async #load(atom: Atom): Promise<void> {
    const { range, chain, deltas } = atom;
    const { sums, turns } = this.#target;
    const pieces = await Promise.all(chain.map((extent) => extent.take(range)));
    // Extents of just these buckets say what they must give.
    for (const [index, bytes] of pieces.entries()) {
      const { buckets, summary } = chain[index]!.extent;
      if (bytes !== undefined) await turns.run(this.#target.apply(bytes, false, range));
      if (buckets.from === range.from && buckets.to === range.to) {
        this.#verify(sums.fingerprintOf(range).toString(), summary!.fingerprint, range);
      }
    }
    for (const bytes of deltas) await turns.run(this.#target.apply(bytes, true, range));
    for (const extent of chain) extent.release();
    this.#restored.addAll(sums.fingerprintOf(range));
    atom.isLoaded = true;
    this.#left -= 1;
    if (this.#left === 0) this.#verify(this.#restored.toString(), this.#expected, allBuckets);
  }

  #verify(actual: string, expected: string, { from, to }: BucketRange): void {
    if (actual === expected) return;
    const { uid } = this.#target;
    const where = to - from === bucketCount ? '' : ` in buckets ${from} to ${to - 1}`;
    throw new TidemarkError(
      'STATE_MISMATCH',
      `The state of operator '${uid}'${where} was committed with fingerprint ${expected} and read back with ${actual} ` +
        '(entries:digest). The stream stops, and nothing was deleted or overwritten.',
      { context: { uid, from, to, expected, actual } },
    );
  }
}

/** An extent that one or several ranges are loaded from: fetched once, cut when it is several, and forgotten after the last. */
class SharedExtent {
  readonly extent: StoredExtent;
  readers = 0;
  readonly #ranges: readonly BucketRange[];
  readonly #turns: Turns;
  #cut: Promise<Map<number, Uint8Array>> | undefined;

  constructor(extent: StoredExtent, atoms: readonly BucketRange[], turns: Turns) {
    this.extent = extent;
    this.#turns = turns;
    const { from, to } = extent.buckets;
    this.#ranges = atoms.filter((atom) => from <= atom.from && atom.to <= to);
  }

  async take(range: BucketRange): Promise<Uint8Array | undefined> {
    if (this.#ranges.length === 1) return this.extent.read();
    this.#cut ??= this.#readAndCut();
    let cut: ReadonlyMap<number, Uint8Array>;
    try {
      cut = await this.#cut;
    } catch (error) {
      this.#cut = undefined; // Perhaps the store can be reached another time.
      throw error;
    }
    return cut.get(range.from);
  }

  /** The range has been loaded. */
  release(): void {
    this.readers -= 1;
    if (this.readers === 0) this.#cut = undefined;
  }

  async #readAndCut(): Promise<Map<number, Uint8Array>> {
    const pieces = await this.#turns.run(splitExtent(await this.extent.read(), this.#ranges));
    const cut = new Map<number, Uint8Array>();
    for (const [index, bytes] of pieces.entries()) if (bytes !== undefined) cut.set(this.#ranges[index]!.from, bytes);
    return cut;
  }
}

/** The coarsest ranges that no extent cuts. */
export function atomsOf(extents: readonly StoredExtent[]): BucketRange[] {
  const cuts = new Set([0, bucketCount]);
  for (const { buckets } of extents) cuts.add(buckets.from).add(buckets.to);
  const sorted = [...cuts].sort((a, b) => a - b);
  return sorted.slice(1).map((to, index) => ({ from: sorted[index]!, to }));
}
