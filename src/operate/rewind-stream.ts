import { TidemarkError } from '../base/errors.ts';
import { rewind } from '../checkpoint/operator-records.ts';
import type { StreamStatus } from '../checkpoint/records.ts';
import {
  type CheckpointTarget,
  type OnProgress,
  type WalkOptions,
  walksAsOne,
  withCheckpoint,
} from '../inspect/checkpoint-target.ts';
import { onSteadyFloor } from '../inspect/retained-log.ts';
import { readLogIndex } from '../inspect/state-at.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type BatchName, checkState, type FoundBatch, findBatch, pointStateOf, readBatch } from './find-point.ts';
import { holdStream, statusOf } from './hold-stream.ts';
import type { OperatorOptions } from './operator-options.ts';
import { missingBlocks } from './stored-blocks.ts';

export interface RewindOptions extends OperatorOptions, WalkOptions {}

/** What a rewind would do. */
export interface RewindPlan {
  readonly url: string;
  readonly streamId: string;
  /** The batch that becomes the last one that counts. */
  readonly to: { readonly batchId: number; readonly batchTimeMs: number };
  readonly from: { readonly batchId: number; readonly batchTimeMs: number };
  /** Its batches and their output are given up. */
  readonly abandonedBatches: number;
  /** Of the batches after it. */
  readonly generation: number;
  /** False: a driver may be running, so the rewind needs `takeOver`. */
  readonly isStopped: boolean;
  /** Outputs with staged, unpublished batches that will never be published. */
  readonly givenUpOutputs: readonly string[];
}

export interface RewindReport extends RewindPlan {
  /** The id the rewind took: the next batch has the id after it. */
  readonly batchId: number;
}

/**
 * Tells what {@link rewindStream} would do, and changes nothing.
 * @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT, OPTION_INVALID; BATCH_NOT_RETAINED when the stream can't go there
 */
export function planRewind(target: CheckpointTarget, to: BatchName, options: RewindOptions = {}): Promise<RewindPlan> {
  return withCheckpoint(target, options, (store) =>
    onSteadyFloor(store, async () => (await plan(store, to, options.onProgress)).plan),
  );
}

/**
 * Takes a stream back to an earlier batch: its positions, state and batch time are the present ones, the batches after it
 * are given up, a new generation begins. The next start of the program goes on from there and tells its sinks first.
 *
 * All of the state is read and compared before anything is written. A crash at any moment leaves the stream as it was or
 * gone back, never between.
 *
 * @throws BATCH_NOT_RETAINED, STREAM_NOT_STOPPED, STATE_MISMATCH, CHECKPOINT_CORRUPT, FENCED, and what the store throws
 */
export function rewindStream(
  target: CheckpointTarget,
  to: BatchName,
  options: RewindOptions = {},
): Promise<RewindReport> {
  const nextWalk = walksAsOne(options);
  return withCheckpoint(target, options, async (store) => {
    const { point, plan: first } = await onSteadyFloor(store, () => plan(store, to, nextWalk()));
    await checkState(point, nextWalk());
    return holdStream(store, 'rewind', options, async (log) => {
      // The driver that was fenced may have gone on since, and raised the floor.
      const { plan: final, point: current } = await plan(store, to);
      const { positions, fingerprints, graph, lastBatch } = current.status;
      const batchId = log.status.lastBatch!.batchId + 1;
      const { batchTimeMs } = lastBatch!;
      const { generation } = final;
      await rewind(
        log,
        { batchId, batchTimeMs, toBatchId: final.to.batchId, generation, positions, fingerprints, graph },
        await pointStateOf(store, current),
      );
      return { ...final, isStopped: first.isStopped, batchId };
    });
  });
}

async function plan(
  store: ObjectStore,
  to: BatchName,
  onProgress?: OnProgress,
): Promise<{ readonly plan: RewindPlan; readonly point: Awaited<ReturnType<typeof readBatch>> }> {
  const status = await statusOf(store);
  const index = await readLogIndex(store, onProgress);
  const batch = findBatch(store, index, to);
  const { lastBatch } = status;
  if (lastBatch === undefined || batch.batchId >= lastBatch.batchId) throw notBehind(store, batch, status);
  if (batch.isAbandoned) throw abandoned(store, batch);
  const point = await readBatch(batch);
  const gone = await missingBlocks(store, point.status.positions, status.positions);
  if (gone !== undefined) {
    throw new TidemarkError(
      'BATCH_NOT_RETAINED',
      `The stream at ${store.url} can't go back to batch ${batch.batchId}: what the receiver of '${gone.uid}' took in after ` +
        `it (${gone.missing} of ${gone.needed} stored objects) was removed when its batches were committed, and its sender ` +
        'has it no more. Fork the stream there if its state is what you need.',
      { context: { uid: gone.uid, batchId: batch.batchId } },
    );
  }
  const { batchId, batchTimeMs } = batch;
  return {
    point,
    plan: {
      url: store.url,
      streamId: status.streamId,
      to: { batchId, batchTimeMs },
      from: lastBatch,
      abandonedBatches: lastBatch.batchId - batchId,
      generation: status.generation + 1,
      isStopped: status.drained,
      givenUpOutputs: [...new Set(status.unpublished.filter((one) => one.batchId > batchId).map(({ uid }) => uid))],
    },
  };
}

function notBehind(store: ObjectStore, { batchId }: FoundBatch, { lastBatch }: StreamStatus): TidemarkError {
  return new TidemarkError(
    'BATCH_NOT_RETAINED',
    `The stream at ${store.url} can only go back: its last batch is ${lastBatch?.batchId ?? 'none'}, and ${batchId} was asked for.`,
  );
}

function abandoned(store: ObjectStore, { batchId }: FoundBatch): TidemarkError {
  return new TidemarkError(
    'BATCH_NOT_RETAINED',
    `Batch ${batchId} of the stream at ${store.url} was given up by an earlier rewind: its output may be removed, so the ` +
      'stream can not go on from it. A fork can.',
    { context: { batchId } },
  );
}
