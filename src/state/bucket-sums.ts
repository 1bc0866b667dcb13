import { type BucketRange, bucketCount, bucketOf } from '../base/buckets.ts';
import { Fingerprint, type FingerprintRecord } from './fingerprint.ts';
import type { Summand } from './pane.ts';

/** Sums of buckets as plain data; buckets that hold nothing are left out. */
export type BucketSumsRecord = readonly (readonly [bucket: number, bytes: number, fingerprint: FingerprintRecord])[];

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

  get record(): BucketSumsRecord {
    return this.#fingerprints.flatMap((fingerprint, bucket) =>
      fingerprint === undefined ? [] : [[bucket, this.#bytes[bucket]!, fingerprint.record] as const],
    );
  }

  /** Adds what other partitions hold. */
  addAll(record: BucketSumsRecord): void {
    for (const [bucket, bytes, fingerprint] of record) {
      this.#at(bucket).addAll(Fingerprint.of(fingerprint));
      this.#bytes[bucket]! += bytes;
    }
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
