import { TidemarkError } from '../base/errors.ts';
import { CheckpointLog } from '../checkpoint/checkpoint-log.ts';
import type { FenceContent } from '../checkpoint/records.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { FormatLastStore } from './format-last-store.ts';
import { logOptionsOf, type OperatorOptions } from './operator-options.ts';

/**
 * Makes a stream that a tool fills: fence, what `work` writes, a clean stop, and last of all the format. Returns its id.
 * @throws CHECKPOINT_EXISTS, and what the store throws: what is there then is no stream, and is to be deleted
 */
export async function createStream(
  store: ObjectStore,
  fence: FenceContent,
  options: OperatorOptions,
  work: (log: CheckpointLog, store: ObjectStore) => Promise<void>,
): Promise<string> {
  const root = new FormatLastStore(store);
  const log = await CheckpointLog.takeOver(root, undefined, fence, logOptionsOf(options));
  await work(log, root);
  await log.drain([]);
  const outcome = await root.finish();
  if (outcome.status === 'done') return log.streamId;
  throw new TidemarkError(
    outcome.status === 'lost' ? 'CHECKPOINT_EXISTS' : 'STORE_UNAVAILABLE',
    `The stream at ${store.url} could not be finished: another one was made there at this moment, or the store did not ` +
      'answer. Delete what is there, and try again.',
    { cause: outcome.status === 'unknown' ? outcome.cause : undefined },
  );
}
