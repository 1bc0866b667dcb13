import { TidemarkError } from '../base/errors.ts';
import { SystemRandom } from '../base/random.ts';
import type { Part } from '../checkpoint/content.ts';
import type { ManifestExtent } from '../checkpoint/log-record.ts';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { snapshotName } from '../checkpoint/object-names.ts';
import { seed } from '../checkpoint/operator-records.ts';
import type { PointState } from '../checkpoint/point-manifest.ts';
import {
  type CheckpointTarget,
  storageOfTarget,
  type WalkOptions,
  walksAsOne,
  withCheckpoint,
} from '../inspect/checkpoint-target.ts';
import { requireApart, requireEmpty } from '../inspect/export-checkpoint.ts';
import { onSteadyFloor } from '../inspect/retained-log.ts';
import { readLogIndex } from '../inspect/state-at.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointStorageOptions } from '../storage/open-checkpoint-store.ts';
import { createStream } from './create-stream.ts';
import { type BatchName, checkState, findBatch, pointStateOf, readBatch } from './find-point.ts';
import type { OperatorOptions } from './operator-options.ts';
import { inputsWithBlocks } from './stored-blocks.ts';

export interface ForkOptions extends OperatorOptions, WalkOptions {
  /** Where the new stream begins. Default: at the last batch. */
  readonly at?: BatchName | undefined;
  /** How the target's URL is opened. Default: as `storage`. Without keys of its own it is encrypted as the parent is. */
  readonly targetStorage?: CheckpointStorageOptions | undefined;
}

export interface ForkReport {
  readonly from: string;
  readonly to: string;
  readonly parentStreamId: string;
  readonly streamId: string;
  readonly batchId: number;
  readonly batchTimeMs: number;
  /** Inputs that keep what they take in below the parent's root: the fork's begin with what they take in themselves. */
  readonly freshInputs: readonly string[];
}

// Objects may have 64 MiB.
const copiesMax = 4;

/**
 * Makes a new stream whose first batch follows a batch of another one: with its state, positions, batch time and program
 * description, under a stream id of its own. The parent is only read, and may run; the fork holds a copy of all it
 * needs and does not depend on the parent afterwards.
 *
 * The new stream must write to other outputs and read with consumer groups of its own: what the parent had staged and not
 * published stays the parent's.
 *
 * @throws CHECKPOINT_EXISTS when anything is at the target; BATCH_NOT_RETAINED, STATE_MISMATCH, CHECKPOINT_CORRUPT,
 * CHECKPOINT_MISSING, and what the stores throw
 */
export function forkStream(
  parent: CheckpointTarget,
  target: CheckpointTarget,
  options: ForkOptions = {},
): Promise<ForkReport> {
  return withCheckpoint(parent, options, (from) =>
    withCheckpoint(target, { storage: storageOfTarget(options) }, async (to) => {
      requireApart(from, to);
      await requireEmpty(to);
      return fork(from, to, options);
    }),
  );
}

async function fork(from: ObjectStore, to: ObjectStore, options: ForkOptions): Promise<ForkReport> {
  const nextWalk = walksAsOne(options);
  const { point, pointState } = await onSteadyFloor(from, async () => {
    const index = await readLogIndex(from, nextWalk());
    const found = await readBatch(findBatch(from, index, options.at ?? index.retained.last));
    await checkState(found, nextWalk());
    return { point: found, pointState: await pointStateOf(from, found) };
  });
  const { status } = point;
  const { batchId, batchTimeMs } = status.lastBatch!;
  const freshInputs = await inputsWithBlocks(from, status.positions);
  const positions = Object.fromEntries(Object.entries(status.positions).filter(([uid]) => !freshInputs.includes(uid)));
  const origin = `batch ${batchId} of stream ${status.streamId}`;
  const { zeroTimeMs, graph, fingerprints } = status;
  const settings = { appName: 'tidemark checkpoint fork', origin };

  const streamId = await createStream(to, { zeroTimeMs, graph, settings }, options, async (log, root) => {
    const state = await copyState(from, root, log.epoch, pointState, options);
    await seed(log, { batchId, batchTimeMs, positions, fingerprints, graph, origin }, state);
  });
  return {
    from: from.url,
    to: to.url,
    parentStreamId: status.streamId,
    streamId,
    batchId,
    batchTimeMs,
    freshInputs,
  };
}

/** Snapshots become objects of the new stream, named as its own. One that vanishes meanwhile was cleaned by the parent's driver. */
async function copyState(
  from: ObjectStore,
  to: ObjectStore,
  epoch: number,
  { extents, changes, fingerprints }: PointState,
  { random = new SystemRandom() }: ForkOptions,
): Promise<PointState> {
  const objects = [...new Set(extents.flatMap(({ parts }) => parts.map(({ object }) => object)))];
  const names = new Map<string, string>();
  await mapBounded(objects, copiesMax, async (object, index) => {
    const outcome = await from.get(object);
    if (outcome.status === 'missing') throw cleaned(from, object);
    const name = snapshotName(epoch, epoch, index, random.id());
    const put = await to.putIfAbsent(name, outcome.bytes, random.id());
    if (put.status !== 'done') {
      throw new TidemarkError('STORE_UNAVAILABLE', `Whether "${name}" was written to ${to.url} is not known.`, {
        cause: put.status === 'unknown' ? put.cause : undefined,
      });
    }
    names.set(object, name);
  });
  const moved = (part: Part): Part => ({ ...part, object: names.get(part.object)! });
  return {
    extents: extents.map((extent): ManifestExtent => ({ ...extent, parts: extent.parts.map(moved) })),
    changes,
    fingerprints,
  };
}

function cleaned(from: ObjectStore, object: string): TidemarkError {
  return new TidemarkError(
    'FENCED',
    `The driver of ${from.url} removed "${object}" while it was being copied. Make a savepoint, and fork that; delete what ` +
      'is at the target before.',
    { context: { object } },
  );
}
