import { describe, expect, it } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import { checkpointSettings } from '../../../src/checkpoint/checkpoint-options.ts';
import { logName } from '../../../src/checkpoint/object-names.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { encodeRecord } from '../../../src/checkpoint/record-codec.ts';
import { readFloor, readHint, writeHint } from '../../../src/checkpoint/root-objects.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { MiniDriver } from './mini-driver.ts';
import { batch, CounterState, fence, JumpingClock, loadCounters, optionsWith } from './support.ts';

class Crash extends Error {}

function crashAt(...points: CrashPoint[]): (point: CrashPoint) => void {
  return (point) => {
    if (points[0] === point && points.shift()) throw new Crash(point);
  };
}

function setup(): { readonly clock: JumpingClock; readonly store: MemoryStore; readonly faulty: FaultyStore } {
  const clock = new JumpingClock();
  const store = new MemoryStore({ clock });
  return { clock, store, faulty: new FaultyStore(store) };
}

async function takeOver(store: ObjectStore, clock: JumpingClock, seed: number, more = {}): Promise<CheckpointLog> {
  return CheckpointLog.takeOver(store, await readCheckpoint(store), fence, optionsWith(clock, seed, more));
}

async function names(store: ObjectStore, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list(prefix)) found.push(name);
  return found;
}

/** A store with some operations replaced. */
function viewOf(store: ObjectStore, replaced: Partial<ObjectStore>): ObjectStore {
  return {
    url: store.url,
    operations: store.operations,
    get: (name, range) => store.get(name, range),
    head: (name) => store.head(name),
    putIfAbsent: (name, bytes, commitId) => store.putIfAbsent(name, bytes, commitId),
    compareAndSwap: (name, bytes, etag, commitId) => store.compareAndSwap(name, bytes, etag, commitId),
    list: (prefix, after) => store.list(prefix, after),
    delete: (names) => store.delete(names),
    close: () => store.close(),
    ...replaced,
  };
}

