import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import { MiniDriver } from '../unit/checkpoint/mini-driver.ts';
import { JumpingClock } from '../unit/checkpoint/support.ts';

const policy = { manifestEveryRecords: 4, retainManifests: 2, silenceThresholdMs: 5000 };
const dayMs = 86_400_000;

/** Names of what is left after two lives of 30 batches, and where they wait for nothing but their own clocks. */
async function run(jumpMs: (batch: number) => number): Promise<readonly string[]> {
  const storeClock = new JumpingClock();
  const store = new MemoryStore({ clock: storeClock });
  for (let life = 1; life <= 2; life++) {
    const clock = new JumpingClock();
    const driver = await MiniDriver.start(store, clock, life, policy);
    for (let i = 1; i <= 30; i++) {
      storeClock.advanceBy(1000);
      clock.advanceBy(1000 + jumpMs(i));
      await driver.runBatch();
    }
  }
  const names: string[] = [];
  for await (const { name } of store.list('')) names.push(name);
  return names;
}

describe('row 28: the clock of a driver', () => {
  it.each([
    ['a day ahead', (batch: number) => (batch === 7 ? dayMs : 0)],
    ['a day back', (batch: number) => (batch === 7 ? -dayMs : 0)],
    ['to and fro with every batch', (batch: number) => (batch % 2 === 0 ? dayMs : -dayMs)],
    ['standing still', () => -1000],
  ])('jumps, %s > the same is written, kept and deleted', async (_name, jumpMs) => {
    const calm = await run(() => 0);
    expect(calm.filter((name) => name.startsWith('log/')).length).toBeLessThan(40);
    expect(await run(jumpMs)).toEqual(calm);
  });
});
