import { describe, expect, it, vi } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import type { LogRecord } from '../../../src/checkpoint/log-record.ts';
import { logName } from '../../../src/checkpoint/object-names.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { decodeRecord } from '../../../src/checkpoint/record-codec.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { batch, CounterState, fence, JumpingClock, loadCounters, optionsWith } from './support.ts';

async function setup(more = {}): Promise<{ store: MemoryStore; faulty: FaultyStore; log: CheckpointLog }> {
  const clock = new JumpingClock();
  const store = new MemoryStore({ clock });
  const faulty = new FaultyStore(store);
  const log = await CheckpointLog.takeOver(faulty, undefined, fence, optionsWith(clock, 1, more));
  return { store, faulty, log };
}

/** Holds back the next write of a name until `release`. */
function hold(faulty: FaultyStore, name: RegExp): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  faulty.inject({ type: 'put', name }, { kind: 'delay', until: promise });
  return resolve;
}

async function recordAt(store: MemoryStore, slot: number): Promise<LogRecord> {
  const outcome = await store.get(logName(slot));
  if (outcome.status !== 'found') throw new Error(`no record ${slot}`);
  return decodeRecord(slot, outcome.bytes).record;
}

async function batchesAt(store: MemoryStore, slot: number): Promise<readonly number[]> {
  const record = await recordAt(store, slot);
  return record.kind === 'batch' ? record.batches.map(({ batchId }) => batchId) : [];
}

const delta = (uid: string, bytes: number) => ({ uid, bytes: new Uint8Array(bytes), fingerprint: `${bytes}` });

