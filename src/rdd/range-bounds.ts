import { crc32 } from 'node:zlib';
import { SeededRandom } from '../base/random.ts';
import type { Comparator } from './row-types.ts';

/** Keys of one map partition, each of which stands for `weight` rows. */
export interface KeySample<K> {
  readonly keys: readonly K[];
  readonly weight: number;
}

/** Of the result, in all map partitions together: bounds are off by about a tenth of a partition. */
const keysPerPartition = 128;
/** Of a map partition: those that have no more rows are known whole, and bounds are exact. */
const keysMin = 256;

/**
 * One key out of every stretch of equal length, drawn: rows in any order, also a periodic one, are sampled evenly. Every
 * thread, and every try, draws the same ones.
 */
export function sampleKeys<K>(
  count: number,
  keyAt: (index: number) => K,
  { mapPartition, mapPartitions, partitions }: { mapPartition: number; mapPartitions: number; partitions: number },
): KeySample<K> {
  const wanted = Math.max(keysMin, Math.ceil((keysPerPartition * partitions) / mapPartitions));
  if (count <= wanted) return { keys: Array.from({ length: count }, (_, i) => keyAt(i)), weight: 1 };
  const random = new SeededRandom(crc32(`sample of ${mapPartition}`));
  const weight = count / wanted;
  const keys = Array.from({ length: wanted }, (_, i) => keyAt(Math.floor((i + random.next()) * weight)));
  return { keys, weight };
}

/**
 * Which partition a key belongs to, so that all are of about equal size and equal keys are together: partition p ends with
 * `lastKeys[p]`. The first `empty` ones have no row, the last one has no end.
 */
export class RangeBounds<K> {
  readonly #order: Comparator<K>;
  readonly #empty: number;
  readonly #lastKeys: readonly K[];

  constructor(samples: readonly KeySample<K>[], partitions: number, order: Comparator<K>) {
    this.#order = order;
    const sorted = samples
      .flatMap(({ keys, weight }) => keys.map((key) => ({ key, weight })))
      .sort((a, b) => order(a.key, b.key));
    const rows = Math.round(sorted.reduce((sum, { weight }) => sum + weight, 0));
    let empty = 0;
    const lastKeys: K[] = [];
    let taken = 0;
    let rowsTaken = 0;
    for (let p = 1; p < partitions; p++) {
      const end = Math.floor((p * rows) / partitions);
      // A key that stands for many rows is taken when more than half of them are.
      for (; taken < sorted.length && rowsTaken + (sorted[taken]!.weight + 1) / 2 <= end; taken++) {
        rowsTaken += sorted[taken]!.weight;
      }
      if (taken === 0) empty = p;
      else lastKeys.push(sorted[taken - 1]!.key);
    }
    this.#empty = empty;
    this.#lastKeys = lastKeys;
  }

  partitionOf(key: K): number {
    let low = 0;
    let high = this.#lastKeys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#order(key, this.#lastKeys[middle]!) <= 0) high = middle;
      else low = middle + 1;
    }
    return this.#empty + low;
  }
}
