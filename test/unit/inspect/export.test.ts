import { expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { exportCheckpoint } from '../../../src/inspect/export-checkpoint.ts';
import { exportPositions, writeBlobCheckpoints } from '../../../src/inspect/export-positions.ts';
import { inspectCheckpoint } from '../../../src/inspect/inspect-checkpoint.ts';
import { planCleaning } from '../../../src/inspect/plan-cleaning.ts';
import { diffState, listState } from '../../../src/inspect/state-queries.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ByteRange, GetOutcome } from '../../../src/storage/object-store.ts';
import { errorOf, Shelf } from '../engine/support.ts';
import { changed, defineProgram, everything, flipped, objectsOf, Run, recordsOnly, storeOf } from './support.ts';

let targets = 0;

function newTarget(clock = new ManualClock(0)): MemoryStore {
  targets += 1;
  return new MemoryStore({ name: `inspect-export-${targets}`, clock });
}

for (const [what, settings] of [
  ['records only', recordsOnly],
  ['segments, manifests and a floor', everything],
] as const) {
  test(`the copy of ${what} is the same stream, and goes on as the original would`, async () => {
    const run = new Run();
    const [shelf, copyShelf] = [new Shelf(), new Shelf()];
    await run.to(40_000, settings, (ssc) => defineProgram(ssc, shelf.sink()));
    const target = newTarget();
    const report = await exportCheckpoint(run.store, target);
    expect((await verifyCheckpoint(target)).orphans).toEqual([]);
    const [original, copy] = [await objectsOf(run.store), await objectsOf(target)];
    for (const [name, bytes] of copy)
      if (name !== 'hint' && name !== 'gc/floor') expect(original.get(name)).toEqual(bytes);
    expect(report.objects).toBe([...copy.keys()].filter((name) => name !== 'hint' && name !== 'gc/floor').length);

    const other = new Run(target, 40_000);
    await run.to(60_000, settings, (ssc) => defineProgram(ssc, shelf.sink()));
    await other.to(60_000, settings, (ssc) => defineProgram(ssc, copyShelf.sink()));
    const after = [...shelf.published].filter(([key]) => Number(key.split('@')[1]) > 40_000);
    expect(after.length).toBe(20);
    expect([...copyShelf.published]).toEqual(after);
    for (const uid of ['sums', 'latest', 'recent']) {
      expect((await listState(target, uid)).entries).toEqual((await listState(run.store, uid)).entries);
    }
    expect((await verifyCheckpoint(target)).findings).toEqual([]);
  });
}

test('a copy keeps the batches that can be compared', async () => {
  const run = new Run();
  await run.to(60_000, everything);
  const target = newTarget();
  await exportCheckpoint(run.store, target);
  expect(await diffState(target, 55, 60)).toEqual(await diffState(run.store, 55, 60));
});

test('a stream is copied whole while its driver goes on and cleans up', async () => {
  const run = new Run();
  const driven = await run.start(everything);
  await driven.runTo(30_000);
  let snapshotsRead = 0;
  /** The driver runs on for a while in the middle of the copy. */
  class BusyStore extends MemoryStore {
    override async get(name: string, range?: ByteRange): Promise<GetOutcome> {
      if (name.startsWith('snap/') && ++snapshotsRead === 1) await driven.runTo(45_000);
      return run.store.get(name, range);
    }
    override list(prefix: string, after?: string): ReturnType<MemoryStore['list']> {
      return run.store.list(prefix, after);
    }
  }
  const target = newTarget();
  const { tailSlot } = await exportCheckpoint(new BusyStore({ name: 'busy', clock: run.clock }), target);
  await driven.stop();
  const snapshotsCopied = [...(await objectsOf(target)).keys()].filter((name) => name.startsWith('snap/')).length;
  expect(snapshotsRead).toBeGreaterThan(snapshotsCopied); // it had to begin again
  expect((await inspectCheckpoint(target)).stream.tailSlot).toBe(tailSlot);
  expect((await verifyCheckpoint(target)).findings).toEqual([]);
});

test('what inputs keep is copied with the stream; that of an input the program has no more is listed by verify', async () => {
  const run = new Run();
  await run.to(5_000, recordsOnly);
  for (const name of ['source/pairs/log/1', 'source/gone/log/1', 'other/tool']) {
    await run.store.putIfAbsent(name, Buffer.from(name), 'a'.repeat(32));
  }
  const target = newTarget();
  await exportCheckpoint(run.store, target);
  const copied = await objectsOf(target);
  expect(Buffer.from(copied.get('source/pairs/log/1')!).toString()).toBe('source/pairs/log/1');
  expect(copied.has('source/gone/log/1')).toBe(true);
  expect(copied.has('other/tool')).toBe(false);
  const { findings, orphans } = await verifyCheckpoint(target);
  expect(findings).toEqual([]);
  expect(orphans.map(({ name }) => name)).toEqual(['source/gone/log/1']);
});

test('an input that removes its own while it is copied makes the export fail, and the copy goes', async () => {
  const run = new Run();
  await run.to(5_000, recordsOnly);
  const name = 'source/pairs/log/1';
  await run.store.putIfAbsent(name, Buffer.from('block'), 'a'.repeat(32));
  /** Lists what is gone when it is read. */
  class MovingStore extends MemoryStore {
    override get(object: string, range?: ByteRange): Promise<GetOutcome> {
      return object === name ? super.get(object) : run.store.get(object, range);
    }
    override list(prefix: string, after?: string): ReturnType<MemoryStore['list']> {
      return run.store.list(prefix, after);
    }
  }
  const target = newTarget();
  const error = await errorOf(exportCheckpoint(new MovingStore({ name: 'moving', clock: run.clock }), target));
  expect(error.code).toBe('FENCED');
  expect(error.message).toContain(name);
  expect((await objectsOf(target)).size).toBe(0);
});

test('a target that holds anything is refused, and stays as it is', async () => {
  const run = new Run();
  await run.to(5_000, recordsOnly);
  const target = newTarget();
  await target.putIfAbsent('notes', Buffer.from('mine'), 'a'.repeat(32));
  const error = await errorOf(exportCheckpoint(run.store, target));
  expect(error.code).toBe('CHECKPOINT_EXISTS');
  expect([...(await objectsOf(target)).keys()]).toEqual(['notes']);
});

test('a target inside of the source is refused', async () => {
  const clock = new ManualClock(0);
  const source = new MemoryStore({ name: 'inspect-apart', clock });
  await new Run(source).to(3_000, recordsOnly);
  const inside = new MemoryStore({ name: 'inspect-apart', prefix: 'copy', clock });
  expect((await errorOf(exportCheckpoint(source, inside))).code).toBe('OPTION_INVALID');
});

test('a damaged source is not copied, and nothing is left at the target', async () => {
  const run = new Run();
  await run.to(30_000, everything);
  const objects = await objectsOf(run.store);
  const { orphans } = await verifyCheckpoint(run.store);
  for (const prefix of ['log/', 'man/', 'snap/', 'seg/']) {
    const name = [...objects.keys()].findLast(
      (one) => one.startsWith(prefix) && !orphans.some((orphan) => orphan.name === one),
    )!;
    const target = newTarget();
    const missing = await storeOf(changed(objects, name, undefined));
    if (prefix !== 'log/') {
      expect((await errorOf(exportCheckpoint(missing, target))).context.object, name).toBe(name);
      expect([...(await objectsOf(target)).keys()], name).toEqual([]);
    }
    const damaged = await storeOf(changed(objects, name, flipped(objects.get(name)!, 0)));
    expect((await errorOf(exportCheckpoint(damaged, newTarget()))).code, name).toBe('CHECKPOINT_CORRUPT');
  }
});

test('positions are those of the last batch, with what they belong to', async () => {
  const run = new Run();
  await run.to(7_000, recordsOnly);
  const { sources, batchId } = await exportPositions(run.store);
  expect(batchId).toBe(8);
  expect(sources).toEqual([expect.objectContaining({ uid: 'pairs', kind: 'memory-topic', position: [6, 8] })]);
});

test('blobs for lag dashboards need an event hub, its namespace and a container', async () => {
  const run = new Run();
  await run.to(3_000, recordsOnly);
  const write = (fullyQualifiedNamespace: string, container: string): Promise<unknown> =>
    writeBlobCheckpoints(run.store, { fullyQualifiedNamespace, container });
  expect((await errorOf(write('contoso.servicebus.windows.net', 'az://lag'))).message).toContain('reads no event hub');
  expect((await errorOf(write('sb://contoso/', 'az://lag'))).message).toContain('contoso.servicebus.windows.net');
  expect((await errorOf(write('contoso.servicebus.windows.net', 'memory:lag'))).message).toContain('memory:lag');
});

test('the plan of cleaning is what the next cleaning does', async () => {
  const settings = { ...everything, silenceThresholdMs: 0 };
  const run = new Run();
  await run.to(40_000, settings);
  let compared = 0;
  const driven = await run.start(settings);
  for (let t = 41; t <= 60; t++) {
    const before = await objectsOf(run.store);
    const plan = await planCleaning(run.store, { silenceThresholdMs: 0 });
    expect(await objectsOf(run.store)).toEqual(before);
    await driven.runTo(t * 1000);
    const { stream } = await inspectCheckpoint(run.store);
    if (stream.floor === plan.floor) continue;
    // The driver cleans beside its batches: the floor is raised first, the deletes follow.
    let after = await objectsOf(run.store);
    for (let turn = 0; turn < 100 && plan.deletes.some(({ name }) => after.has(name)); turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      after = await objectsOf(run.store);
    }
    compared += 1;
    expect(stream.floor).toBe(plan.nextFloor);
    const gone = [...before.keys()].filter((name) => !after.has(name));
    const orphans = new Set(plan.orphans.map(({ name }) => name));
    expect(gone.filter((name) => !orphans.has(name)).toSorted()).toEqual(
      plan.deletes.map(({ name }) => name).toSorted(),
    );
  }
  await driven.stop();
  expect(compared).toBeGreaterThan(2);
});
