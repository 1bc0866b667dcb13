import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { retry } from '../../../src/base/retry.ts';

const policy = { attemptsMax: 4, delayMinMs: 100, delayMaxMs: 300 };
const again = () => ({ again: true });

/** A clock that jumps to whatever is waited for and writes it down. */
class JumpingClock extends ManualClock {
  readonly waits: number[] = [];

  override async waitUntil(timeMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.waits.push(timeMs - this.now());
    this.advanceTo(timeMs);
  }
}

describe('retry', () => {
  const failing = (failures: number) => {
    let attempts = 0;
    return async (): Promise<number> => {
      attempts += 1;
      if (attempts <= failures) throw new Error(`attempt ${attempts}`);
      return attempts;
    };
  };

  it('returns the first success', async () => {
    const clock = new JumpingClock();
    expect(await retry(failing(2), policy, { clock, random: new SeededRandom(1) }, again)).toBe(3);
    expect(clock.waits).toHaveLength(2);
  });

  it('throws the last failure itself when the attempts are used up', async () => {
    const clock = new JumpingClock();
    const run = retry(failing(99), policy, { clock, random: new SeededRandom(1) }, again);
    await expect(run).rejects.toThrow('attempt 4');
    expect(clock.waits).toHaveLength(3);
  });

  it('does not repeat a final failure', async () => {
    const clock = new JumpingClock();
    const run = retry(failing(99), policy, { clock, random: new SeededRandom(1) }, () => ({ again: false }));
    await expect(run).rejects.toThrow('attempt 1');
    expect(clock.waits).toEqual([]);
  });

  it('waits between half and all of a bound that doubles up to the maximum', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const clock = new JumpingClock();
      await retry(failing(3), policy, { clock, random: new SeededRandom(seed) }, again);
      for (const [i, bound] of [100, 200, 300].entries()) {
        expect(clock.waits[i]).toBeGreaterThanOrEqual(bound / 2);
        expect(clock.waits[i]).toBeLessThanOrEqual(bound);
      }
    }
  });

  it('waits as long as the other side asks, up to the maximum', async () => {
    const clock = new JumpingClock();
    const asked = [250, 60_000];
    const decide = () => ({ again: true, delayMs: asked.shift() });
    await retry(failing(2), policy, { clock, random: new SeededRandom(1) }, decide);
    expect(clock.waits).toEqual([250, 300]);
  });

  it('ends its wait when it is aborted', async () => {
    const abort = new AbortController();
    const reason = new Error('stopped');
    const environment = { clock: new ManualClock(), random: new SeededRandom(1), signal: abort.signal };
    const run = retry(failing(99), policy, environment, () => {
      queueMicrotask(() => abort.abort(reason));
      return { again: true };
    });
    await expect(run).rejects.toBe(reason);
  });
});
