import { hashKey } from '../base/canonical-key.ts';
import { checkInteger } from './validation.ts';

/** Decides which partition a key belongs to; must always decide the same. */
export interface Partitioner {
  readonly numPartitions: number;
  /** In [0, numPartitions). @throws KEY_UNSUPPORTED */
  partition(key: unknown): number;
  /** True when both put every key into the same partition: then no shuffle is needed between them. */
  equals(other: Partitioner): boolean;
}

/** By the canonical hash of the key (stored format), so partitions stay the same over restarts. */
export class HashPartitioner implements Partitioner {
  readonly numPartitions: number;

  constructor(numPartitions: number) {
    this.numPartitions = checkInteger('numPartitions', numPartitions, 1);
  }

  partition(key: unknown): number {
    // Objects are hashed even for one partition: an unsupported key must fail in every layout.
    if (this.numPartitions === 1 && (typeof key === 'string' || typeof key === 'number')) return 0;
    return hashKey(key) % this.numPartitions;
  }

  equals(other: Partitioner): boolean {
    return other instanceof HashPartitioner && other.numPartitions === this.numPartitions;
  }
}

export function samePartitioner(a: Partitioner | undefined, b: Partitioner | undefined): boolean {
  return a !== undefined && b !== undefined && (a === b || a.equals(b));
}
