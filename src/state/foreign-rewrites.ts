import { bucketCount } from '../base/buckets.ts';
import type { KeyIdentity } from '../base/canonical-key.ts';
import type { Steps } from '../base/turns.ts';
import type { Pane } from './pane.ts';

// Values that a batch rewrites in a partition beside those it has written anyway.
const rewritesPerBatchMax = 1000;

/**
 * Finds committed values of another schema version, some per batch, so that a while after a redeploy none is left.
 *
 * It goes from bucket to bucket and remembers only where it is: the keys of a large state are not kept twice. A bucket is left when
 * it was found to hold no such value. That stays so, since only a restore brings more.
 */
export class ForeignRewrites {
  #bucket = bucketCount;

  /** Such a value was restored. */
  met(): void {
    this.#bucket = 0;
  }

  /** Calls `rewrite` for some of them; false: the batch has written that key already. */
  *next(pane: Pane | undefined, version: number, rewrite: (id: KeyIdentity) => boolean): Steps {
    let left = rewritesPerBatchMax;
    for (let bucket = this.#bucket; bucket < bucketCount && left > 0; bucket++) {
      const ids = pane?.foreign(bucket, version, left) ?? [];
      if (ids.length === 0 && bucket === this.#bucket) this.#bucket += 1;
      for (const id of ids) if (rewrite(id)) left -= 1;
      yield;
    }
  }
}
