import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { OperationType } from '../../../src/storage/operation-counters.ts';
import { MiniDriver } from './mini-driver.ts';
import { JumpingClock } from './support.ts';

type Requests = Record<OperationType, number>;

function requests(store: MemoryStore): Requests {
  const snapshot = store.operations.snapshot();
  return Object.fromEntries(Object.entries(snapshot).map(([type, { requests: count }]) => [type, count])) as Requests;
}

async function costOf(store: MemoryStore, work: () => Promise<void>): Promise<Requests> {
  const before = requests(store);
  await work();
  const after = requests(store);
  return Object.fromEntries(
    Object.entries(after).map(([type, count]) => [type, count - before[type as OperationType]]),
  ) as Requests;
}

describe('store operations', () => {
  it('are one put for a small batch in the steady state, and nothing else', async () => {
    const clock = new JumpingClock();
    const store = new MemoryStore({ clock });
    const driver = await MiniDriver.start(store, clock, 1);
    for (let i = 0; i < 20; i++) {
      clock.advanceBy(1000);
      const cost = await costOf(store, () => driver.runBatch());
      expect(cost).toEqual({ get: 0, head: 0, put: 1, list: 0, delete: 0 });
    }
  });

  it('of 1,000 batches are 1,000 puts, and per manifest four puts and a share of a delete', async () => {
    const clock = new JumpingClock();
    const store = new MemoryStore({ clock });
    const driver = await MiniDriver.start(store, clock, 1);
    for (let i = 0; i < 2000; i++) {
      clock.advanceBy(1000);
      await driver.runBatch();
    }
    const cost = await costOf(store, async () => {
      for (let i = 0; i < 1000; i++) {
        clock.advanceBy(1000);
        await driver.runBatch();
      }
    });
    // 10 manifests: each one snapshot, one manifest, one floor, one hint; the two operators share a snapshot object.
    expect(cost).toEqual({ get: 0, head: 0, put: 1000 + 10 * 4, list: 0, delete: 10 });
  });

  it('of a start are a few reads and two puts, without a listing', async () => {
    const clock = new JumpingClock();
    const store = new MemoryStore({ clock });
    const first = await MiniDriver.start(store, clock, 1);
    for (let i = 0; i < 205; i++) await first.runBatch();
    const cost = await costOf(store, async () => {
      await MiniDriver.start(store, clock, 2);
    });
    // format, hint, floor; manifest; 16 slots from it on; the floor again; the extents of the state. Fence and hint.
    const records = 205 - 199 + 1;
    expect(records).toBeLessThan(16);
    expect(cost).toMatchObject({ put: 2, list: 0, delete: 0, head: 0 });
    expect(cost.get).toBeLessThanOrEqual(3 + 1 + 32 + 1 + 4);
  });
});
