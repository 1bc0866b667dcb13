import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { parseLogName } from '../../../src/checkpoint/object-names.ts';
import { readFloor } from '../../../src/checkpoint/root-objects.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { MiniDriver } from './mini-driver.ts';
import { JumpingClock } from './support.ts';

async function countByPrefix(store: MemoryStore): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for await (const { name } of store.list('')) {
    const prefix = name.split('/')[0]!;
    counts[prefix] = (counts[prefix] ?? 0) + 1;
  }
  return counts;
}

class Crash extends Error {}

describe('a long run', () => {
  it('of 20,000 batches with crashes keeps the objects and the reads of a recovery bounded', async () => {
    const clock = new JumpingClock();
    const store = new MemoryStore({ clock });
    const random = new SeededRandom(7);
    const policy = { manifestEveryRecords: 50, silenceThresholdMs: 50_000, inlineBytesMax: 60, segmentBytesMax: 2_000 };
    let starts = 0;
    let crashes = 0;
    let objectsMax = 0;
    let recordsReadMax = 0;
    let batches = 0;
    while (batches < 20_000) {
      const crashHook = (): void => {
        if (random.next() < 0.004) throw new Crash();
      };
      try {
        const driver = await MiniDriver.start(store, clock, ++starts, { ...policy, crashHook });
        recordsReadMax = Math.max(recordsReadMax, driver.recordsRead);
        const last = driver.nextBatchId - 1;
        expect(last).toBeGreaterThanOrEqual(batches);
        const { wide, narrow } = MiniDriver.expected(last);
        expect(driver.states.get('wide')!.values).toEqual(wide);
        expect(driver.states.get('narrow')!.values).toEqual(narrow);
        while (batches < 20_000) {
          clock.advanceBy(1000);
          await driver.runBatch();
          batches = driver.nextBatchId - 1;
          if (batches % 500 === 0) {
            const counts = await countByPrefix(store);
            objectsMax = Math.max(
              objectsMax,
              Object.values(counts).reduce((sum, count) => sum + count, 0),
            );
          }
        }
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        crashes += 1;
      }
    }
    expect(crashes).toBeGreaterThan(50);
    expect(recordsReadMax).toBeLessThanOrEqual(60);
    // 100 s of records may not be deleted yet, then two manifests of 50 records; a segment per record that needs one.
    expect(objectsMax).toBeLessThan(2 * (100 + 3 * 50) + 100);
    const slots: number[] = [];
    for await (const { name } of store.list('log/')) slots.push(parseLogName(name)!);
    expect(slots[0]).toBeGreaterThan((await readFloor(store)).value);
    if (process.env.SIMULATION_VERBOSE) {
      console.log({ starts, crashes, objectsMax, recordsReadMax, ...(await countByPrefix(store)) });
    }
  });
});

describe('drivers that were started with different silence thresholds', () => {
  it('a sleeper with a longer one is fenced, because nothing that it could meet is deleted', async () => {
    const clock = new JumpingClock();
    const store = new MemoryStore({ clock });
    const patient = await MiniDriver.start(store, clock, 1, { silenceThresholdMs: 1e9 });
    await patient.runBatch();
    const hasty = await MiniDriver.start(store, clock, 2, {
      silenceThresholdMs: 1000,
      manifestEveryRecords: 2,
      retainManifests: 1,
    });
    for (let i = 0; i < 20; i++) {
      clock.advanceBy(10_000);
      await hasty.runBatch();
    }
    expect((await readFloor(store)).value).toBe(0);
    await expect(patient.runBatch()).rejects.toMatchObject({ code: 'FENCED' });
  });
});
