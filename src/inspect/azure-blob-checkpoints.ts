import { TidemarkError } from '../base/errors.ts';
import { connectContainer } from '../storage/azure-credentials.ts';
import { classifyAzureError } from '../storage/azure-errors.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import type { BlobLocation } from '../storage/store-url.ts';
import type { HubCheckpoint, HubConsumer } from './export-positions.ts';

const attemptsMax = 4;
// Far above the partitions of any event hub.
const blobsMax = 10_000;

/**
 * One empty blob per partition, with the position in its metadata: what `@azure/eventhubs-checkpointstore-blob` and its
 * sisters in other languages keep. Writing the same position twice is harmless, so a lost answer is simply tried again.
 */
export async function putBlobCheckpoints(
  location: BlobLocation,
  options: StoreOptions,
  checkpoints: readonly HubCheckpoint[],
): Promise<void> {
  const { client, url } = await connectContainer(location, options);
  for (const checkpoint of checkpoints) {
    const { partitionId, sequenceNumber } = checkpoint;
    const blob = client.getBlockBlobClient(`${folderOf(location, checkpoint)}${partitionId}`);
    const metadata = { sequencenumber: String(sequenceNumber), offset: '-1' };
    for (let attempt = 1; ; attempt++) {
      try {
        await blob.upload('', 0, { metadata });
        break;
      } catch (thrown) {
        const { kind, error } = classifyAzureError(thrown, url);
        if (kind !== 'passing' || attempt === attemptsMax) throw error;
      }
    }
  }
}

/**
 * What consumers have written there, by partition.
 * @throws OPTION_INVALID when there is none, or one without a sequence number; what the store throws
 */
export async function readBlobCheckpoints(
  location: BlobLocation,
  options: StoreOptions,
  consumer: HubConsumer,
): Promise<readonly HubCheckpoint[]> {
  const { client, url } = await connectContainer(location, options);
  const prefix = folderOf(location, consumer);
  const checkpoints: HubCheckpoint[] = [];
  try {
    for await (const { name, metadata = {} } of client.listBlobsFlat({ prefix, includeMetadata: true })) {
      const text = Object.entries(metadata).find(([field]) => field.toLowerCase() === 'sequencenumber')?.[1];
      const sequenceNumber = text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
      if (sequenceNumber === undefined || checkpoints.length === blobsMax) throw unusable(url, name, text);
      checkpoints.push({ ...consumer, partitionId: name.slice(prefix.length), sequenceNumber });
    }
  } catch (thrown) {
    if (thrown instanceof TidemarkError) throw thrown;
    throw classifyAzureError(thrown, url).error;
  }
  if (checkpoints.length > 0) return checkpoints;
  throw new TidemarkError(
    'OPTION_INVALID',
    `There is no checkpoint at ${url} below "${prefix}". Check namespace, event hub and consumer group.`,
  );
}

/** The SDKs write all three names in lower case. */
function folderOf(location: BlobLocation, { fullyQualifiedNamespace, eventHub, consumerGroup }: HubConsumer): string {
  const root = location.prefix === '' ? '' : `${location.prefix}/`;
  return `${root}${`${fullyQualifiedNamespace}/${eventHub}/${consumerGroup}`.toLowerCase()}/checkpoint/`;
}

function unusable(url: string, name: string, sequenceNumber: string | undefined): TidemarkError {
  return new TidemarkError(
    'OPTION_INVALID',
    `The checkpoint "${name}" at ${url} has the sequence number ${sequenceNumber ?? '(none)'}, which is no number of an event: ` +
      'a stream goes on by sequence numbers. Let its consumer checkpoint once more, or remove the blob.',
  );
}
