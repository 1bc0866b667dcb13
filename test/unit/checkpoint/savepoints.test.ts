import { describe, expect, it, vi } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import { parseContentName, parseLogName } from '../../../src/checkpoint/object-names.ts';
import { pin, unpin } from '../../../src/checkpoint/operator-records.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import type { Savepoint } from '../../../src/checkpoint/records.ts';
import { readFloor, readFormat } from '../../../src/checkpoint/root-objects.ts';
import { readPoint } from '../../../src/checkpoint/stored-point.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { MiniDriver } from './mini-driver.ts';
import { batch, CounterState, fence, JumpingClock, loadCounters, optionsWith } from './support.ts';

const policy = { manifestEveryRecords: 10, silenceThresholdMs: 5_000, inlineBytesMax: 60, segmentBytesMax: 200 };

function setup(): { readonly clock: JumpingClock; readonly store: MemoryStore } {
  const clock = new JumpingClock();
  return { clock, store: new MemoryStore({ clock }) };
}

async function run(driver: MiniDriver, clock: JumpingClock, batches: number): Promise<void> {
  for (let i = 0; i < batches; i++) {
    clock.advanceBy(1000);
    await driver.runBatch();
  }
}

async function expectWhole(store: MemoryStore, { batchId, manifest: base, slot, hash }: Savepoint): Promise<void> {
  const point = await readPoint(store, (await readFormat(store))!, { base, slot });
  expect(point.tailHash).toBe(hash);
  expect(point.status.lastBatch?.batchId).toBe(batchId);
  const states = await loadCounters(point);
  const { wide, narrow } = MiniDriver.expected(batchId);
  expect(states.get('wide')!.values).toEqual(wide);
  expect(states.get('narrow')?.values ?? new Map()).toEqual(narrow);
}

/** Names of objects that only something below the floor could need. */
async function keptBelowFloor(store: MemoryStore): Promise<readonly string[]> {
  const { value: floor } = await readFloor(store);
  const names: string[] = [];
  for await (const { name } of store.list('')) {
    const slot = parseLogName(name) ?? Number(/^(?:man|seg)\/(?:\d{20}-)?(\d{20})-/.exec(name)?.[1] ?? Number.NaN);
    if (slot < floor) names.push(name);
  }
  return names;
}

async function segmentsOf(store: MemoryStore): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of store.list('seg/')) names.push(name);
  return names;
}

