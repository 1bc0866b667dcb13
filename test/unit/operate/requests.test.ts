import { describe, expect, test } from 'vitest';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import type { Savepoint } from '../../../src/checkpoint/records.ts';
import { putRequest } from '../../../src/checkpoint/requests.ts';
import { listState } from '../../../src/inspect/state-queries.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { drainStream } from '../../../src/operate/drain-stream.ts';
import { statusOf } from '../../../src/operate/hold-stream.ts';
import { rewindStream } from '../../../src/operate/rewind-stream.ts';
import { createSavepoint, listSavepoints, removeSavepoint } from '../../../src/operate/savepoints.ts';
import { JumpingClock } from '../checkpoint/support.ts';
import { errorOf } from '../engine/support.ts';
import { everything, Run, recordsOnly } from '../inspect/support.ts';

const polling = { ...everything, requestPollMs: 2_000 };

async function requestCount(run: Run): Promise<number> {
  let count = 0;
  for await (const _ of run.store.list('req/')) count += 1;
  return count;
}

/** Waits for a request to be there, without a timer. */
async function requested(run: Run): Promise<void> {
  while ((await requestCount(run)) === 0) await new Promise((resolve) => setImmediate(resolve));
}

describe('a running driver', () => {
  test('makes a savepoint it is asked for, and the batch stays when the floor has passed it', async () => {
    const run = new Run();
    const driven = await run.start(polling);
    await driven.runTo(7_000);
    const asked = createSavepoint(run.store, { name: 'before-upgrade', timeoutMs: 60_000 });
    await requested(run);
    await driven.runTo(12_000);
    const savepoint = await asked;
    expect(savepoint).toMatchObject({ name: 'before-upgrade', generation: 0, isAbandoned: false });
    expect(savepoint.batchId).toBeGreaterThan(8);
    expect(await requestCount(run)).toBe(0);
    await driven.runTo(80_000);
    expect(await listSavepoints(run.store)).toEqual([savepoint]);
    const kept = await listState(run.store, 'sums', { batchId: savepoint.batchId });
    expect(kept.entries.find(({ key }) => key === 'every')?.value).toMatchObject({ n: savepoint.batchId - 1 });
    expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
    await driven.stop();
    // The pin is far below the floor; the stream can go back to it all the same.
    await rewindStream(run.store, 'before-upgrade', { clock: run.clock });
    await run.to(80_000, polling);
    expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
    expect((await listState(run.store, 'sums')).entries.find(({ key }) => key === 'every')?.value).toMatchObject({
      n: 80,
    });
  });

  test('gives a savepoint up when it is asked to', async () => {
    const run = new Run();
    const driven = await run.start({ ...recordsOnly, requestPollMs: 2_000 });
    await driven.runTo(5_000);
    const made = createSavepoint(run.store, { name: 'one', timeoutMs: 60_000 });
    await requested(run);
    await driven.runTo(9_000);
    await made;
    const removed = removeSavepoint(run.store, 'one', { timeoutMs: 60_000 });
    await requested(run);
    await driven.runTo(14_000);
    await removed;
    expect(await listSavepoints(run.store)).toEqual([]);
    await driven.stop();
  });

  test('stops when it is asked to drain, having processed what has arrived', async () => {
    const run = new Run();
    const driven = await run.start({ ...recordsOnly, requestPollMs: 2_000 });
    await driven.runTo(5_000);
    const drained = drainStream(run.store, { timeoutMs: 60_000 });
    await requested(run);
    let ended = false;
    driven.context.awaitTermination().then(() => {
      ended = true;
    });
    while (!ended) {
      run.clock.advanceTo(run.clock.now() + 1000);
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    const report = await drained;
    expect(report).toMatchObject({ wasStopped: false });
    const { status } = (await readCheckpoint(run.store))!;
    expect(status).toMatchObject({ drained: true, lastBatch: report.lastBatch });
    expect(await drainStream(run.store)).toMatchObject({ wasStopped: true, lastBatch: report.lastBatch });
    expect(await requestCount(run)).toBe(0);
  });

  test('does not stop for a request that an older driver got', async () => {
    const run = new Run();
    const first = await run.start({ ...recordsOnly, requestPollMs: 2_000 });
    await first.runTo(2_000);
    const { epoch } = (await readCheckpoint(run.store))!.status;
    await first.stop();
    await putRequest(run.store, { id: 'a'.repeat(32), content: { kind: 'drain', epoch } });
    const second = await run.start({ ...recordsOnly, requestPollMs: 2_000 });
    await second.runTo(12_000);
    expect(second.context.status).toBe('active');
    expect(await requestCount(run)).toBe(0);
    await second.stop();
  });

  test('makes a savepoint once, also when it died between the pin and the removal of the request', async () => {
    const run = new Run();
    const request = { id: 'b'.repeat(32), content: { kind: 'savepoint', name: 'once' } } as const;
    const first = await run.start({ ...recordsOnly, requestPollMs: 1_000 });
    await putRequest(run.store, request);
    await first.runTo(5_000);
    await first.stop();
    const [made] = await listSavepoints(run.store);
    await putRequest(run.store, request);
    const second = await run.start({ ...recordsOnly, requestPollMs: 1_000 });
    await second.runTo(10_000);
    await second.stop();
    expect(await listSavepoints(run.store)).toEqual([made]);
    expect(await requestCount(run)).toBe(0);
  });

  test('does not make a removed savepoint again for a request that its driver and its tool left behind', async () => {
    const run = new Run();
    const request = { id: 'b'.repeat(32), content: { kind: 'savepoint', name: 'once' } } as const;
    const first = await run.start({ ...recordsOnly, requestPollMs: 1_000 });
    await putRequest(run.store, request);
    await first.runTo(5_000);
    await first.stop();
    await putRequest(run.store, request);
    await removeSavepoint(run.store, 'once', { clock: run.clock });
    const second = await run.start({ ...recordsOnly, requestPollMs: 1_000 });
    await second.runTo(10_000);
    await second.stop();
    expect(await listSavepoints(run.store)).toEqual([]);
  });

  test('does not remove a savepoint for a request that was meant for an older one of its name', async () => {
    const run = new Run();
    await run.to(4_000, recordsOnly);
    await createSavepoint(run.store, { name: 'one', clock: run.clock });
    const [{ slot }] = (await statusOf(run.store)).savepoints as [Savepoint];
    await removeSavepoint(run.store, 'one', { clock: run.clock });
    await createSavepoint(run.store, { name: 'one', clock: run.clock });
    const made = await listSavepoints(run.store);
    await putRequest(run.store, { id: 'a'.repeat(32), content: { kind: 'unpin', name: 'one', slot } });
    await run.to(10_000, { ...recordsOnly, requestPollMs: 1_000 });
    expect(await listSavepoints(run.store)).toEqual(made);
    expect(await requestCount(run)).toBe(0);
  });

  test('drops a request that nobody waits for any more', async () => {
    const run = new Run();
    await run.to(4_000, recordsOnly);
    await putRequest(run.store, { id: 'a'.repeat(32), content: { kind: 'savepoint', name: 'late' }, untilMs: 3_000 });
    await putRequest(run.store, { id: 'b'.repeat(32), content: { kind: 'savepoint', name: 'now' }, untilMs: 60_000 });
    await run.to(10_000, { ...recordsOnly, requestPollMs: 1_000 });
    expect((await listSavepoints(run.store)).map(({ name }) => name)).toEqual(['now']);
    expect(await requestCount(run)).toBe(0);
  });

  test('refuses a name that is taken, and goes on', async () => {
    const run = new Run();
    const driven = await run.start({ ...recordsOnly, requestPollMs: 1_000 });
    await driven.runTo(3_000);
    await putRequest(run.store, { id: 'c'.repeat(32), content: { kind: 'savepoint', name: 'one' } });
    await putRequest(run.store, { id: 'd'.repeat(32), content: { kind: 'savepoint', name: 'one' } });
    await run.store.putIfAbsent(`req/${'e'.repeat(32)}`, Buffer.from('rubbish'), 'e'.repeat(32));
    await driven.runTo(9_000);
    expect((await listSavepoints(run.store)).map(({ name }) => name)).toEqual(['one']);
    expect(await requestCount(run)).toBe(0);
    await driven.stop();
  });

  test('looks as rarely as it is told: one listing each time, none at 0', async () => {
    const listings = async (requestPollMs: number | undefined): Promise<number> => {
      const run = new Run();
      const driven = await run.start({ ...recordsOnly, requestPollMs });
      const before = run.store.operations.snapshot().list.requests;
      await driven.runTo(100_000);
      const after = run.store.operations.snapshot().list.requests;
      await driven.stop();
      return after - before;
    };
    expect(await listings(undefined)).toBe(3);
    expect(await listings(10_000)).toBe(10);
    expect(await listings(0)).toBe(0);
  });
});

test.each(['savepoint', 'drain'] as const)('a %s that nobody answers is withdrawn', async (verb) => {
  const run = new Run();
  const driven = await run.start({ ...recordsOnly, requestPollMs: 0 });
  await driven.runTo(3_000);
  const options = { clock: new JumpingClock(), timeoutMs: 5_000 };
  const error = await errorOf(verb === 'drain' ? drainStream(run.store, options) : createSavepoint(run.store, options));
  expect(error.code).toBe('REQUEST_UNANSWERED');
  expect(error.message).toMatch(/within 5 s; it was withdrawn.*--take-over/);
  expect(await requestCount(run)).toBe(0);
  await driven.runTo(5_000);
  await driven.stop();
});

test('a tool that waits asks for its request each second, and reads the log every ten', async () => {
  const run = new Run();
  const driven = await run.start({ ...recordsOnly, requestPollMs: 0 });
  await driven.runTo(3_000);
  const before = run.store.operations.snapshot();
  await statusOf(run.store);
  const readGets = run.store.operations.snapshot().get.requests - before.get.requests;
  await errorOf(createSavepoint(run.store, { name: 'slow', clock: new JumpingClock(), timeoutMs: 45_000 }));
  const after = run.store.operations.snapshot();
  expect(after.head.requests - before.head.requests).toBe(46);
  // Once before it asks, then after 10, 20, 30, 40 and 45 s; and the store's clock.
  expect(after.get.requests - before.get.requests - readGets).toBe(6 * readGets + 1);
  await driven.stop();
});

test('a rewind needs a stopped stream, or takes it over: then the driver that runs ends', async () => {
  const run = new Run();
  const driven = await run.start(recordsOnly);
  await driven.runTo(8_000);
  const before = (await readCheckpoint(run.store))!.status;
  expect((await errorOf(rewindStream(run.store, 4))).code).toBe('STREAM_NOT_STOPPED');
  expect((await readCheckpoint(run.store))!.status).toEqual(before);
  await rewindStream(run.store, 4, { takeOver: true, clock: run.clock });
  expect((await errorOf(driven.runTo(10_000))).code).toBe('FENCED');
  await run.to(12_000, recordsOnly);
  expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
  expect((await listState(run.store, 'sums')).entries.find(({ key }) => key === 'every')?.value).toMatchObject({
    n: 12,
  });
});

test('a savepoint of a stopped stream needs no driver, and leaves it stopped', async () => {
  const run = new Run();
  await run.to(6_000, recordsOnly);
  await createSavepoint(run.store, { name: 'idle', clock: run.clock });
  const made = await createSavepoint(run.store, { clock: new JumpingClock(Date.UTC(2026, 0, 31, 12)) });
  expect(made.name).toBe('s-20260131T120000Z');
  expect((await readCheckpoint(run.store))!.status.drained).toBe(true);
  await removeSavepoint(run.store, 'idle', { clock: run.clock });
  expect((await listSavepoints(run.store)).map(({ name }) => name)).toEqual([made.name]);
  expect((await errorOf(removeSavepoint(run.store, 'idle'))).code).toBe('OPTION_INVALID');
});