describe('batches handed in while a record is on its way', () => {
  it('become one record, with one put', async () => {
    const { store, faulty, log } = await setup();
    const state = new CounterState('count');
    const release = hold(faulty, /^log\//);
    const putsBefore = store.operations.snapshot().put.requests;
    const commits = [1, 2, 3, 4].map((id) => {
      const deltas = [state.set({ [`k${id % 2}`]: id })];
      const handles = [{ uid: 'out', batchId: id, batchTimeMs: id, handle: id }];
      return log.commitBatch(batch(id, { deltas, handles }));
    });
    release();
    const receipts = await Promise.all(commits);
    expect(receipts.map(({ slot, batches }) => [slot, batches])).toEqual([
      [2, 1],
      [3, 3],
      [3, 3],
      [3, 3],
    ]);
    expect(receipts.map(({ bytes }) => bytes > 0)).toEqual([true, true, false, false]);
    expect(store.operations.snapshot().put.requests - putsBefore).toBe(2);
    expect(await batchesAt(store, 3)).toEqual([2, 3, 4]);
    const found = (await readCheckpoint(store))!;
    expect(found.status).toEqual(log.status);
    expect(found.status).toMatchObject({ lastBatch: { batchId: 4 }, positions: { in: { next: 40 } } });
    expect(found.status.unpublished.map(({ batchId }) => batchId)).toEqual([1, 2, 3, 4]);
    expect((await loadCounters(found)).get('count')!.values).toEqual(state.values);
  });

  it('are cut where their inline bytes exceed the limit', async () => {
    const { store, faulty, log } = await setup({ inlineBytesMax: 100 });
    const release = hold(faulty, /^log\//);
    const commits = [1, 2, 3, 4].map((id) => log.commitBatch(batch(id, { deltas: [delta('a', 40)] })));
    release();
    await Promise.all(commits);
    expect(await batchesAt(store, 3)).toEqual([2, 3]);
    expect(await batchesAt(store, 4)).toEqual([4]);
  });

  it('are cut at a batch that carries a plan', async () => {
    const { store, faulty, log } = await setup();
    const release = hold(faulty, /^log\//);
    const plan = { batchId: 4, batchTimeMs: 1, sources: { in: 1 } };
    const commits = [1, 2, 3, 4].map((id) => log.commitBatch(batch(id, id === 3 ? { plan } : {})));
    release();
    await Promise.all(commits);
    expect(await batchesAt(store, 3)).toEqual([2, 3]);
    expect(await recordAt(store, 3)).toMatchObject({ plan });
    expect(await batchesAt(store, 4)).toEqual([4]);
  });

  it('have their segments uploaded meanwhile', async () => {
    const { store, faulty, log } = await setup({ inlineBytesMax: 100 });
    const release = hold(faulty, /^log\//);
    const commits = [log.commitBatch(batch(1)), log.commitBatch(batch(2, { deltas: [delta('a', 200)] }))];
    const segments = async () => {
      for await (const { name } of store.list('seg/')) return name;
      return undefined;
    };
    await vi.waitFor(async () => expect(await segments()).toBeDefined());
    expect(await store.get(logName(2))).toMatchObject({ status: 'missing' });
    release();
    await Promise.all(commits);
  });

  it('do not wait for the segments of a batch behind them', async () => {
    const { store, faulty, log } = await setup({ inlineBytesMax: 100 });
    const releaseFirst = hold(faulty, /^log\//);
    const releaseSegment = hold(faulty, /^seg\//);
    const first = log.commitBatch(batch(1));
    const second = log.commitBatch(batch(2));
    const large = log.commitBatch(batch(3, { deltas: [delta('a', 200)] }));
    const after = log.commitBatch(batch(4));
    releaseFirst();
    await first;
    await second;
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(2);
    releaseSegment();
    expect((await large).slot).toBe(4);
    expect((await after).slot).toBe(4);
    const names: string[] = [];
    for await (const { name } of store.list('seg/')) names.push(name);
    // The record could have been number 4 at the latest, had nothing been grouped.
    expect(names).toHaveLength(1);
    expect(names[0]).toContain(`-${'4'.padStart(20, '0')}-`);
  });

  it('end at the batch a manifest describes, and the manifest is of exactly that batch', async () => {
    const { store, faulty, log } = await setup({ manifestEveryRecords: 2 });
    const state = new CounterState('count');
    const set = (id: number) => batch(id, { deltas: [state.set({ [`k${id}`]: id })] });
    const release = hold(faulty, /^log\//);
    const commits = [log.commitBatch(set(1)), log.commitBatch(set(2)), log.commitBatch(set(3))];
    expect(log.manifestDue()).toEqual(new Map([['count', 'base']]));
    const uploaded = log.writeManifest([state.extent('base')]);
    state.manifestWritten();
    expect(log.manifestDue()).toBeUndefined();
    commits.push(log.commitBatch(set(4)), log.commitBatch(set(5)));
    release();
    await Promise.all(commits);
    await uploaded;
    expect(await batchesAt(store, 3)).toEqual([2, 3]);
    expect(await batchesAt(store, 4)).toEqual([4, 5]);
    await log.commitBatch(set(6));
    const found = (await readCheckpoint(store))!;
    // Of slot 3: the records of batches 4, 5 and of batch 6 are read on top.
    expect(found.recordsRead).toBe(2);
    expect((await loadCounters(found)).get('count')!.values).toEqual(state.values);
  });

  it('and receipts of the same handle are refused the second time', async () => {
    const { faulty, log } = await setup();
    const receipts = [{ uid: 'out', batchId: 1 }];
    await log.commitBatch(batch(1, { handles: [{ uid: 'out', batchId: 1, batchTimeMs: 1, handle: 1 }] }));
    const release = hold(faulty, /^log\//);
    const second = log.commitBatch(batch(2));
    const third = log.commitBatch(batch(3, { receipts }));
    await expect(log.commitBatch(batch(4, { receipts }))).rejects.toThrow(/no open handle/);
    const fourth = log.commitBatch(batch(4));
    release();
    await Promise.all([second, third, fourth]);
    expect(log.status).toMatchObject({ lastBatch: { batchId: 4 }, unpublished: [] });
  });
});

describe('a record that cannot be written', () => {
  it('row 16: takes all that waits behind it with it, and the log stays closed', async () => {
    const { store, faulty, log } = await setup();
    const young = async () => {
      await CheckpointLog.takeOver(store, await readCheckpoint(store), fence, optionsWith(new JumpingClock(), 2));
    };
    const release = hold(faulty, /^log\//);
    const commits = [1, 2, 3].map((id) => log.commitBatch(batch(id)));
    const uploaded = expect(log.drain([])).rejects.toMatchObject({ code: 'FENCED' });
    await young();
    release();
    for (const commit of commits) await expect(commit).rejects.toMatchObject({ code: 'FENCED' });
    await uploaded;
    await expect(log.commitBatch(batch(4))).rejects.toMatchObject({ code: 'FENCED' });
    expect((await readCheckpoint(store))!.status).toMatchObject({ epoch: 2, lastBatch: undefined });
  });

  it('because its segments were not stored > leaves the ids as they were', async () => {
    const { store, faulty, log } = await setup({ inlineBytesMax: 10 });
    faulty.inject({ type: 'put', name: /^seg\// }, { kind: 'fail', error: new TidemarkError('CANCELLED', 'x') });
    const large = batch(1, { deltas: [delta('a', 20)] });
    const first = log.commitBatch(large);
    const second = log.commitBatch(batch(2));
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(second).rejects.toMatchObject({ code: 'CANCELLED' });
    await Promise.all([log.commitBatch(large), log.commitBatch(batch(2))]);
    expect((await readCheckpoint(store))!.status.lastBatch?.batchId).toBe(2);
  });

  it('ends a manifest that was to describe a batch behind it', async () => {
    const { faulty, log } = await setup({ inlineBytesMax: 10, manifestEveryRecords: 1 });
    faulty.inject({ type: 'put', name: /^seg\// }, { kind: 'fail', error: new TidemarkError('CANCELLED', 'x') });
    const first = log.commitBatch(batch(1, { deltas: [delta('a', 20)] }));
    const uploaded = log.writeManifest([delta('a', 20)].map((extent) => ({ ...extent, kind: 'base' as const })));
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(uploaded).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(log.commitBatch(batch(1))).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});