const logPut = { type: 'put', name: /^log\// } as const;
const code = (expected: string) => expect.objectContaining({ code: expected });

describe('creating the stream', () => {
  it('row 1: crash after the format > the next start finishes it with the same stream id', async () => {
    const { clock, store } = setup();
    const first = takeOver(store, clock, 1, { crashHook: crashAt('recovery:before-fence') });
    await expect(first).rejects.toThrow(Crash);
    expect(await names(store, '')).toEqual(['format']);
    const format = await store.get('format');
    const log = await takeOver(store, clock, 2);
    expect(log.epoch).toBe(1);
    expect(await store.get('format')).toMatchObject({ bytes: format.status === 'found' && format.bytes });
  });

  it('row 30: crash after the fence, again and again > the same stream with a higher epoch', async () => {
    const { clock, store } = setup();
    for (let life = 1; life <= 3; life++) {
      await expect(takeOver(store, clock, life, { crashHook: crashAt('recovery:fenced') })).rejects.toThrow(Crash);
    }
    const log = await takeOver(store, clock, 9);
    expect(log.epoch).toBe(4);
    expect(log.recovered.status).toMatchObject({ epoch: 3, lastBatch: undefined, zeroTimeMs: 500 });
  });

  it('row 11: by two drivers at once > one stream, and the later fence wins', async () => {
    const { clock, store } = setup();
    const [a, b] = await Promise.all([takeOver(store, clock, 1), takeOver(store, clock, 2)]);
    expect(a.streamId).toBe(b.streamId);
    expect([a.epoch, b.epoch].sort()).toEqual([1, 2]);
    const [older, newer] = a.epoch < b.epoch ? [a, b] : [b, a];
    await expect(older.commitBatch(batch(1))).rejects.toThrow(code('FENCED'));
    await newer.commitBatch(batch(1));
  });

  it('row 11: by another driver while a slow starter looks for leftovers > nothing is called damaged', async () => {
    const { clock, store } = setup();
    await expect(takeOver(store, clock, 1, { crashHook: crashAt('recovery:before-fence') })).rejects.toThrow(Crash);
    let other: MiniDriver | undefined;
    const slow = viewOf(store, {
      async *list(prefix, after) {
        if (prefix === 'snap/') {
          other = await MiniDriver.start(store, clock, 2, { manifestEveryRecords: 2, silenceThresholdMs: 0 });
          for (let i = 0; i < 6; i++) await other.runBatch();
          await other.log.drain([]);
        }
        yield* store.list(prefix, after);
      },
    });
    const log = await takeOver(slow, clock, 3);
    expect(other).toBeDefined();
    expect(await names(store, 'snap/')).not.toEqual([]);
    expect(log.recovered.status.lastBatch?.batchId).toBe(6);
  });
});

describe('a record whose answer is lost', () => {
  it('row 7: and that was applied > is recognised, the batch is there once, the driver goes on', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1);
    faulty.inject(logPut, { kind: 'lose-answer' });
    expect(await log.commitBatch(batch(1))).toMatchObject({ slot: 2 });
    expect(await log.commitBatch(batch(2))).toMatchObject({ slot: 3 });
    expect((await readCheckpoint(store))!.status).toMatchObject({ tailSlot: 3, lastBatch: { batchId: 2 } });
  });

  it('row 6: and that never arrived > is sent again', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1);
    faulty.inject({ ...logPut, times: 5 }, { kind: 'lose-request' });
    await log.commitBatch(batch(1));
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(1);
  });

  it('row 7: on a store that cannot recognise its writer > is told from another by its content', async () => {
    const { clock, store, faulty } = setup();
    const forgetful: ObjectStore = viewOf(faulty, {
      putIfAbsent: async (name, bytes, commitId) => {
        const outcome = await faulty.putIfAbsent(name, bytes, commitId);
        return outcome.status === 'done' && outcome.recognised
          ? { status: 'lost', serverTimeMs: outcome.serverTimeMs }
          : outcome;
      },
    });
    const log = await takeOver(forgetful, clock, 1);
    faulty.inject(logPut, { kind: 'lose-answer' });
    await log.commitBatch(batch(1));
    await log.commitBatch(batch(2));
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(2);
  });

  it('row 8: and the process dies > the batch has happened and its handles are open', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1, { crashHook: crashAt('commit:record-written') });
    const handles = [{ uid: 'out', batchId: 1, batchTimeMs: 1500, handle: 'staged' }];
    await expect(log.commitBatch(batch(1, { handles }))).rejects.toThrow(Crash);
    await expect(log.commitBatch(batch(2))).rejects.toThrow(Crash);
    expect((await takeOver(store, clock, 2)).status).toMatchObject({ lastBatch: { batchId: 1 }, unpublished: handles });
  });

  it('row 8: until the time is used up > COMMIT_UNKNOWN, no further call, and the next start knows', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1, { commitTimeoutMs: 10_000 });
    faulty.inject(logPut, { kind: 'lose-answer' });
    faulty.inject({ ...logPut, times: 1000 }, { kind: 'lose-request' });
    const startedMs = clock.now();
    await expect(log.commitBatch(batch(1))).rejects.toThrow(code('COMMIT_UNKNOWN'));
    expect(clock.now() - startedMs).toBeLessThanOrEqual(10_000);
    await expect(log.commitBatch(batch(1))).rejects.toThrow(code('COMMIT_UNKNOWN'));
    await expect(log.retain()).rejects.toThrow(code('COMMIT_UNKNOWN'));
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(1);
  });
});

describe('a record that lands late', () => {
  it('row 9: before the next fence > the next driver has it', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1);
    let land = (): void => {};
    const landed = new Promise<void>((applied) => {
      const until = new Promise<void>((resolve) => {
        land = resolve;
      });
      faulty.inject(logPut, { kind: 'apply-late', until, applied: () => applied() });
    });
    faulty.inject({ ...logPut, times: 1000 }, { kind: 'lose-request' });
    await expect(log.commitBatch(batch(1))).rejects.toThrow(code('COMMIT_UNKNOWN'));
    land();
    await landed;
    expect((await takeOver(store, clock, 2)).status).toMatchObject({ epoch: 3, lastBatch: { batchId: 1 } });
  });

  it('row 10: after the next fence > has no effect, and the old driver is fenced', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1);
    let land = (): void => {};
    const until = new Promise<void>((resolve) => {
      land = resolve;
    });
    faulty.inject(logPut, { kind: 'delay', until });
    const commit = log.commitBatch(batch(1));
    const young = await takeOver(store, clock, 2);
    land();
    await expect(commit).rejects.toThrow(code('FENCED'));
    expect(young.epoch).toBe(2);
    await young.commitBatch(batch(1, { positions: { in: 'young' } }));
    expect((await readCheckpoint(store))!.status.positions).toEqual({ in: 'young' });
  });
});

