import { expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import type { CheckpointCommitInfo } from '../../../src/observe/checkpoint-metrics.ts';
import { TimedStream } from './support.ts';

async function startWithEvents(stream: TimedStream): Promise<CheckpointCommitInfo[]> {
  const commits: CheckpointCommitInfo[] = [];
  await stream.start();
  stream.context.addStreamingListener({
    onCheckpointCommitted: (info) => {
      commits.push(info);
    },
  });
  return commits;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

test('every record is told of once, with what it took, before its batches', async () => {
  const stream = new TimedStream({ intervalMs: 20, computeMs: 15, putMs: 50 });
  const commits = await startWithEvents(stream);
  const order: string[] = [];
  stream.context.addStreamingListener({
    onCheckpointCommitted: ({ lastBatchId }) => {
      order.push(`record ${lastBatchId}`);
    },
    onBatchCompleted: ({ batchId }) => {
      order.push(`batch ${batchId}`);
    },
  });
  await stream.runTo(2000);
  const own = commits.filter(({ timeMs }) => timeMs > 500);
  for (const [index, commit] of own.slice(1).entries()) {
    expect(commit.firstBatchId).toBe(own[index]!.lastBatchId + 1);
    expect(commit.groupSize).toBe(commit.lastBatchId - commit.firstBatchId + 1);
    expect(commit).toMatchObject({ encodeMs: 0, uploadMs: 50, operations: { write: 1, list: 0, read: 0, other: 0 } });
    expect(commit.waitMs).toBeLessThanOrEqual(100);
    expect(commit.bytes).toMatchObject({ segments: 0, manifests: 0, snapshots: 0 });
    expect(commit.bytes.records).toBeGreaterThan(commit.changeBytes);
  }
  const { lastBatchId, groupSize } = own.at(-2)!;
  const at = order.indexOf(`record ${lastBatchId}`);
  const batches = Array.from({ length: groupSize }, (_, index) => `batch ${lastBatchId - groupSize + 1 + index}`);
  expect(order.slice(at + 1, at + 1 + groupSize)).toEqual(batches);
  await stream.stop();
});

test('the metrics are the sum of the events, and the price that of the requests', async () => {
  const checkpoint = { manifestEveryRecords: 10, inlineBytesMax: 0 };
  const stream = new TimedStream({ intervalMs: 100, computeMs: 10, putMs: 5, checkpoint });
  expect(stream.context?.checkpointMetrics()).toBeUndefined();
  const startOperations = () => stream.store.operations.snapshot();
  const commits = await startWithEvents(stream);
  const beforeMs = stream.clock.now();
  const before = startOperations();
  await stream.runTo(6050);
  const metrics = stream.context.checkpointMetrics()!;
  const after = startOperations();
  expect(metrics).toMatchObject({
    commits: commits.length,
    batches: sum(commits.map(({ groupSize }) => groupSize)),
    groupSizeMax: 1,
    changeBytes: sum(commits.map(({ changeBytes }) => changeBytes)),
    uploadMs: { last: 5, mean: 5, max: 5 },
    fenceEvents: 0,
    lastDurableBatchAgeMs: 50,
  });
  expect(commits.length).toBeGreaterThan(50);
  expect(metrics.bytes.records).toBe(sum(commits.map(({ bytes }) => bytes.records)));
  // The state goes into segments, and every ten records into a manifest with a snapshot.
  expect(metrics.bytes.segments).toBe(metrics.changeBytes);
  expect(metrics.bytes.manifests).toBeGreaterThan(0);
  expect(metrics.bytes.snapshots).toBeGreaterThan(0);
  const { records, segments, manifests, snapshots } = metrics.bytes;
  expect(metrics.writeAmplification).toBeCloseTo((records + segments + manifests + snapshots) / metrics.changeBytes);
  expect(metrics.operations).toEqual({
    write: after.put.requests - before.put.requests,
    list: after.list.requests - before.list.requests,
    read: after.get.requests - before.get.requests,
    other: after.head.requests - before.head.requests,
    delete: after.delete.requests - before.delete.requests,
  });
  const { status } = (await readCheckpoint(stream.store))!;
  expect(metrics.unpublishedHandles).toBe(status.unpublished.length);
  expect(metrics.floorLagRecords).toBe(status.tailSlot);
  expect(metrics.estimatedRecoveryMs).toBeGreaterThanOrEqual(4 * 5);
  expect(metrics.estimatedRecoveryMs).toBeLessThanOrEqual(6 * 5);

  const elapsedMs = stream.clock.now() - beforeMs;
  const free = { write: 0, list: 0, read: 0, other: 0, delete: 0 };
  expect(stream.context.checkpointMetrics(free)!.estimatedMonthlyRequestUsd).toBe(0);
  const perMonth = (30 * 24 * 3_600_000) / elapsedMs;
  const writesOnly = stream.context.checkpointMetrics({ ...free, write: 0.5 })!;
  expect(writesOnly.estimatedMonthlyRequestUsd).toBeCloseTo((metrics.operations.write / 10_000) * 0.5 * perMonth);
  await stream.stop();
});

test('a small program of one batch per second costs 13 dollars a month', async () => {
  const stream = new TimedStream({ intervalMs: 1000, computeMs: 5, putMs: 5 });
  await stream.start();
  await stream.runTo(20_500);
  const { operations, batches, estimatedMonthlyRequestUsd } = stream.context.checkpointMetrics()!;
  expect(operations).toEqual({ write: batches, list: 0, read: 0, other: 0, delete: 0 });
  expect(estimatedMonthlyRequestUsd).toBeGreaterThan(12.5);
  expect(estimatedMonthlyRequestUsd).toBeLessThan(13.5);
  await stream.stop();
});

test('being fenced is counted', async () => {
  const stream = new TimedStream({ intervalMs: 20, computeMs: 5, putMs: 5 });
  await stream.start();
  await stream.runTo(300);
  const found = await readCheckpoint(stream.store);
  const fence = { zeroTimeMs: 0, graph: {}, settings: {} };
  const taken = CheckpointLog.takeOver(stream.store, found, fence, {
    clock: stream.clock,
    random: new SeededRandom(9),
  });
  await stream.ended();
  await taken;
  expect(stream.context.checkpointMetrics()).toMatchObject({ fenceEvents: 1 });
});
