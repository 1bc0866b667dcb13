import { type BucketRange, bucketCount, bucketOf } from '../base/buckets.ts';
import { Fingerprint } from './fingerprint.ts';
import type { Summand } from './pane.ts';

/** What a table holds per bucket, over all partitions and panes: fingerprint, and bytes of the encoded entries. */
export class BucketSums {
  readonly #fingerprints: (Fingerprint | undefined)[] = new Array(bucketCount).fill(undefined);
  readonly #bytes = new Float64Array(bucketCount);

  add({ keyHash, hash, schema, size }: Summand): void {
    const bucket = bucketOf(keyHash);
    this.#at(bucket).add(hash, schema);
    this.#bytes[bucket]! += size;
  }

  subtract({ keyHash, hash, schema, size }: Summand): void {
    const bucket = bucketOf(keyHash);
    this.#at(bucket).subtract(hash, schema);
    this.#bytes[bucket]! -= size;
  }

  fingerprintOf({ from, to }: BucketRange): Fingerprint {
    const sum = new Fingerprint();
    for (let bucket = from; bucket < to; bucket++) {
      const part = this.#fingerprints[bucket];
      if (part !== undefined) sum.addAll(part);
    }
    return sum;
  }

  bytesOf({ from, to }: BucketRange): number {
    let sum = 0;
    for (let bucket = from; bucket < to; bucket++) sum += this.#bytes[bucket]!;
    return sum;
  }

  #at(bucket: number): Fingerprint {
    let fingerprint = this.#fingerprints[bucket];
    if (fingerprint === undefined) {
      fingerprint = new Fingerprint();
      this.#fingerprints[bucket] = fingerprint;
    }
    return fingerprint;
  }
}
