import { expect, test } from 'vitest';
import type { CheckpointCommitInfo } from '../../../src/observe/checkpoint-metrics.ts';
import { StatsReportListener } from '../../../src/observe/stats-report-listener.ts';
import type { BatchInfo } from '../../../src/observe/streaming-listener.ts';

function batch(totalDelayMs: number, processingDelayMs: number, failureReason?: string): BatchInfo {
  return { totalDelayMs, processingDelayMs, failureReason } as BatchInfo;
}

test('prints how the delays of the last batches are distributed', () => {
  const printed: string[] = [];
  const listener = new StatsReportListener(4, (text) => printed.push(text));
  for (const ms of [90_000, 10, 20, 30, 2500]) listener.onBatchCompleted(batch(ms, ms / 10));
  listener.onBatchCompleted(batch(7, 7, 'broken'));
  expect(printed).toHaveLength(5);
  expect(printed[0]!.split('\n')[0]).toBe(
    'Total delay: (count: 1, mean: 1.5 min, stdev: 0 ms, max: 1.5 min, min: 1.5 min)',
  );
  expect(printed.at(-1)!.split('\n')).toEqual([
    'Total delay: (count: 4, mean: 640 ms, stdev: 1.1 s, max: 2.5 s, min: 10 ms)',
    '\t0%\t5%\t10%\t25%\t50%\t75%\t90%\t95%\t100%',
    '\t10 ms\t10 ms\t10 ms\t20 ms\t30 ms\t2.5 s\t2.5 s\t2.5 s\t2.5 s',
    'Processing time: (count: 4, mean: 64 ms, stdev: 107 ms, max: 250 ms, min: 1 ms)',
    '\t0%\t5%\t10%\t25%\t50%\t75%\t90%\t95%\t100%',
    '\t1 ms\t1 ms\t1 ms\t2 ms\t3 ms\t250 ms\t250 ms\t250 ms\t250 ms',
  ]);
});

function commit(waitMs: number, groupSize: number): CheckpointCommitInfo {
  const bytes = { records: 1000, segments: 0, manifests: 200, snapshots: 34 };
  const operations = { write: 2, list: 0, read: 1, other: 0, delete: 0 };
  return { waitMs, encodeMs: 1, uploadMs: 20, groupSize, bytes, operations } as CheckpointCommitInfo;
}

test('prints how long commits took and what a batch cost in the checkpoint, when there is one', () => {
  const printed: string[] = [];
  const listener = new StatsReportListener(2, (text) => printed.push(text));
  listener.onCheckpointCommitted(commit(50_000, 1));
  listener.onCheckpointCommitted(commit(0, 1));
  listener.onCheckpointCommitted(commit(10, 3));
  listener.onBatchCompleted(batch(7, 7));
  expect(printed[0]!.split('\n').slice(6)).toEqual([
    'Commit time: (count: 2, mean: 26 ms, stdev: 5 ms, max: 31 ms, min: 21 ms)',
    '\t0%\t5%\t10%\t25%\t50%\t75%\t90%\t95%\t100%',
    '\t21 ms\t21 ms\t21 ms\t21 ms\t31 ms\t31 ms\t31 ms\t31 ms\t31 ms',
    'Checkpoint: 617 bytes and 1.5 requests per batch',
  ]);
});
