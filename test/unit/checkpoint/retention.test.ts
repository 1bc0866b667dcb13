import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { parseLogName } from '../../../src/checkpoint/object-names.ts';
import { readFloor } from '../../../src/checkpoint/root-objects.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { MiniDriver } from './mini-driver.ts';
import { batch, JumpingClock } from './support.ts';

async function countByPrefix(store: MemoryStore): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for await (const { name } of store.list('')) {
    const prefix = name.split('/')[0]!;
    counts[prefix] = (counts[prefix] ?? 0) + 1;
  }
  return counts;
}

class Crash extends Error {}

describe('rows of an output', () => {
  it('that are not known to be published stay, however far the log goes on, and then go', async () => {
    const clock = new JumpingClock();
    const store = new MemoryStore({ clock });
    const policy = { manifestEveryRecords: 2, retainManifests: 1, silenceThresholdMs: 0, inlineBytesMax: 0 };
    const driver = await MiniDriver.start(store, clock, 1, policy);
    const unchanged = () => [...driver.states.values()].map((state) => state.delta([]));
    const bytes = new TextEncoder().encode('rows');
    const handles = [{ uid: 'out', batchId: 1, batchTimeMs: 1500, handle: 'h' }];
    await driver.log.commitBatch(batch(1, { deltas: unchanged(), handles, outputs: [{ uid: 'out', bytes }] }));
    const run = async (batches: number): Promise<void> => {
      for (let i = 0; i < batches; i++) {
        clock.advanceBy(1000);
        await driver.runBatch();
      }
    };
    await run(30);
    const { rows } = driver.log.status.unpublished[0]!;
    expect(Buffer.from(await driver.log.readContent(rows!)).toString()).toBe('rows');
    const receipts = [{ uid: 'out', batchId: 1 }];
    await driver.log.commitBatch(batch(driver.nextBatchId, { deltas: unchanged(), receipts }));
    await run(10);
    await expect(driver.log.readContent(rows!)).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
  });
});

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