describe('segments', () => {
  it('row 5: of a batch that was never committed > are ignored, and removed once the floor has passed', async () => {
    const { clock, store } = setup();
    const policy = { inlineBytesMax: 10, manifestEveryRecords: 3, silenceThresholdMs: 1000 };
    const crashed = await MiniDriver.start(store, clock, 1, {
      ...policy,
      crashHook: crashAt('commit:segments-written'),
    });
    await expect(crashed.runBatch()).rejects.toThrow(Crash);
    const [orphan] = await names(store, 'seg/');
    expect(orphan).toBeDefined();
    const driver = await MiniDriver.start(store, clock, 2, policy);
    expect(driver.nextBatchId).toBe(1);
    for (let i = 0; i < 20; i++) {
      clock.advanceBy(1000);
      await driver.runBatch();
    }
    expect(await names(store, 'seg/')).not.toContain(orphan);
    expect((await names(store, 'seg/')).length).toBeLessThan(12);
  });

  it('are all in the store before the record is tried', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1, { inlineBytesMax: 0, segmentBytesMax: 10 });
    faulty.inject(
      { type: 'put', name: /^seg\//, nth: 2 },
      { kind: 'fail', error: new TidemarkError('CANCELLED', 'x') },
    );
    const deltas = [{ uid: 'a', bytes: new Uint8Array(35), fingerprint: 'f' }];
    await expect(log.commitBatch(batch(1, { deltas }))).rejects.toThrow(code('CANCELLED'));
    expect((await readCheckpoint(store))!.status.lastBatch).toBeUndefined();
    await log.commitBatch(batch(1, { deltas }));
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(1);
  });
});

