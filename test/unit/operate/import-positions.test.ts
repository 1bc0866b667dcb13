import { expect, test } from 'vitest';
import { exportPositions } from '../../../src/inspect/export-positions.ts';
import { getState } from '../../../src/inspect/state-queries.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { type ImportedPosition, importPositions } from '../../../src/operate/import-positions.ts';
import { errorOf } from '../engine/support.ts';
import { Run, recordsOnly } from '../inspect/support.ts';

async function positionsAt(timeMs: number): Promise<readonly ImportedPosition[]> {
  const run = new Run();
  await run.to(timeMs, recordsOnly);
  return (await exportPositions(run.store)).sources;
}

async function countOf(run: Run): Promise<unknown> {
  return (await getState(run.store, 'sums', 'every'))[0]?.value;
}

test('a new stream begins at the positions another one had', async () => {
  const positions = await positionsAt(10_000);
  const run = new Run(undefined, 20_000);
  const report = await importPositions(run.store, positions, { clock: run.clock });
  expect(report).toMatchObject({ isNew: true, uids: ['pairs'] });
  expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
  expect((await exportPositions(run.store)).sources).toEqual(positions);
  await run.to(25_000, recordsOnly);
  // The rows of seconds 11 to 25.
  expect(await countOf(run)).toEqual({ sum: 15, n: 15 });
  expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
});

test('can be imported again before the first start', async () => {
  const run = new Run(undefined, 20_000);
  await importPositions(run.store, await positionsAt(10_000), { clock: run.clock });
  expect(await importPositions(run.store, await positionsAt(15_000), { clock: run.clock })).toMatchObject({
    isNew: false,
  });
  await run.to(25_000, recordsOnly);
  expect(await countOf(run)).toEqual({ sum: 10, n: 10 });
});

test('a stopped stream goes on elsewhere with the state it has', async () => {
  const run = new Run();
  await run.to(20_000, recordsOnly);
  await importPositions(run.store, await positionsAt(5_000), { clock: run.clock });
  expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
  await run.to(21_000, recordsOnly);
  // 20 rows, and those of seconds 6 to 21 again.
  expect(await countOf(run)).toEqual({ sum: 36, n: 36 });
  expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
});

test('a program without the input, or with another one, is refused', async () => {
  const [position] = await positionsAt(10_000);
  for (const [wrong, problem] of [
    [{ ...position!, uid: 'others' }, /source 'others'.*missing/],
    [{ ...position!, kind: 'event-hubs' }, /event-hubs topic=pairs.*memory-topic topic=pairs/],
    [{ ...position!, identity: { topic: 'pears' } }, /topic=pears.*topic=pairs/],
  ] as const) {
    const run = new Run(undefined, 20_000);
    await importPositions(run.store, [wrong], { clock: run.clock });
    const error = await errorOf(run.to(25_000, recordsOnly));
    expect(error.code).toBe('CHECKPOINT_INCOMPATIBLE');
    expect(error.message).toMatch(problem);
  }
});

test('into a stream that may run, of an input it has not, or without any, is refused', async () => {
  const positions = await positionsAt(10_000);
  const run = new Run();
  const driven = await run.start(recordsOnly);
  await driven.runTo(5_000);
  expect((await errorOf(importPositions(run.store, positions))).code).toBe('STREAM_NOT_STOPPED');
  await driven.stop();
  const other = [{ ...positions[0]!, uid: 'others' }];
  expect((await errorOf(importPositions(run.store, other))).code).toBe('CHECKPOINT_INCOMPATIBLE');
  for (const wrong of [[], [positions[0]!, positions[0]!]]) {
    expect((await errorOf(importPositions(run.store, wrong))).code).toBe('OPTION_INVALID');
  }
});