describe('a savepoint', () => {
  it('is one write, and the batch after it costs what it always costs', async () => {
    const { clock, store } = setup();
    const driver = await MiniDriver.start(store, clock, 1, { manifestEveryRecords: 1000 });
    await run(driver, clock, 3);
    const before = store.operations.snapshot();
    const savepoint = await pin(driver.log, 'before-upgrade', undefined);
    await run(driver, clock, 1);
    const after = store.operations.snapshot();
    expect(after.put.requests - before.put.requests).toBe(2);
    expect(after.get.requests - before.get.requests).toBe(0);
    expect(savepoint).toMatchObject({ name: 'before-upgrade', batchId: 3, slot: 4, requestId: null, manifest: null });
  });

  it('row 22: keeps its batch whole while the floor passes it, and nothing when it is removed', async () => {
    const { clock, store } = setup();
    const driver = await MiniDriver.start(store, clock, 1, policy);
    await run(driver, clock, 57);
    const savepoint = await pin(driver.log, 'one', undefined);
    await run(driver, clock, 100);
    expect((await readFloor(store)).value).toBeGreaterThan(savepoint.slot);
    await expectWhole(store, savepoint);
    const kept = await keptBelowFloor(store);
    expect(kept.length).toBeGreaterThan(0);
    await unpin(driver.log, 'one');
    await run(driver, clock, 25);
    expect((await keptBelowFloor(store)).filter((name) => kept.includes(name))).toEqual([]);
    await expect(expectWhole(store, savepoint)).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
  });

  it('row 22: keeps the segments of batches that shared a record, whose names lie above the savepoint', async () => {
    const { clock, store } = setup();
    const faulty = new FaultyStore(store);
    const held = Promise.withResolvers<void>();
    const log = await CheckpointLog.takeOver(faulty, undefined, fence, optionsWith(clock, 1, policy));
    faulty.inject({ type: 'put', name: /^log\// }, { kind: 'delay', until: held.promise });
    const state = new CounterState('wide');
    const changes = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`key ${index}`, index]));
    const commits = [1, 2, 3, 4].map((id) => log.commitBatch(batch(id, { deltas: [state.set(changes)] })));
    await vi.waitFor(async () => expect(await segmentsOf(store)).toHaveLength(8));
    held.resolve();
    expect((await Promise.all(commits)).map(({ slot }) => slot)).toEqual([2, 3, 3, 3]);
    const savepoint = await pin(log, 'one', undefined);
    const segments = await segmentsOf(store);
    expect(segments.some((name) => (parseContentName(name)?.slot ?? 0) > savepoint.slot)).toBe(true);

    for (const seed of [1, 2]) await run(await MiniDriver.start(store, clock, seed, policy), clock, 60);
    expect((await readFloor(store)).value).toBeGreaterThan(savepoint.slot + 10);
    expect(await segmentsOf(store)).toEqual(expect.arrayContaining([...segments]));
    const point = await readPoint(store, (await readFormat(store))!, {
      base: savepoint.manifest,
      slot: savepoint.slot,
    });
    expect((await loadCounters(point)).get('wide')!.values).toEqual(new Map(Object.entries(changes)));

    const last = await MiniDriver.start(store, clock, 3, policy);
    await unpin(last.log, 'one');
    await run(last, clock, 40);
    expect((await segmentsOf(store)).filter((name) => segments.includes(name))).toEqual([]);
  });

  it('is known to later drivers from the manifest, and goes by one of them', async () => {
    const { clock, store } = setup();
    const first = await MiniDriver.start(store, clock, 1, policy);
    await run(first, clock, 43);
    const savepoint = await pin(first.log, 'one', undefined);
    await run(first, clock, 60);
    for (let life = 2; life <= 4; life++) await run(await MiniDriver.start(store, clock, life, policy), clock, 40);
    await expectWhole(store, savepoint);
    const last = await MiniDriver.start(store, clock, 9, policy);
    expect(last.log.status.savepoints).toEqual([savepoint]);
    await run(last, clock, 40);
    const kept = await keptBelowFloor(store);
    const objects = [...kept, ...(savepoint.manifest === null ? [] : [savepoint.manifest.name])];
    await unpin(last.log, 'one');
    await run(last, clock, 30);
    for (const name of objects) expect((await store.head(name)).status, name).toBe('missing');
  });

  it('of which the manifest is damaged keeps every snapshot rather than guess', async () => {
    const { clock, store } = setup();
    const first = await MiniDriver.start(store, clock, 1, policy);
    await run(first, clock, 43);
    const savepoint = await pin(first.log, 'one', undefined);
    await run(first, clock, 25);
    await store.delete([savepoint.manifest!.name]);
    const snapshots = async (): Promise<string[]> => {
      const names: string[] = [];
      for await (const { name } of store.list('snap/')) names.push(name);
      return names;
    };
    const before = await snapshots();
    await run(await MiniDriver.start(store, clock, 2, policy), clock, 80);
    expect(await snapshots()).toEqual(expect.arrayContaining(before));
  });

  it.each([
    ['7', /"7" is no name/],
    ['2026-01-01', /is no name/],
    ['a/b', /is no name/],
    ['x'.repeat(65), /is no name/],
    ['one', /has a savepoint "one" already/],
  ])('named %s is refused, and nothing is written', async (name, message) => {
    const { clock, store } = setup();
    const driver = await MiniDriver.start(store, clock, 1, policy);
    await run(driver, clock, 2);
    await pin(driver.log, 'one', undefined);
    const { tailSlot } = driver.log.status;
    await expect(pin(driver.log, name, undefined)).rejects.toThrow(message);
    expect((await readCheckpoint(store))!.status.tailSlot).toBe(tailSlot);
    await run(driver, clock, 1);
  });

  it('needs a batch, one of at most 100, and must be there to be removed', async () => {
    const { clock, store } = setup();
    const driver = await MiniDriver.start(store, clock, 1, { manifestEveryRecords: 1000 });
    await expect(pin(driver.log, 'early', undefined)).rejects.toMatchObject({ code: 'BATCH_NOT_RETAINED' });
    await run(driver, clock, 1);
    for (let i = 0; i < 100; i++) await pin(driver.log, `s${i}`, undefined);
    await expect(pin(driver.log, 'more', undefined)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    await expect(unpin(driver.log, 'more')).rejects.toThrow(/has no savepoint "more"/);
  });
});

class Crash extends Error {}

describe('savepoints of drivers that die anywhere', () => {
  it.each(Array.from({ length: 12 }, (_, seed) => seed))(
    'row 22: are whole as long as they are there (seed %i)',
    async (seed) => {
      const { clock, store } = setup();
      const random = new SeededRandom(1000 + seed);
      let names = 0;
      let seen = 0;
      for (let life = 1; life <= 25; life++) {
        const crashHook = (): void => {
          if (random.next() < 0.006) throw new Crash();
        };
        try {
          const driver = await MiniDriver.start(store, clock, seed * 100 + life, { ...policy, crashHook });
          for (let i = 0; i < 40; i++) {
            clock.advanceBy(1000);
            await driver.runBatch();
            const { savepoints } = driver.log.status;
            if (random.next() < 0.05 && savepoints.length < 4) await pin(driver.log, `s${++names}`, undefined);
            const victim = savepoints[Math.floor(random.next() * 40)];
            if (victim !== undefined) await unpin(driver.log, victim.name);
          }
        } catch (error) {
          if (!(error instanceof Crash)) throw error;
        }
        const { savepoints } = (await readCheckpoint(store))!.status;
        for (const savepoint of savepoints) await expectWhole(store, savepoint);
        seen += savepoints.length;
      }
      expect(seen).toBeGreaterThan(5);
    },
  );
});
