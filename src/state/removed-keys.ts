import { type BucketRange, bucketCount, bucketOf } from '../base/buckets.ts';
import type { KeyIdentity } from '../base/canonical-key.ts';

/** Keys that have gone since the last extent of their bucket, by pane and bucket: the next one must say so. */
export class RemovedKeys {
  /** By `pane * bucketCount + bucket`. */
  readonly #ids = new Map<number, Set<KeyIdentity>>();

  add(pane: number, id: KeyIdentity, keyHash: number): void {
    const place = pane * bucketCount + bucketOf(keyHash);
    const removed = this.#ids.get(place);
    if (removed === undefined) this.#ids.set(place, new Set([id]));
    else removed.add(id);
  }

  /** Those of a pane in these buckets; they are forgotten. */
  take(pane: number, range: BucketRange): KeyIdentity[] {
    const gone: KeyIdentity[] = [];
    for (let bucket = range.from; bucket < range.to && this.#ids.size > 0; bucket++) {
      const place = pane * bucketCount + bucket;
      for (const id of this.#ids.get(place) ?? []) gone.push(id);
      this.#ids.delete(place);
    }
    return gone;
  }

  /** Panes that some keys have gone from. */
  panes(): Set<number> {
    const panes = new Set<number>();
    for (const place of this.#ids.keys()) panes.add(Math.floor(place / bucketCount));
    return panes;
  }

  forgetPane(pane: number): void {
    for (const place of this.#ids.keys()) if (Math.floor(place / bucketCount) === pane) this.#ids.delete(place);
  }

  forgetAll(): void {
    this.#ids.clear();
  }
}
