import { invariant, TidemarkError } from '../base/errors.ts';
import { readCheckpoint } from '../checkpoint/read-checkpoint.ts';
import type { StreamCheckpoint } from '../checkpoint/stream-checkpoint.ts';
import type { StatefulNode } from '../dstream/stateful-node.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { StoredTable } from '../workers/divided-state.ts';
import type { Driver } from './driver.ts';

/** Where the state of these operators lies in the store, by uid. */
export function storedTables(
  checkpoint: StreamCheckpoint,
  nodes: readonly StatefulNode<unknown>[],
): ReadonlyMap<string, StoredTable> {
  const stored = checkpoint.storedState();
  const { fingerprints } = checkpoint.status;
  return new Map(
    nodes.map(({ uid }) => {
      return [uid, { stored: stored.get(uid) ?? { extents: [], deltas: [] }, fingerprint: fingerprints[uid] }];
    }),
  );
}

/**
 * The state as of the last batch, read from the store while the stream runs: worker threads that held it are gone. Waits
 * until that batch is durable; when it never will be, fails as it does.
 */
export async function rereadState(
  driver: Pick<Driver, 'stateful' | 'lastBatch' | 'committing'>,
  store: ObjectStore,
): Promise<ReadonlyMap<string, StoredTable>> {
  await driver.committing;
  const found = await readCheckpoint(store);
  const batchId = found?.status.lastBatch?.batchId;
  invariant(
    found !== undefined && batchId !== undefined && batchId >= driver.lastBatch.batchId,
    `The checkpoint ends with batch ${batchId}, and batch ${driver.lastBatch.batchId} is durable.`,
  );
  if (batchId > driver.lastBatch.batchId) {
    throw new TidemarkError(
      'FENCED',
      `Another driver has gone on with stream ${found.status.streamId} (${store.url}), up to batch ${batchId}. Leave this process stopped.`,
      { context: { streamId: found.status.streamId, batchId } },
    );
  }
  return storedTables(found, driver.stateful);
}
