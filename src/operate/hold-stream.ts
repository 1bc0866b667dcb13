import { TidemarkError } from '../base/errors.ts';
import { CheckpointLog } from '../checkpoint/checkpoint-log.ts';
import { readStream } from '../checkpoint/read-checkpoint.ts';
import type { StreamStatus } from '../checkpoint/records.ts';
import { noStream } from '../inspect/checkpoint-target.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { logOptionsOf, type OperatorOptions } from './operator-options.ts';

/** @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT */
export async function statusOf(store: ObjectStore): Promise<StreamStatus> {
  const stream = await readStream(store, 'by hint');
  if (stream === undefined) throw noStream(store);
  return stream.status;
}

/**
 * Does something as the driver of a stream: takes it over as a program does, with the description of the last program, and
 * leaves it cleanly stopped. Whoever starts next takes it over from there.
 *
 * Whether a driver runs can't be seen in the store. One that stopped cleanly said so in the last record; else only the
 * caller can know (`takeOver`). A driver that starts at this moment either comes first, and the fence is refused, or later.
 *
 * @throws STREAM_NOT_STOPPED, CHECKPOINT_MISSING, FENCED, and what `work` throws
 */
export async function holdStream<R>(
  store: ObjectStore,
  what: string,
  options: OperatorOptions,
  work: (log: CheckpointLog) => Promise<R>,
): Promise<R> {
  const found = await readStream(store, 'by hint');
  if (found === undefined) throw noStream(store);
  const { zeroTimeMs, graph, epoch } = found.status;
  const fence = { zeroTimeMs, graph, settings: { appName: `tidemark checkpoint ${what}` } };
  const log = await CheckpointLog.takeOver(store, found, fence, logOptionsOf(options), (status) => {
    if (!status.drained && options.takeOver !== true) throw notStopped(store, status);
    // Its program may be another one than that which the fence describes.
    if (status.epoch !== epoch) throw otherDriver(store);
  });
  try {
    return await work(log);
  } finally {
    // After a failure of the log itself it fails again, which says nothing new.
    await log.drain([]).catch(() => {});
  }
}

function notStopped(store: ObjectStore, { streamId, epoch }: StreamStatus): TidemarkError {
  return new TidemarkError(
    'STREAM_NOT_STOPPED',
    `The last driver of ${store.url} (epoch ${epoch}) did not stop cleanly, so it may be running. Stop the program, or ` +
      'drain it. If it is dead, or is to be ended by this, say so: --take-over, or takeOver: true.',
    { context: { streamId, epoch } },
  );
}

function otherDriver(store: ObjectStore): TidemarkError {
  return new TidemarkError(
    'FENCED',
    `Another driver took over the stream at ${store.url} at this moment. Nothing was changed; look at it again.`,
  );
}
