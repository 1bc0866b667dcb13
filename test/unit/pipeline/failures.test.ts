import { expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Milliseconds, Time } from '../../../src/base/time.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { listState } from '../../../src/inspect/state-queries.ts';
import { TimedStream } from './support.ts';

const options = { intervalMs: 20, computeMs: 15, putMs: 50 };

/** Batch ids are shown in order, without a gap and once, from the first after the empty one. */
function expectInOrder(stream: TimedStream): void {
  const ids = stream.shown.map(({ batchId }) => batchId);
  expect(ids).toEqual(ids.map((_, index) => index + 2));
}

async function lastBatchId(stream: TimedStream): Promise<number> {
  return (await readCheckpoint(stream.store))!.status.lastBatch!.batchId;
}

test('a batch that fails while others are on their way > they are finished and published, then it ends', async () => {
  const stream = new TimedStream(options);
  await stream.start();
  stream.onCompute = (batchId) => {
    if (batchId === 30) throw new TidemarkError('LIMIT_EXCEEDED', 'batch 30');
  };
  await stream.ended();
  expect(stream.error).toMatchObject({ message: 'batch 30' });
  expectInOrder(stream);
  expect(stream.shown.at(-1)?.batchId).toBe(29);
  expect(await lastBatchId(stream)).toBe(29);
  const told = stream.completed.slice(-3).map(({ batchId, failureReason }) => [batchId, failureReason]);
  expect(told).toEqual([
    [28, undefined],
    [29, undefined],
    [30, 'batch 30'],
  ]);
});

test('a newer driver takes over > what is ahead is dropped, and nothing of it is seen', async () => {
  const stream = new TimedStream(options);
  await stream.start();
  await stream.runTo(600);
  const found = await readCheckpoint(stream.store);
  const fence = { zeroTimeMs: 0, graph: {}, settings: {} };
  let epoch: number | undefined;
  void CheckpointLog.takeOver(stream.store, found, fence, { clock: stream.clock, random: new SeededRandom(9) }).then(
    (log) => {
      epoch = log.epoch;
    },
  );
  await stream.ended();
  await stream.runTo(stream.clock.now() + 200);
  expect(epoch).toBeDefined();
  expect(stream.error).toMatchObject({ code: 'FENCED' });
  expectInOrder(stream);
  // Every batch that was shown is in the log, and the log holds none that came after the fence.
  expect(stream.shown.at(-1)!.batchId).toBe(await lastBatchId(stream));
  const dropped = stream.completed.filter(({ failureReason }) => failureReason !== undefined);
  expect(dropped.length).toBeGreaterThan(1);
  expect(dropped.every(({ batchId }) => batchId > stream.shown.at(-1)!.batchId)).toBe(true);
});

test('a stop without grace leaves the batch that is being computed, and finishes those on their way', async () => {
  const stream = new TimedStream(options);
  await stream.start();
  await stream.runTo(610);
  const before = stream.shown.at(-1)!.batchId;
  await stream.stop();
  expectInOrder(stream);
  expect(stream.shown.at(-1)!.batchId).toBeGreaterThan(before);
  const { status } = (await readCheckpoint(stream.store))!;
  expect(status).toMatchObject({
    drained: true,
    unpublished: [],
    lastBatch: { batchId: stream.shown.at(-1)!.batchId },
  });
});

test('a graceful stop takes in what has arrived, and all of it is out before it ends', async () => {
  const stream = new TimedStream(options);
  await stream.start();
  await stream.runTo(605);
  await stream.stop(true);
  expectInOrder(stream);
  const { status } = (await readCheckpoint(stream.store))!;
  expect(status).toMatchObject({ drained: true, unpublished: [] });
  expect(status.lastBatch!.batchTimeMs).toBeGreaterThanOrEqual(620);
});

test('batches with an output that acts during the batch wait for each other', async () => {
  const stream = new TimedStream({ ...options, acts: true });
  let isAlone = true;
  stream.onCompute = (batchId) => {
    if (batchId !== (stream.shown.at(-1)?.batchId ?? 1) + 1) isAlone = false;
  };
  await stream.start();
  await stream.runTo(3000);
  expect(isAlone).toBe(true);
  expect(stream.shown.length).toBeGreaterThan(15);
  for (const group of await stream.store.groups()) expect(group).toHaveLength(1);
  await stream.stop();
});

test('remembered batches can be read once they are committed, not while they are on their way', async () => {
  const stream = new TimedStream({ ...options, define: (ssc) => ssc.remember(Milliseconds(400)) });
  await stream.start();
  await stream.runTo(612);
  const shown = new Set(stream.shown.map(({ batchId }) => batchId));
  const { batchTimeMs, batchId } = stream.completed.at(-1)!;
  expect(shown.has(batchId)).toBe(true);
  const at = new Time(batchTimeMs);
  expect(stream.counts.slice(at, at)).toHaveLength(1);
  const next = new Time(batchTimeMs + 20);
  expect(() => stream.counts.slice(next, next)).toThrow(/is not remembered/);
  await stream.stop();
});

test('a restart while three batches were ahead computes them again, and the state is that of a run without it', async () => {
  const stream = new TimedStream(options);
  await stream.start();
  await stream.runTo(612);
  // The process is gone: nothing it still asks the store for takes effect.
  const gone = stream.context;
  const { store } = stream;
  store.onPut = () => new Promise(() => {});
  await stream.runTo(700);
  const shownBefore = stream.shown.at(-1)!.batchId;
  expect(shownBefore).toBe(await lastBatchId(stream));
  store.onPut = () => {};
  await stream.start();
  expect(stream.context).not.toBe(gone);
  await stream.runTo(1500);
  await stream.stop();
  // What was shown and not known to be was shown again, as a staged sink must bear.
  const ids = [...new Set(stream.shown.map(({ batchId }) => batchId))];
  expect(ids).toEqual(ids.map((_, index) => index + 2));
  // The oracle: every key has been counted once for every row up to the committed position.
  const { status } = (await readCheckpoint(store))!;
  const [consumed] = status.positions.pairs as [number];
  expect(consumed).toBeGreaterThan(60);
  const { entries } = await listState(store, 'counts');
  const expected = ['k0', 'k1', 'k2', 'k3', 'k4'].map((key, index) => {
    return [key, Math.floor((consumed - index) / 5) + (index === 0 ? 0 : 1)];
  });
  expect(entries.map(({ key, value }) => [key, value]).toSorted()).toEqual(expected);
});
