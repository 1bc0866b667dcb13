import { describe, expect, it } from 'vitest';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { batch, CounterState, fence, JumpingClock, loadCounters, optionsWith } from './support.ts';

const clock = new JumpingClock();
const options = (seed = 1, more = {}) => optionsWith(clock, seed, more);

async function names(store: MemoryStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list('')) found.push(name);
  return found;
}

describe('a new stream', () => {
  it('reads as nothing before the first driver', async () => {
    const store = new MemoryStore({ clock });
    expect(await readCheckpoint(store)).toBeUndefined();
    expect(await names(store)).toEqual([]);
  });

  it('is created with a format, a fence and a hint', async () => {
    const store = new MemoryStore({ clock });
    const log = await CheckpointLog.takeOver(store, undefined, fence, options());
    expect(await names(store)).toEqual(['format', 'hint', 'log/00000000000000000001']);
    expect(log.epoch).toBe(1);
    expect(log.status).toMatchObject({
      tailSlot: 1,
      epoch: 1,
      zeroTimeMs: 500,
      graph: fence.graph,
      lastBatch: undefined,
    });
    expect(log.recovered.status).toMatchObject({ tailSlot: 0, epoch: 0, graph: undefined });
  });
});

describe('a committed batch', () => {
  it('comes back with everything it carried', async () => {
    const store = new MemoryStore({ clock });
    const log = await CheckpointLog.takeOver(store, undefined, fence, options());
    const plan = {
      batchId: 2,
      batchTimeMs: 2500,
      sources: { in: { partitions: [[10, 20]], position: 20, records: 10 } },
    };
    const state = new CounterState('count');
    const commit = batch(1, {
      deltas: [state.set({ a: 1, b: 2 }), { uid: 'idle', bytes: new Uint8Array(0), fingerprint: 'empty' }],
      handles: [{ uid: 'out', batchId: 1, batchTimeMs: 1500, handle: { staged: ['x'] } }],
      plan,
    });
    expect(await log.commitBatch(commit)).toMatchObject({ slot: 2, segments: 0 });

    const found = (await readCheckpoint(store))!;
    expect(found.status).toEqual(log.status);
    expect(found.status).toMatchObject({
      lastBatch: { batchId: 1, batchTimeMs: 1500 },
      positions: commit.positions,
      plan,
      unpublished: commit.handles,
      fingerprints: { count: state.fingerprint(), idle: 'empty' },
    });
    const states = await loadCounters(found);
    expect([...states.keys()]).toEqual(['count']);
    expect(states.get('count')!.values).toEqual(state.values);
  });

  it.each([
    ['in the record', 4096],
    ['in segments', 0],
  ])('keeps the rows of outputs %s, and a handle waits together with its rows', async (_where, inlineBytesMax) => {
    const store = new MemoryStore({ clock });
    const log = await CheckpointLog.takeOver(
      store,
      undefined,
      fence,
      options(1, { inlineBytesMax, segmentBytesMax: 3 }),
    );
    const state = new CounterState('count');
    const bytes = new TextEncoder().encode('some rows');
    const handle = { uid: 'out', batchId: 1, batchTimeMs: 1500, handle: 'h' };
    const outputs = [
      { uid: 'feed', bytes: new Uint8Array(0) },
      { uid: 'out', bytes },
    ];
    await log.commitBatch(batch(1, { deltas: [state.set({ a: 1 })], handles: [handle], outputs }));
    const next = await CheckpointLog.takeOver(store, await readCheckpoint(store), fence, options(2));
    const [open] = next.status.unpublished;
    expect(open).toMatchObject(handle);
    expect(Buffer.from(await next.readContent(open!.rows!)).toString()).toBe('some rows');
    expect((await loadCounters(next.recovered)).get('count')!.values).toEqual(state.values);
    await next.commitBatch(batch(2, { receipts: [{ uid: 'out', batchId: 1 }] }));
    expect(next.status.unpublished).toEqual([]);
  });

  it('takes receipts out of the unpublished handles', async () => {
    const store = new MemoryStore({ clock });
    const log = await CheckpointLog.takeOver(store, undefined, fence, options());
    const handle = { uid: 'out', batchId: 1, batchTimeMs: 1500, handle: 1 };
    await log.commitBatch(batch(1, { handles: [handle] }));
    await log.commitBatch(batch(2, { receipts: [{ uid: 'out', batchId: 1 }] }));
    expect((await readCheckpoint(store))!.status.unpublished).toEqual([]);
    await expect(log.commitBatch(batch(3, { receipts: [{ uid: 'out', batchId: 1 }] }))).rejects.toThrow(
      expect.objectContaining({ code: 'INTERNAL' }),
    );
  });

  it('puts deltas beyond the inline limit into segments and reads them back', async () => {
    const store = new MemoryStore({ clock });
    const more = { inlineBytesMax: 100, segmentBytesMax: 300 };
    const log = await CheckpointLog.takeOver(store, undefined, fence, options(1, more));
    const deltas = ['a', 'b', 'c'].map((uid, index) => {
      return { uid, bytes: new Uint8Array(250).fill(index + 1), fingerprint: uid };
    });
    const receipt = await log.commitBatch(batch(1, { deltas }));
    expect(receipt.segments).toBe(3);
    expect((await names(store)).filter((name) => name.startsWith('seg/'))).toHaveLength(3);
    const loaded: unknown[] = [];
    const found = (await readCheckpoint(store))!;
    await found.loadState((uid, bytes, sinceManifest) => loaded.push([uid, [...bytes], sinceManifest]));
    expect(loaded).toEqual(deltas.map(({ uid, bytes }) => [uid, [...bytes], true]));
  });
});

