/** Buckets a keyed state is cut into for storage, by the fixed hash of the key. Part of the stored format. */
export const bucketCount = 256;

/** `keyHash`: `hashKey` of the key, signed or not. */
export function bucketOf(keyHash: number): number {
  return keyHash & (bucketCount - 1);
}

/** Buckets `[from, to)`. */
export interface BucketRange {
  readonly from: number;
  readonly to: number;
}

export const allBuckets: BucketRange = { from: 0, to: bucketCount };