describe('a manifest', () => {
  const policy = { manifestEveryRecords: 4, silenceThresholdMs: 1000 };

  it('row 17: that no record adopted > changes nothing', async () => {
    const { clock, store } = setup();
    const driver = await MiniDriver.start(store, clock, 1, {
      ...policy,
      crashHook: crashAt('commit:manifest-written'),
    });
    for (let i = 0; i < 2; i++) await driver.runBatch();
    await expect(driver.runBatch()).rejects.toThrow(Crash);
    expect(await names(store, 'man/')).toHaveLength(1);
    const next = await MiniDriver.start(store, clock, 2, policy);
    expect(next.recordsRead).toBe(4);
    expect(next.states.get('wide')!.values).toEqual(MiniDriver.expected(3).wide);
  });

  it('whose upload is slow > holds up no record, and the first record after it adopts it', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1, { manifestEveryRecords: 2 });
    const state = new CounterState('count');
    const commit = async (id: number) => log.commitBatch(batch(id, { deltas: [state.set({ [`k${id % 3}`]: id })] }));
    await commit(1);
    const slow = Promise.withResolvers<void>();
    faulty.inject({ type: 'put', name: /^man\// }, { kind: 'delay', until: slow.promise });
    const upload = log.writeManifest([state.extent('base')]);
    state.manifestWritten();
    for (let id = 2; id <= 5; id++) await commit(id);
    expect(log.manifestDue()).toBeUndefined();
    expect((await readCheckpoint(store))!.recordsRead).toBe(6);
    slow.resolve();
    await upload;
    await commit(6);
    // Slot 2 is described, slot 7 adopts it: what is between is read on top of it.
    const found = (await readCheckpoint(store))!;
    expect(found.recordsRead).toBe(5);
    expect(found.status).toEqual(log.status);
    expect((await loadCounters(found)).get('count')!.values).toEqual(state.values);

    // The next one starts where this one was taken, not where it was adopted.
    expect(log.manifestDue()).toEqual(new Map([['count', 'delta']]));
    await log.writeManifest([state.extent('delta')]);
    await commit(7);
    const after = await takeOver(store, clock, 2);
    expect(after.recovered.recordsRead).toBe(1);
    expect((await loadCounters(after.recovered)).get('count')!.values).toEqual(state.values);
  });

  it('that is being uploaded at a clean stop is adopted by the drain', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1, { manifestEveryRecords: 2 });
    const state = new CounterState('count');
    await log.commitBatch(batch(1, { deltas: [state.set({ a: 1 })] }));
    const slow = Promise.withResolvers<void>();
    faulty.inject({ type: 'put', name: /^snap\// }, { kind: 'delay', until: slow.promise });
    void log.writeManifest([state.extent('base')]);
    const drained = log.drain([]);
    slow.resolve();
    await drained;
    expect(await readCheckpoint(store)).toMatchObject({ recordsRead: 1, status: { drained: true } });
  });

  it('that cannot be uploaded ends the driver at the next record', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1, { manifestEveryRecords: 2 });
    await log.commitBatch(batch(1));
    faulty.inject(
      { type: 'put', name: /^man\// },
      { kind: 'fail', error: new TidemarkError('LIMIT_EXCEEDED', 'full') },
    );
    await expect(log.writeManifest([])).rejects.toThrow('full');
    await expect(log.commitBatch(batch(2))).rejects.toThrow('full');
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(1);
  });

  it('row 17: that was adopted shortens the recovery, also with the old hint', async () => {
    const { clock, store } = setup();
    const driver = await MiniDriver.start(store, clock, 1, policy);
    const oldHint = await store.get('hint');
    for (let i = 0; i < 6; i++) await driver.runBatch();
    expect((await readCheckpoint(store))!.recordsRead).toBe(3);
    await store.delete(['hint']);
    if (oldHint.status === 'found') await store.putIfAbsent('hint', oldHint.bytes, 'f'.repeat(32));
    const next = await MiniDriver.start(store, clock, 2, policy);
    expect(next.states.get('wide')!.values).toEqual(MiniDriver.expected(6).wide);
  });

  it('is asked for as a base until there is one, then as deltas', async () => {
    const { clock, store } = setup();
    const log = await takeOver(store, clock, 1, { manifestEveryRecords: 1, compactionAlpha: 0.5 });
    const asked: unknown[] = [];
    for (let id = 1; id <= 6; id++) {
      const changed = { uid: 'changed', bytes: new Uint8Array(10), fingerprint: `${id}` };
      const quiet = { uid: 'quiet', bytes: new Uint8Array(id === 1 ? 10 : 0), fingerprint: 'q' };
      await log.commitBatch(batch(id, { deltas: [changed, quiet] }));
      const due = log.manifestDue()!;
      asked.push(Object.fromEntries(due));
      const extents = [...due].map(([uid, kind]) => ({ uid, kind, bytes: new Uint8Array(kind === 'base' ? 100 : 30) }));
      await log.writeManifest(extents);
      expect(log.manifestDue()).toBeUndefined();
      await expect(log.writeManifest(extents)).rejects.toThrow(/not adopted yet/);
    }
    expect(asked).toEqual([
      { changed: 'base', quiet: 'base' },
      { changed: 'delta' },
      { changed: 'delta' },
      { changed: 'delta' },
      { changed: 'delta' },
      { changed: 'delta' },
    ]);
  });

  it('forgets an operator that the last batch does not know any more', async () => {
    const { clock, store } = setup();
    const log = await takeOver(store, clock, 1, { manifestEveryRecords: 1 });
    const bytes = new Uint8Array(5);
    for (let id = 1; id <= 3; id++) {
      const uids = id === 1 ? ['stays', 'goes'] : ['stays'];
      await log.commitBatch(batch(id, { deltas: uids.map((uid) => ({ uid, bytes, fingerprint: uid })) }));
      await log.writeManifest([...log.manifestDue()!].map(([uid, kind]) => ({ uid, kind, bytes })));
    }
    await log.drain([]);
    const loaded: string[] = [];
    await (await readCheckpoint(store))!.loadState((uid) => loaded.push(uid));
    expect(new Set(loaded)).toEqual(new Set(['stays']));
  });
});