describe('calls', () => {
  it('may overlap, and are recorded in their order', async () => {
    const store = new MemoryStore({ clock });
    const log = await CheckpointLog.takeOver(store, undefined, fence, options());
    const first = log.commitBatch(batch(1));
    await expect(log.commitBatch(batch(3))).rejects.toThrow(/can't follow batch 1/);
    const second = log.commitBatch(batch(2));
    const drained = log.drain([]);
    await expect(Promise.all([first, second, drained])).resolves.toMatchObject([{ slot: 2 }, { slot: 3 }, undefined]);
    expect((await readCheckpoint(store))!.status).toMatchObject({ drained: true, tailSlot: 4 });
  });

  it('end with a drain, which the next driver sees', async () => {
    const store = new MemoryStore({ clock });
    const log = await CheckpointLog.takeOver(store, undefined, fence, options());
    const handle = { uid: 'out', batchId: 1, batchTimeMs: 1500, handle: 1 };
    await log.commitBatch(batch(1, { handles: [handle] }));
    await log.drain([{ uid: 'out', batchId: 1 }]);
    await expect(log.commitBatch(batch(2))).rejects.toThrow(/drained/);
    const found = (await readCheckpoint(store))!;
    expect(found.status).toMatchObject({ drained: true, unpublished: [] });
    const next = await CheckpointLog.takeOver(store, found, { ...fence, zeroTimeMs: 9 }, options(2));
    expect(next.recovered.status.drained).toBe(true);
    expect(next.status).toMatchObject({ drained: false, zeroTimeMs: 500, epoch: 4 });
  });

  it('record a plan in a record of its own, which survives the next fence', async () => {
    const store = new MemoryStore({ clock });
    const log = await CheckpointLog.takeOver(store, undefined, fence, options());
    const plan = { batchId: 1, batchTimeMs: 1500, sources: { in: 'ranges' } };
    await log.recordPlan(plan);
    await expect(log.recordPlan(plan)).rejects.toThrow(/must be used/);
    const next = await CheckpointLog.takeOver(store, await readCheckpoint(store), fence, options(2));
    expect(next.status.plan).toEqual(plan);
    await next.commitBatch(batch(1));
    expect(next.status.plan).toBeUndefined();
  });
});

describe('a newer driver', () => {
  it('fences the older one at its next commit', async () => {
    const store = new MemoryStore({ clock });
    const old = await CheckpointLog.takeOver(store, undefined, fence, options(1));
    await old.commitBatch(batch(1));
    const young = await CheckpointLog.takeOver(store, await readCheckpoint(store), fence, options(2));
    const refused = expect.objectContaining({ code: 'FENCED', message: expect.stringContaining('epoch 3') });
    await expect(old.commitBatch(batch(2))).rejects.toThrow(refused);
    await expect(old.drain([])).rejects.toThrow(refused);
    await young.commitBatch(batch(2));
    expect((await readCheckpoint(store))!.status).toMatchObject({ epoch: 3, lastBatch: { batchId: 2 } });
  });

  it('goes on from what the older one committed after the read', async () => {
    const store = new MemoryStore({ clock });
    const old = await CheckpointLog.takeOver(store, undefined, fence, options(1));
    const found = await readCheckpoint(store);
    const state = new CounterState('count');
    for (let id = 1; id <= 40; id++) await old.commitBatch(batch(id, { deltas: [state.set({ [`k${id}`]: id })] }));
    const young = await CheckpointLog.takeOver(store, found, fence, options(2));
    expect(young.status).toMatchObject({ epoch: 42, lastBatch: { batchId: 40 } });
    expect((await loadCounters(young.recovered)).get('count')!.values).toEqual(state.values);
  });

  it('is refused by the check before anything is written', async () => {
    const store = new MemoryStore({ clock });
    const old = await CheckpointLog.takeOver(store, undefined, fence, options(1));
    const before = await names(store);
    const takeOver = CheckpointLog.takeOver(store, await readCheckpoint(store), fence, options(2), (status) => {
      throw new Error(`graph ${JSON.stringify(status.graph)}`);
    });
    await expect(takeOver).rejects.toThrow('graph {"outputs":["a"]}');
    expect(await names(store)).toEqual(before);
    await old.commitBatch(batch(1));
  });
});
