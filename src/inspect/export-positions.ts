import { TidemarkError } from '../base/errors.ts';
import { readStream } from '../checkpoint/read-checkpoint.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import { type BlobLocation, parseStoreUrl } from '../storage/store-url.ts';
import { type CheckpointTarget, type CheckpointToolOptions, noStream, withCheckpoint } from './checkpoint-target.ts';
import { readStoredGraph } from './stored-graph.ts';

/** Where a stream stands in its inputs. */
export interface StreamPositions {
  readonly streamId: string;
  /** Undefined: no batch was committed yet. */
  readonly batchId: number | undefined;
  readonly batchTimeMs: number | undefined;
  readonly sources: readonly {
    readonly uid: string;
    readonly kind: string;
    readonly identity: Readonly<Record<string, string>>;
    /** Where the next batch starts reading, as the source keeps it. */
    readonly position: unknown;
  }[];
}

/** @throws CHECKPOINT_MISSING, CHECKPOINT_CORRUPT, what the store throws */
export function exportPositions(
  target: CheckpointTarget,
  options: CheckpointToolOptions = {},
): Promise<StreamPositions> {
  return withCheckpoint(target, options, async (store) => {
    const stream = await readStream(store, 'by hint');
    if (stream === undefined) throw noStream(store);
    const { streamId, lastBatch, positions, graph } = stream.status;
    const { sources } = readStoredGraph(graph);
    return {
      streamId,
      batchId: lastBatch?.batchId,
      batchTimeMs: lastBatch?.batchTimeMs,
      sources: Object.entries(positions).map(([uid, position]) => {
        const { kind, identity } = sources.get(uid) ?? { kind: '', identity: {} };
        return { uid, kind, identity, position };
      }),
    };
  });
}

/** Who reads an event hub. */
export interface HubConsumer {
  readonly fullyQualifiedNamespace: string;
  readonly eventHub: string;
  readonly consumerGroup: string;
}

/** One partition as the checkpoint store of the Event Hubs SDKs keeps it. */
export interface HubCheckpoint extends HubConsumer {
  readonly partitionId: string;
  /** Of the last event that is in a committed batch. */
  readonly sequenceNumber: number;
}

export interface CheckpointStoreOptions extends CheckpointToolOptions {
  /** Of the event hubs, `<name>.servicebus.windows.net`: the checkpoint does not hold it, it may move. */
  readonly fullyQualifiedNamespace: string;
  /** Container (and folder within it) of the blobs; its credentials if they are others. */
  readonly container: string;
  readonly containerStorage?: StoreOptions | undefined;
}

/**
 * Writes the positions as the blobs of a BlobCheckpointStore, which dashboards and scalers of lag read. Overwrites what
 * this stream's consumer group has there. The offset of an event is not known, and readers of lag don't use it: it is
 * written as -1, so that a consumer that took over from such a blob would begin at the beginning rather than miss events.
 *
 * Partitions of which nothing was read yet have no blob. Not atomic: each partition by itself.
 * @returns what was written.
 * @throws OPTION_INVALID when the stream reads no event hub, CONTAINER_MISSING and the like
 */
export async function writeBlobCheckpoints(
  target: CheckpointTarget,
  options: CheckpointStoreOptions,
): Promise<readonly HubCheckpoint[]> {
  const { fullyQualifiedNamespace, container, containerStorage } = options;
  const location = checkpointContainer(container, fullyQualifiedNamespace);
  const { sources, streamId } = await exportPositions(target, options);
  const checkpoints = sources.flatMap((source) => hubCheckpoints(source, fullyQualifiedNamespace));
  if (!sources.some(({ kind }) => kind === 'event-hubs')) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `Stream ${streamId} reads no event hub, so it has no positions for a checkpoint store.`,
    );
  }
  // Loaded by those who use it: the SDK takes 200 ms.
  const { putBlobCheckpoints } = await import('./azure-blob-checkpoints.ts');
  await putBlobCheckpoints(location, containerStorage ?? options.storage ?? {}, checkpoints);
  return checkpoints;
}

/** @throws OPTION_INVALID, URL_INVALID */
export function checkpointContainer(container: string, fullyQualifiedNamespace: string): BlobLocation {
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(fullyQualifiedNamespace)) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `The namespace is '${fullyQualifiedNamespace}'; give the host of the event hubs, such as contoso.servicebus.windows.net.`,
    );
  }
  const location = parseStoreUrl(container);
  if (location.kind === 'blob') return location;
  throw new TidemarkError(
    'OPTION_INVALID',
    `A blob checkpoint store is a container of Azure Blob storage; ${location.url} is none.`,
  );
}

function hubCheckpoints(
  { kind, identity, position }: StreamPositions['sources'][number],
  fullyQualifiedNamespace: string,
): readonly HubCheckpoint[] {
  const { eventHub, consumerGroup } = identity;
  if (kind !== 'event-hubs' || eventHub === undefined || consumerGroup === undefined) return [];
  const { partitions = {} } = (position ?? {}) as { readonly partitions?: Readonly<Record<string, number>> };
  return Object.entries(partitions)
    .filter(([, next]) => next > 0)
    .map(([partitionId, next]) => {
      return { fullyQualifiedNamespace, eventHub, consumerGroup, partitionId, sequenceNumber: next - 1 };
    });
}
