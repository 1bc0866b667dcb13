import { describe, expect, test } from 'vitest';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { exportPositions } from '../../../src/inspect/export-positions.ts';
import { inspectCheckpoint } from '../../../src/inspect/inspect-checkpoint.ts';
import { diffState, getState, listState } from '../../../src/inspect/state-queries.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { importPositions } from '../../../src/operate/import-positions.ts';
import { planRewind, rewindStream } from '../../../src/operate/rewind-stream.ts';
import type { RewindInfo } from '../../../src/sinks/sink.ts';
import { errorOf } from '../engine/support.ts';
import { defineProgram, everything, quietSink, Run, recordsOnly } from '../inspect/support.ts';

async function whole(run: Run): Promise<void> {
  expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
}

describe.each([
  ['records only', recordsOnly, 6],
  ['segments, manifests and a floor', { ...everything, retainManifests: 10 }, 31],
])('a stream of %s', (_name, checkpoint, to) => {
  test('goes back as if it had been stopped there and started now', async () => {
    const stopped = new Run();
    await stopped.to((to - 1) * 1000, checkpoint);
    stopped.clock.advanceTo(40_000);
    await stopped.to(40_000, checkpoint);
    const run = new Run();
    await run.to(40_000, checkpoint);
    const plan = await planRewind(run.store, to, { takeOver: true });
    expect(plan).toMatchObject({
      to: { batchId: to },
      from: { batchId: 41 },
      abandonedBatches: 41 - to,
      generation: 1,
    });
    const before = await listState(run.store, 'sums', { batchId: to });
    const report = await rewindStream(run.store, to, { clock: run.clock });
    expect(report).toMatchObject({ ...plan, batchId: 42 });
    await whole(run);

    const { status } = (await readCheckpoint(run.store))!;
    expect(status).toMatchObject({
      generation: 1,
      lastBatch: { batchId: 42, batchTimeMs: (to - 1) * 1000 },
      openRewind: { toBatchId: to, generation: 1 },
      drained: true,
    });
    const after = await listState(run.store, 'sums');
    expect(after).toEqual({ ...before, batchId: 42, batchTimeMs: (to - 1) * 1000 });
    expect((await diffState(run.store, to, 42)).differences).toEqual([]);
    // The line that was given up can still be looked at.
    expect(await getState(run.store, 'sums', 'every', { batchId: 41 })).toMatchObject([{ value: { sum: 40, n: 40 } }]);

    await run.to(40_000, checkpoint);
    await whole(run);
    const end = await inspectCheckpoint(run.store);
    expect(end.stream).toMatchObject({ generation: 1, lastBatch: { batchTimeMs: 40_000 } });
    expect(end.stream.lastBatch!.batchId).toBe(42 + 40 - (to - 1));
    const expected = await inspectCheckpoint(stopped.store);
    expect(end.operators.map(({ uid, fingerprint }) => [uid, fingerprint])).toEqual(
      expected.operators.map(({ uid, fingerprint }) => [uid, fingerprint]),
    );
    expect(end.sources).toEqual(expected.sources);
  });
});

test('row 23: sinks are told at every start until a batch of the new generation is committed', async () => {
  const run = new Run();
  await run.to(10_000, recordsOnly);
  await rewindStream(run.store, 5, { clock: run.clock });
  const told: RewindInfo[] = [];
  const events: string[] = [];
  let refusals = 2;
  const define = (ssc: Parameters<typeof defineProgram>[0]): void =>
    defineProgram(ssc, {
      ...quietSink(),
      onRewind: async (info: RewindInfo) => {
        told.push(info);
        events.push('told');
        if (refusals-- > 0) throw new Error('the table is locked');
      },
      publish: async () => {
        events.push('published');
      },
    } as ReturnType<typeof quietSink>);
  for (let start = 1; start <= 2; start++) {
    await expect(run.start(recordsOnly, define)).rejects.toThrow('the table is locked');
    expect((await readCheckpoint(run.store))!.status.openRewind).toMatchObject({ toBatchId: 5, generation: 1 });
  }
  const third = await run.start(recordsOnly, define);
  await third.runTo(10_000);
  await third.stop();
  await run.to(12_000, recordsOnly, define);
  const info = { batchId: 5, batchTimeMs: 4000, generation: 1 };
  expect(told).toEqual([info, info, info]);
  expect(events.slice(0, 4)).toEqual(['told', 'told', 'told', 'published']);
});

test('sinks that were not told of a rewind hear how far it went when a second one goes back to where it ended', async () => {
  const run = new Run();
  await run.to(10_000, recordsOnly);
  const { sources } = await exportPositions(run.store);
  const first = await rewindStream(run.store, 5, { clock: run.clock });
  // It takes an id, so there is something to go back from.
  await importPositions(run.store, sources, { clock: run.clock });
  await rewindStream(run.store, first.batchId, { clock: run.clock });
  const told: RewindInfo[] = [];
  const sink = { ...quietSink(), onRewind: async (info: RewindInfo) => void told.push(info) };
  await run.to(12_000, recordsOnly, (ssc) => defineProgram(ssc, sink as ReturnType<typeof quietSink>));
  // Batches 6 to 11 were given up, too.
  expect(told).toEqual([{ batchId: 5, batchTimeMs: 4000, generation: 2 }]);
  expect(await getState(run.store, 'sums', 'every')).toMatchObject([{ value: { sum: 12, n: 12 } }]);
  await whole(run);
});

test.each([
  [99, 'BATCH_NOT_RETAINED', /batches 1 to 11/],
  [11, 'BATCH_NOT_RETAINED', /can only go back: its last batch is 11/],
  ['never', 'OPTION_INVALID', /has no savepoint "never": it has none/],
  [new Date(-1000), 'BATCH_NOT_RETAINED', /no batch of .* or before/],
])('to %s is refused, and nothing is written', async (to, code, message) => {
  const run = new Run();
  await run.to(10_000, recordsOnly);
  const { status } = (await readCheckpoint(run.store))!;
  const error = await errorOf(rewindStream(run.store, to));
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect((await readCheckpoint(run.store))!.status).toEqual(status);
});
