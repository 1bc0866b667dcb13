import { EventHubProducerClient } from '@azure/event-hubs';
import { TidemarkError } from '../../src/base/errors.ts';
import type { HubPartition } from './partition-sender.ts';
import type { Reading } from './telemetry.ts';

/** The hub under test, through the published SDK. */
export interface Hub {
  readonly partitions: readonly HubPartition[];
  close(): Promise<void>;
}

// No retries in the SDK: the ledger must know of every send (see PartitionSender).
const clientOptions = { retryOptions: { maxRetries: 0, timeoutInMs: 10_000 } };

/**
 * With `EVENTHUB_CONNECTION_STRING`, or with `EVENTHUB_NAMESPACE` and DefaultAzureCredential; `EVENTHUB_NAME` names the hub.
 *
 * @throws TidemarkError OPTION_INVALID when neither is there
 */
export async function openHub(env: NodeJS.ProcessEnv): Promise<Hub> {
  const client = await createProducer(env);
  const ids = await client.getPartitionIds();
  return { partitions: ids.map((id) => openPartition(client, id)), close: () => client.close() };
}

async function createProducer(env: NodeJS.ProcessEnv): Promise<EventHubProducerClient> {
  const { EVENTHUB_CONNECTION_STRING: connectionString, EVENTHUB_NAMESPACE: namespace, EVENTHUB_NAME: name = '' } = env;
  if (connectionString) {
    // The name may be part of the connection string; the SDK refuses to be told twice.
    return /;EntityPath=/i.test(connectionString)
      ? new EventHubProducerClient(connectionString, clientOptions)
      : new EventHubProducerClient(connectionString, name, clientOptions);
  }
  if (namespace) {
    const { DefaultAzureCredential } = await import('@azure/identity');
    return new EventHubProducerClient(namespace, name, new DefaultAzureCredential(), clientOptions);
  }
  throw new TidemarkError('OPTION_INVALID', 'EVENTHUB_CONNECTION_STRING or EVENTHUB_NAMESPACE is needed.');
}

function openPartition(client: EventHubProducerClient, id: string): HubPartition {
  return {
    id,
    send: async (readings: readonly Reading[], willSend: (count: number) => void) => {
      const batch = await client.createBatch({ partitionId: id });
      for (const reading of readings) {
        if (!batch.tryAdd({ body: reading })) break;
      }
      if (batch.count === 0) throw new TidemarkError('LIMIT_EXCEEDED', 'One reading is larger than a message may be.');
      willSend(batch.count);
      await client.sendBatch(batch);
      return batch.count;
    },
    lastSequenceNumber: async () => (await client.getPartitionProperties(id)).lastEnqueuedSequenceNumber,
  };
}
