import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { Backoff } from '../../../src/sources/event-hubs/backoff.ts';

const limits = { firstDelayMs: 200, maxDelayMs: 10_000, totalMs: 60_000 };

describe('the pauses between attempts', () => {
  it('double up to a bound and end with the total', () => {
    const backoff = new Backoff(limits, new SeededRandom(1));
    let nowMs = 1_000;
    const delays: number[] = [];
    for (let delay = backoff.failed(nowMs); delay !== undefined; delay = backoff.failed(nowMs)) {
      delays.push(delay);
      nowMs += delay;
    }
    const full = [200, 400, 800, 1600, 3200, 6400, 10_000];
    full.forEach((bound, i) => {
      expect(delays[i]).toBeGreaterThanOrEqual(bound / 2);
      expect(delays[i]).toBeLessThanOrEqual(bound);
    });
    expect(Math.max(...delays)).toBeLessThanOrEqual(10_000);
    expect(nowMs).toBe(61_000);
  });

  it('start over after a success', () => {
    const backoff = new Backoff(limits, new SeededRandom(1));
    for (let i = 0; i < 5; i++) backoff.failed(0);
    backoff.succeeded();
    expect(backoff.failures).toBe(0);
    expect(backoff.failed(1e9)).toBeLessThanOrEqual(200);
  });
});