describe('the hint', () => {
  it('row 18: that leads to what was cleaned away long ago > the listing finds the true end', async () => {
    const { clock, store } = setup();
    const policy = { manifestEveryRecords: 4, silenceThresholdMs: 1000 };
    const driver = await MiniDriver.start(store, clock, 1, policy);
    for (let i = 0; i < 6; i++) await driver.runBatch();
    const oldHint = await store.get('hint');
    for (let i = 0; i < 40; i++) {
      clock.advanceBy(1000);
      await driver.runBatch();
    }
    await store.delete(['hint']);
    if (oldHint.status === 'found') await store.putIfAbsent('hint', oldHint.bytes, 'f'.repeat(32));
    expect((await readFloor(store)).value).toBeGreaterThan(6);
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(46);
    expect((await MiniDriver.start(store, clock, 2, policy)).nextBatchId).toBe(47);
  });

  it('row 18: that has seen a record which is gone > an error, not an older point', async () => {
    const { clock, store } = setup();
    const log = await takeOver(store, clock, 1);
    await log.commitBatch(batch(1));
    const { value: hint, etag } = await readHint(store);
    await writeHint(store, { ...hint!, tailSlot: 3 }, etag, 'e'.repeat(32));
    await expect(readCheckpoint(store)).rejects.toThrow(/"log\/0{19}3": it is missing, but the hint has seen record 3/);
  });

  it('that cannot be written > hurts nobody', async () => {
    const { clock, store, faulty } = setup();
    faulty.inject({ name: /^hint$/, times: 1000 }, { kind: 'fail' });
    const log = await CheckpointLog.takeOver(faulty, undefined, fence, optionsWith(clock, 1));
    await log.commitBatch(batch(1));
    await log.drain([]);
    expect((await readCheckpoint(store))!.status).toMatchObject({ drained: true });
  });
});

