import { expect, test } from 'vitest';
import { TimedStream } from './support.ts';

test('100 ms batches that take 80 ms keep up with a store that takes 50 ms, one write each', async () => {
  const stream = new TimedStream({ intervalMs: 100, computeMs: 80, putMs: 50 });
  await stream.start();
  await stream.runTo(6000);
  // The first batches make up for the time of the start.
  const steady = stream.completed.filter(({ batchTimeMs }) => batchTimeMs >= 1000);
  expect(steady).toHaveLength(49);
  for (const batch of steady) {
    expect(batch).toMatchObject({
      processingStartTimeMs: batch.batchTimeMs,
      schedulingDelayMs: 0,
      computingDelayMs: 80,
      processingDelayMs: 130,
      totalDelayMs: 130,
    });
    expect(batch.checkpoint.operations).toBe(1);
  }
  for (const group of await stream.store.groups()) expect(group).toHaveLength(1);
  await stream.stop();
});

test('the same batches one after the other fall behind by 30 ms each', async () => {
  const options = { intervalMs: 100, computeMs: 80, putMs: 50, checkpoint: { pipelineBatchesMax: 1 } };
  const stream = new TimedStream(options);
  await stream.start();
  await stream.runTo(5000);
  const delays = stream.completed.map(({ schedulingDelayMs }) => schedulingDelayMs);
  const steps = delays.slice(1).map((delay, index) => delay - delays[index]!);
  expect(steps.length).toBeGreaterThan(30);
  expect(new Set(steps.slice(3))).toEqual(new Set([30]));
  await stream.stop();
});

test('20 ms batches keep up with a store that takes 50 ms, through groups', async () => {
  // In a pause eight or nine are in the works: whether a batch that ends in the millisecond in which a write begins is in
  // it depends on the order of turns.
  const checkpoint = { pipelineBatchesMax: 9 };
  const stream = new TimedStream({ intervalMs: 20, computeMs: 15, putMs: 50, checkpoint });
  await stream.start();
  await stream.runTo(4000);
  const steady = stream.completed.filter(({ batchTimeMs }) => batchTimeMs > 1000);
  expect(steady.length).toBeGreaterThan(140);
  for (const { schedulingDelayMs, computingDelayMs } of steady) {
    expect(schedulingDelayMs).toBe(0);
    expect(computingDelayMs).toBe(15);
  }
  // A write is always on its way, and takes what was computed meanwhile: two or three batches, five after a pause.
  const groups = await stream.store.groups();
  const late = groups.filter(([id]) => id! > 50);
  const sizes = late.map(({ length }) => length);
  expect([Math.min(...sizes), Math.max(...sizes)]).toEqual([2, 5]);
  const ids = groups.flat();
  expect(ids).toEqual(ids.map((_, index) => index + 1));
  const writes = stream.store.puts.filter(({ name, startMs }) => name.startsWith('log/') && startMs > 1000);
  // Back to back, but for a pause after every eighth, so that another driver could get in.
  const gaps = writes.slice(1).map(({ startMs }, index) => startMs - writes[index]!.startMs);
  expect(new Set(gaps)).toEqual(new Set([50, 100]));
  const pauses = gaps.flatMap((gap, index) => (gap === 100 ? [index] : []));
  for (const [index, at] of pauses.slice(1).entries()) expect(at - pauses[index]!).toBe(8);
  // A batch is out when the write that took it is: it waited for at most one other, and a pause.
  for (const { totalDelayMs } of steady) expect(totalDelayMs).toBeLessThanOrEqual(15 + 50 + 50 + 50);
  await stream.stop();
});

test('a store that falls behind is waited for: no more batches are in the works than allowed', async () => {
  const stream = new TimedStream({
    intervalMs: 10,
    computeMs: 1,
    putMs: 200,
    checkpoint: { pipelineBatchesMax: 4 },
  });
  let ahead = 0;
  stream.onCompute = (batchId) => {
    ahead = Math.max(ahead, batchId - (stream.shown.at(-1)?.batchId ?? 1));
  };
  await stream.start();
  await stream.runTo(4000);
  expect(ahead).toBe(4);
  expect(stream.completed.at(-1)!.schedulingDelayMs).toBeGreaterThan(1000);
  for (const group of await stream.store.groups()) expect(group.length).toBeLessThanOrEqual(4);
  await stream.stop();
});

test('changes beyond the byte limit make the next batch wait', async () => {
  const checkpoint = { pipelineBytesMax: 1 };
  const stream = new TimedStream({ intervalMs: 20, computeMs: 5, putMs: 50, checkpoint });
  let ahead = 0;
  stream.onCompute = (batchId) => {
    ahead = Math.max(ahead, batchId - (stream.shown.at(-1)?.batchId ?? 1));
  };
  await stream.start();
  await stream.runTo(1000);
  expect(ahead).toBe(1);
  await stream.stop();
});
