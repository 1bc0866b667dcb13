import { connectContainer } from '../storage/azure-credentials.ts';
import { classifyAzureError } from '../storage/azure-errors.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import type { BlobLocation } from '../storage/store-url.ts';
import type { HubCheckpoint } from './export-positions.ts';

const attemptsMax = 4;

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
  const root = location.prefix === '' ? '' : `${location.prefix}/`;
  for (const checkpoint of checkpoints) {
    const { fullyQualifiedNamespace, eventHub, consumerGroup, partitionId, sequenceNumber } = checkpoint;
    const folder = `${fullyQualifiedNamespace}/${eventHub}/${consumerGroup}`.toLowerCase();
    const blob = client.getBlockBlobClient(`${root}${folder}/checkpoint/${partitionId}`);
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