describe('a driver that sleeps past the retention', () => {
  const policy = { manifestEveryRecords: 3, silenceThresholdMs: 2_000, retainManifests: 1 };

  it('row 12: commits into an emptied slot > learns from the floor that it is fenced', async () => {
    const { clock, store } = setup();
    const old = await takeOver(store, clock, 1, policy);
    await old.commitBatch(batch(1));
    const young = await MiniDriver.start(store, clock, 2, policy);
    for (let i = 0; i < 30; i++) {
      clock.advanceBy(1000);
      await young.runBatch();
    }
    expect(await names(store, 'log/')).not.toContain(logName(3));
    await expect(old.commitBatch(batch(2))).rejects.toThrow(/cleaned away while this driver was silent/);
    // Its record stands in the emptied slot and means nothing.
    expect(await names(store, 'log/')).toContain(logName(3));
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(31);
    await store.delete(['hint']);
    const next = await MiniDriver.start(store, clock, 3, policy);
    expect(next.nextBatchId).toBe(32);
    for (let i = 0; i < 10; i++) {
      clock.advanceBy(1000);
      await next.runBatch();
    }
    expect(await names(store, 'log/')).not.toContain(logName(3));
  });

  it('row 12: between the arrival of a record and its answer > learns from the floor at the next one', async () => {
    const { clock, store, faulty } = setup();
    const old = await takeOver(faulty, clock, 1, { ...policy, commitTimeoutMs: 1_000_000 });
    let wake = (): void => {};
    const until = new Promise<void>((resolve) => {
      wake = resolve;
    });
    faulty.inject(logPut, { kind: 'lose-answer' });
    faulty.inject(logPut, { kind: 'delay', until });
    const asleep = old.commitBatch(batch(1));
    // Meanwhile another driver takes over and announces a floor, but has not raised it when the sleeper wakes up.
    const young = await takeOver(store, clock, 2, policy);
    for (let id = 2; id <= 20; id++) {
      clock.advanceBy(1000);
      await young.commitBatch(batch(id));
      if (young.manifestDue() !== undefined) await young.writeManifest([]);
    }
    wake();
    await asleep;
    await young.retain();
    expect(await names(store, 'log/')).not.toContain(logName(3));
    await expect(old.commitBatch(batch(2))).rejects.toThrow(/cleaned away while this driver was silent/);
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(20);
  });

  it('row 12: between the refusal of a record and a look at its slot > is fenced, though its late bytes stand there', async () => {
    const { clock, store, faulty } = setup();
    const old = await takeOver(faulty, clock, 1, { ...policy, commitTimeoutMs: 1_000_000 });
    const young = await MiniDriver.start(store, clock, 2, policy);
    const [late, wake] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const landed = Promise.withResolvers<void>();
    faulty.inject(logPut, { kind: 'apply-late', until: late.promise, applied: () => landed.resolve() });
    faulty.inject({ type: 'get', name: /^log\// }, { kind: 'delay', until: wake.promise });
    const asleep = old.commitBatch(batch(1));
    for (let i = 0; i < 30; i++) {
      clock.advanceBy(1000);
      await young.runBatch();
    }
    expect(await names(store, 'log/')).not.toContain(logName(2));
    late.resolve();
    await landed.promise;
    expect(await names(store, 'log/')).toContain(logName(2));
    wake.resolve();
    await expect(asleep).rejects.toThrow(/cleaned away while this driver was silent/);
  });

  it('row 12: between its read and its fence > takes over the stream as it is now', async () => {
    const { clock, store } = setup();
    await MiniDriver.start(store, clock, 1, policy);
    const found = await readCheckpoint(store);
    const young = await MiniDriver.start(store, clock, 2, policy);
    for (let i = 0; i < 30; i++) {
      clock.advanceBy(1000);
      await young.runBatch();
    }
    const late = await CheckpointLog.takeOver(store, found, fence, optionsWith(clock, 3, policy));
    expect(late.status.lastBatch?.batchId).toBe(30);
    await expect(young.runBatch()).rejects.toThrow(code('FENCED'));
    await late.commitBatch(batch(31));
  });

  it('loading state > is told that another driver went on, not that objects are damaged', async () => {
    const { clock, store } = setup();
    const first = await MiniDriver.start(store, clock, 1, policy);
    for (let i = 0; i < 10; i++) await first.runBatch();
    const found = (await readCheckpoint(store))!;
    for (let i = 0; i < 30; i++) {
      clock.advanceBy(1000);
      await first.runBatch();
    }
    await expect(found.loadState(() => {})).rejects.toThrow(code('FENCED'));
  });
});

describe('retention', () => {
  const policy = { manifestEveryRecords: 4, silenceThresholdMs: 1000 };

  it.each(['retention:floor-raised', 'retention:half-deleted'] as const)(
    'row 20: crash at %s > the next driver finishes it',
    async (point) => {
      const { clock, store } = setup();
      const driver = await MiniDriver.start(store, clock, 1, { ...policy, crashHook: crashAt(point) });
      const crash = async (): Promise<void> => {
        for (let i = 0; i < 40; i++) {
          clock.advanceBy(1000);
          await driver.runBatch();
        }
      };
      await expect(crash()).rejects.toThrow(Crash);
      const next = await MiniDriver.start(store, clock, 2, policy);
      for (let i = 0; i < 20; i++) {
        clock.advanceBy(1000);
        await next.runBatch();
      }
      const floor = (await readFloor(store)).value;
      expect(floor).toBeGreaterThan(0);
      expect((await names(store, 'log/'))[0]).toBe(logName(floor + 1));
      expect((await names(store, 'man/')).length).toBeLessThan(6);
    },
  );

  it.each([1, 2, 5])('keeps %i manifests and what they need', async (retainManifests) => {
    const { clock, store } = setup();
    const driver = await MiniDriver.start(store, clock, 1, { ...policy, retainManifests, silenceThresholdMs: 0 });
    for (let i = 0; i < 60; i++) {
      clock.advanceBy(1000);
      await driver.runBatch();
    }
    // With one kept, the older one stays until the next is adopted: the floor is chosen before it is known to be.
    const kept = Math.max(retainManifests, 2);
    const manifests = await names(store, 'man/');
    const { value: floor } = await readFloor(store);
    expect(manifests).toHaveLength(kept);
    expect(manifests[0]).toContain(String(floor).padStart(20, '0'));
  });

  it('keeps what is younger than twice the silence threshold', async () => {
    const { clock, store } = setup();
    const driver = await MiniDriver.start(store, clock, 1, { ...policy, silenceThresholdMs: 1_000_000 });
    for (let i = 0; i < 100; i++) {
      clock.advanceBy(1000);
      await driver.runBatch();
    }
    expect((await names(store, 'log/')).length).toBe(101);
    expect(await names(store, 'gc/')).toEqual([]);
  });

  it('deletes nothing when the floor cannot be raised', async () => {
    const { clock, faulty } = setup();
    const driver = await MiniDriver.start(faulty, clock, 1, policy);
    faulty.inject({ type: 'put', name: /^gc\/floor$/, times: 1000 }, { kind: 'lose-request' });
    for (let i = 0; i < 40; i++) {
      clock.advanceBy(1000);
      await driver.runBatch();
    }
    expect((await names(faulty, 'log/')).length).toBe(41);
  });

  it('reports what the store refuses to delete and goes on', async () => {
    const { clock, store } = setup();
    const refusing = viewOf(store, { delete: async (refused) => ({ refused, serverTimeMs: clock.now() }) });
    const log = await takeOver(refusing, clock, 1, { ...policy, manifestEveryRecords: 1, retainManifests: 1 });
    let refused = 0;
    for (let id = 1; id <= 10; id++) {
      clock.advanceBy(1000);
      await log.commitBatch(batch(id));
      await log.writeManifest([]);
      const report = await log.retain();
      refused += report.refused.length;
      expect(report.deleted).toBe(0);
    }
    expect(refused).toBeGreaterThan(0);
  });
});

describe('an outage', () => {
  it('row 27: of credentials in mid-stream is waited out', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1);
    const expired = new TidemarkError('CREDENTIALS_INVALID', 'the token has expired');
    faulty.inject({ ...logPut, times: 6 }, { kind: 'fail', error: expired });
    await log.commitBatch(batch(1));
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(1);
  });

  it('of permissions at the start is told at once', async () => {
    const { clock, faulty } = setup();
    faulty.inject(
      { ...logPut, times: 1000 },
      { kind: 'fail', error: new TidemarkError('STORE_FORBIDDEN', 'no write') },
    );
    const startedMs = clock.now();
    await expect(takeOver(faulty, clock, 1)).rejects.toThrow(code('STORE_FORBIDDEN'));
    expect(clock.now()).toBe(startedMs);
  });

  it('row 27: while the occupant of a slot is read is no false fence', async () => {
    const { clock, store, faulty } = setup();
    const log = await takeOver(faulty, clock, 1);
    await takeOver(store, clock, 2);
    faulty.inject({ type: 'get', name: /^log\//, times: 4 }, { kind: 'fail' });
    await expect(log.commitBatch(batch(1))).rejects.toThrow(code('FENCED'));
  });
});

describe('a slot with another content of the own epoch', () => {
  it('is a bug of this process, and said so', async () => {
    const { clock, store } = setup();
    const log = await takeOver(store, clock, 1);
    const { bytes } = encodeRecord({
      kind: 'drain',
      slot: 2,
      epoch: 1,
      driverId: 'a'.repeat(32),
      commitId: 'b'.repeat(32),
      previousHash: 'c'.repeat(64),
      links: { manifest: undefined, previousFence: 1, floor: 0 },
      receipts: [],
    });
    await store.putIfAbsent(logName(2), bytes, 'b'.repeat(32));
    await expect(log.commitBatch(batch(1))).rejects.toThrow(code('INTERNAL'));
  });
});

describe('options', () => {
  it('outside their range are named with what is accepted', () => {
    const clock = new JumpingClock();
    const settings = (more: object) => () => checkpointSettings(optionsWith(clock, 1, more));
    expect(settings({ manifestEveryRecords: 0 })).toThrow(/manifestEveryRecords is 0; give a whole number from 1 to/);
    expect(settings({ compactionAlpha: Number.NaN })).toThrow(/compactionAlpha is NaN; give a number from 0 to 100/);
  });
});
