import type { KeyIdentity } from '../base/canonical-key.ts';

/**
 * Keys by the time of their last touch, so that finding the expired ones does not scan all keys.
 *
 * A key stands under one time only: the one it had when it was last filed. Touches do not move it; when its time comes
 * up, the caller says where it really belongs (`refile`). So a key costs one entry however often it is touched. A key that
 * was removed and came back has one more until its old time comes up.
 */
export class TimeoutIndex {
  readonly #byTime = new Map<number, KeyIdentity[]>();

  file(timeMs: number, id: KeyIdentity): void {
    const ids = this.#byTime.get(timeMs);
    if (ids === undefined) this.#byTime.set(timeMs, [id]);
    else ids.push(id);
  }

  /** Keys filed strictly before `thresholdMs`, oldest first. Changes nothing: the batch that asks may still fail. */
  due(thresholdMs: number): KeyIdentity[] {
    const times = this.#timesBefore(thresholdMs);
    return times.flatMap((time) => this.#byTime.get(time) ?? []);
  }

  /**
   * Takes the keys filed before `thresholdMs` out and files each again under `lastTouchMs(id, filedMs)`; undefined: the
   * key is gone, or this entry is a leftover of an earlier life of it.
   */
  refile(thresholdMs: number, lastTouchMs: (id: KeyIdentity, filedMs: number) => number | undefined): void {
    for (const time of this.#timesBefore(thresholdMs)) {
      const ids = this.#byTime.get(time) ?? [];
      this.#byTime.delete(time);
      for (const id of ids) {
        const touchedMs = lastTouchMs(id, time);
        if (touchedMs !== undefined) this.file(touchedMs, id);
      }
    }
  }

  #timesBefore(thresholdMs: number): number[] {
    const times: number[] = [];
    for (const time of this.#byTime.keys()) if (time < thresholdMs) times.push(time);
    return times.sort((a, b) => a - b);
  }
}
