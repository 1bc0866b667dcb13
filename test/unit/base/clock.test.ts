import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../../src/base/clock.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the system clock', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: 5000 });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it('leaves the last millisecond to turns of the event loop, since timers may be early or late by one', async () => {
    const timeout = vi.spyOn(globalThis, 'setTimeout');
    const immediate = vi.spyOn(globalThis, 'setImmediate');
    const due = new SystemClock().waitUntil(5100);
    let isDue = false;
    due.then(() => {
      isDue = true;
    });
    expect(timeout.mock.lastCall?.[1]).toBe(99);
    await vi.advanceTimersByTimeAsync(99);
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    expect(immediate.mock.calls.length).toBeGreaterThan(2);
    expect(timeout).toHaveBeenCalledTimes(1);
    expect(isDue).toBe(false);
    vi.setSystemTime(5100);
    await nextTurn();
    expect(isDue).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('arms again when a timer was early, and waits longer than one timer can', async () => {
    const month = 31 * 24 * 3600 * 1000;
    const due = new SystemClock().waitUntil(5000 + month);
    let isDue = false;
    due.then(() => {
      isDue = true;
    });
    await vi.advanceTimersByTimeAsync(month - 1);
    expect(isDue).toBe(false);
    vi.setSystemTime(5000 + month);
    await nextTurn();
    expect(isDue).toBe(true);
  });

  it('leaves nothing behind when it is aborted, in the last millisecond too', async () => {
    for (const waitMs of [100, 1]) {
      const abort = new AbortController();
      const wait = new SystemClock().waitUntil(5000 + waitMs, abort.signal);
      abort.abort(new Error('enough'));
      await expect(wait).rejects.toThrow('enough');
      expect(vi.getTimerCount()).toBe(0);
    }
    const now = vi.spyOn(Date, 'now');
    await nextTurn();
    await nextTurn();
    expect(now).not.toHaveBeenCalled();
    await expect(new SystemClock().waitUntil(4000)).resolves.toBeUndefined();
  });
});
