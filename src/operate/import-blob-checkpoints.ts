import type { CheckpointTarget } from '../inspect/checkpoint-target.ts';
import { checkpointContainer, type HubCheckpoint, type HubConsumer } from '../inspect/export-positions.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import { type ImportedPosition, type ImportOptions, type ImportReport, importPositions } from './import-positions.ts';

export interface BlobImportOptions extends ImportOptions, HubConsumer {
  /** Of the input in the program that goes on from there. It must read with the same consumer group. */
  readonly uid: string;
  /** Container (and folder within it) of the blobs; its credentials if they are others. */
  readonly container: string;
  readonly containerStorage?: StoreOptions | undefined;
}

export interface BlobImportReport extends ImportReport {
  readonly checkpoints: readonly HubCheckpoint[];
}

/**
 * Lets an input go on where consumers with a BlobCheckpointStore stand: after the last event each partition's blob names. Stop
 * the consumers first; what they processed after their last checkpoint is read again. A partition without a blob
 * begins where the program's `startingPosition` says.
 *
 * @throws OPTION_INVALID when there are no usable blobs, and as importPositions
 */
export async function importBlobCheckpoints(
  target: CheckpointTarget,
  options: BlobImportOptions,
): Promise<BlobImportReport> {
  const checkpoints = await readCheckpointStore(options);
  const report = await importPositions(target, [positionOf(options, checkpoints)], {
    ...options,
    origin: options.origin ?? `checkpoints of ${options.fullyQualifiedNamespace} in ${options.container.split('?')[0]}`,
  });
  return { ...report, checkpoints };
}

/** What {@link importBlobCheckpoints} would take over. @throws OPTION_INVALID, CONTAINER_MISSING and the like */
export async function readCheckpointStore(options: BlobImportOptions): Promise<readonly HubCheckpoint[]> {
  const { container, containerStorage, storage, fullyQualifiedNamespace, eventHub, consumerGroup } = options;
  const location = checkpointContainer(container, fullyQualifiedNamespace);
  // Loaded by those who use it: the SDK takes 200 ms.
  const { readBlobCheckpoints } = await import('../inspect/azure-blob-checkpoints.ts');
  const consumer = { fullyQualifiedNamespace, eventHub, consumerGroup };
  return readBlobCheckpoints(location, containerStorage ?? storage ?? {}, consumer);
}

/** As the source keeps it: the next sequence number by partition. When the hub was created is not known. */
function positionOf(
  { uid, eventHub, consumerGroup }: BlobImportOptions,
  checkpoints: readonly HubCheckpoint[],
): ImportedPosition {
  return {
    uid,
    kind: 'event-hubs',
    identity: { eventHub: eventHub.toLowerCase(), consumerGroup: consumerGroup.toLowerCase() },
    position: {
      createdOn: 0,
      partitions: Object.fromEntries(
        checkpoints.map(({ partitionId, sequenceNumber }) => [partitionId, sequenceNumber + 1]),
      ),
    },
  };
}
