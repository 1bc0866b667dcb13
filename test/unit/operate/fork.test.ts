import { describe, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { inspectCheckpoint } from '../../../src/inspect/inspect-checkpoint.ts';
import { listOperators, listState } from '../../../src/inspect/state-queries.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { forkStream } from '../../../src/operate/fork-stream.ts';
import { createSavepoint } from '../../../src/operate/savepoints.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { errorOf } from '../engine/support.ts';
import { everything, objectsOf, Run, recordsOnly } from '../inspect/support.ts';

let places = 0;

function newPlace({ clock }: Run): MemoryStore {
  places += 1;
  return new MemoryStore({ name: `fork-${places}`, clock });
}

describe.each([
  ['records only', recordsOnly],
  ['segments, manifests and a floor', everything],
])('a fork of a stream of %s', (_name, checkpoint) => {
  test.each([
    ['its last batch', undefined, 31],
    ['an earlier batch', 30, 30],
    ['a moment', new Date(28_500), 29],
  ])('at %s goes on as the parent did, without the parent', async (_what, at, batchId) => {
    const parent = new Run();
    await parent.to(30_000, { ...checkpoint, retainManifests: 4 });
    const before = await objectsOf(parent.store);
    const child = new Run(newPlace(parent));
    const report = await forkStream(parent.store, child.store, { at, clock: parent.clock });
    expect(report).toMatchObject({ batchId, batchTimeMs: (batchId - 1) * 1000, freshInputs: [] });
    expect(report.streamId).not.toBe(report.parentStreamId);
    expect(await objectsOf(parent.store)).toEqual(before);
    expect((await verifyCheckpoint(child.store)).findings).toEqual([]);
    expect(await listOperators(child.store)).toEqual(await listOperators(parent.store, { batchId }));
    expect(await listState(child.store, 'recent')).toEqual(await listState(parent.store, 'recent', { batchId }));

    // The parent goes, and the fork runs to where an uninterrupted stream would be.
    await parent.store.delete([...before.keys()]);
    child.clock.advanceTo((batchId - 1) * 1000);
    await child.to(60_000, checkpoint);
    expect((await verifyCheckpoint(child.store)).findings).toEqual([]);
    const straight = new Run();
    await straight.to((batchId - 1) * 1000, checkpoint);
    await straight.to(60_000, checkpoint);
    const [end, expected] = [await inspectCheckpoint(child.store), await inspectCheckpoint(straight.store)];
    expect(end.stream.lastBatch).toEqual(expected.stream.lastBatch);
    expect(end.sources).toEqual(expected.sources);
    expect(end.operators.map(({ uid, fingerprint }) => [uid, fingerprint])).toEqual(
      expected.operators.map(({ uid, fingerprint }) => [uid, fingerprint]),
    );
  });
});

test('records and segments that the parent cleans away while the fork is written are not missed', async () => {
  const run = new Run();
  await run.to(30_000, { ...everything, retainManifests: 4 });
  const gone = [...(await objectsOf(run.store)).keys()].filter((name) => /^(log|seg)\//.test(name));
  expect(gone.some((name) => name.startsWith('seg/'))).toBe(true);
  const expected = await listState(run.store, 'recent', { batchId: 30 });
  const place = newPlace(run);
  const target = new Proxy(place, {
    get(store, property) {
      const member: unknown = Reflect.get(store, property, store);
      if (property !== 'putIfAbsent') return typeof member === 'function' ? member.bind(store) : member;
      return async (...put: Parameters<MemoryStore['putIfAbsent']>) => {
        await run.store.delete(gone);
        return store.putIfAbsent(...put);
      };
    },
  });
  await forkStream(run.store, target, { at: 30, clock: run.clock });
  expect((await verifyCheckpoint(place)).findings).toEqual([]);
  expect(await listState(place, 'recent')).toEqual(expected);
});

test('a savepoint far below the floor can be forked', async () => {
  const run = new Run();
  await run.to(8_000, everything);
  await createSavepoint(run.store, { name: 'early', clock: run.clock });
  await run.to(90_000, everything);
  expect((await errorOf(forkStream(run.store, newPlace(run), { at: 8 }))).code).toBe('BATCH_NOT_RETAINED');
  const child = newPlace(run);
  expect(await forkStream(run.store, child, { at: 'early' })).toMatchObject({ batchId: 9, batchTimeMs: 8_000 });
  const sums = await listState(child, 'sums');
  expect(sums.entries.find(({ key }) => key === 'every')?.value).toEqual({ sum: 8, n: 8 });
});

test('a place that is not empty is refused', async () => {
  const run = new Run();
  await run.to(5_000, recordsOnly);
  const other = newPlace(run);
  await other.putIfAbsent('a', Buffer.from('b'), '0'.repeat(32));
  expect((await errorOf(forkStream(run.store, other))).code).toBe('CHECKPOINT_EXISTS');
});

test('what a fork left that died anywhere is never taken for a stream', async () => {
  const run = new Run();
  await run.to(30_000, everything);
  let step = 0;
  for (let deadAt = 1; deadAt < 60; deadAt++) {
    const child = newPlace(run);
    step = 0;
    const dying = new Proxy(child, {
      get: (store, property) => {
        const member = Reflect.get(store, property, store) as unknown;
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => {
          const isWrite = property === 'putIfAbsent' || property === 'compareAndSwap';
          if (isWrite && ++step >= deadAt) throw new TidemarkError('CANCELLED', 'dead');
          return (member as (...all: unknown[]) => unknown).apply(store, args);
        };
      },
    });
    const outcome = await forkStream(run.store, dying, { clock: run.clock }).then(
      () => 'done',
      () => 'died',
    );
    if (outcome === 'done') break;
    // The hint is advisory: without it the fork is whole.
    const found = await readCheckpoint(child).catch((error: Error & { code?: string }) => error.code);
    expect(found === undefined || found === 'CHECKPOINT_CORRUPT', `after write ${deadAt - 1}`).toBe(true);
  }
  expect(step).toBeGreaterThan(5);
});
