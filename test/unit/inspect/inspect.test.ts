import { expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { inspectCheckpoint } from '../../../src/inspect/inspect-checkpoint.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { errorOf, Shelf } from '../engine/support.ts';
import { defineProgram, everything, objectsOf, Run, recordsOnly } from './support.ts';

test('tells of a stream what its log says', async () => {
  const run = new Run();
  await run.to(50_000, everything);
  await run.to(60_000, everything);
  const report = await inspectCheckpoint(run.store, { records: 12 });
  const { status } = (await readCheckpoint(run.store))!;
  const objects = await objectsOf(run.store);

  expect(report.stream).toMatchObject({
    streamId: status.streamId,
    generation: 0,
    epoch: status.epoch,
    tailSlot: status.tailSlot,
    lastBatch: { batchId: 61, batchTimeMs: 60_000 },
    batchIntervalMs: 1000,
    zeroTimeMs: 0,
  });
  expect(report.stream.floor).toBeGreaterThan(0);
  expect(report.records.map(({ slot }) => slot)).toEqual(
    Array.from({ length: 12 }, (_, index) => status.tailSlot - 11 + index),
  );
  for (const { slot, bytes } of report.records) {
    expect(objects.get(`log/${String(slot).padStart(20, '0')}`)?.length).toBe(bytes);
  }
  expect(new Set(report.records.map(({ kind }) => kind))).toContain('plan');
  expect(report.records.filter(({ adopts }) => adopts !== undefined).length).toBeGreaterThan(1);
  expect(report.operators.map(({ uid, operator }) => [uid, operator])).toEqual([
    ['sums', 'updateStateByKey'],
    ['latest', 'mapWithState'],
    ['recent', 'reduceByKeyAndWindow'],
  ]);
  expect(report.operators.every(({ keys, baseBytes }) => keys > 0 && baseBytes > 0)).toBe(true);
  expect(report.sources).toEqual([
    expect.objectContaining({ uid: 'pairs', kind: 'memory-topic', position: status.positions.pairs }),
  ]);
  expect(report.manifests.map(({ inForce }) => inForce)).toEqual([...report.manifests.slice(1).map(() => false), true]);
  expect(report.objects.reduce((sum, { count }) => sum + count, 0)).toBe(objects.size);
  expect(report.objects.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(
    [...objects.values()].reduce((sum, bytes) => sum + bytes.length, 0),
  );
});

test('lists committed output that was not published', async () => {
  const run = new Run();
  const shelf = new Shelf();
  const driven = await run.start(recordsOnly, (ssc) => defineProgram(ssc, shelf.sink()));
  await driven.runTo(4_000);
  shelf.failPublish = new Error('the shelf is full');
  await driven.runTo(7_000).catch(() => {});
  await driven.context.stop();
  const { unpublished, stream } = await inspectCheckpoint(run.store);
  expect(unpublished.at(-1)).toMatchObject({
    uid: 'out',
    description: 'shelf shelf',
    batchId: stream.lastBatch!.batchId,
  });
});

test('lists as many records as it is asked for, and there are', async () => {
  const run = new Run();
  await run.to(5_000, recordsOnly);
  expect((await inspectCheckpoint(run.store, { records: 3 })).records.length).toBe(3);
  const all = await inspectCheckpoint(run.store, { records: 1000 });
  expect(all.records.length).toBe(all.stream.tailSlot);
  expect(all.records[0]).toMatchObject({ kind: 'fence', slot: 1 });
  expect((await errorOf(Promise.resolve().then(() => inspectCheckpoint(run.store, { records: -1 })))).code).toBe(
    'OPTION_INVALID',
  );
});

test('changes nothing', async () => {
  const run = new Run();
  await run.to(30_000, everything);
  const before = await objectsOf(run.store);
  await inspectCheckpoint(run.store);
  expect(await objectsOf(run.store)).toEqual(before);
});

test('a place without a stream is an error', async () => {
  const error = await errorOf(inspectCheckpoint(new MemoryStore({ clock: new ManualClock(0) })));
  expect(error.code).toBe('CHECKPOINT_MISSING');
});
