import { EventHubConsumerClient, type PartitionContext, type ReceivedEventData } from '@azure/event-hubs';
import { BlobCheckpointStore } from '@azure/eventhubs-checkpointstore-blob';
import { ContainerClient } from '@azure/storage-blob';

/**
 * What people write today: subscribe at its best setting, the same average per device in memory, a checkpoint per batch
 * and partition. At least once; the averages are lost with the process.
 */
const { EVENTHUB_CONNECTION_STRING, AZURE_STORAGE_CONNECTION_STRING, TOTAL, RUN } = process.env;
const total = Number(TOTAL);
const container = new ContainerClient(AZURE_STORAGE_CONNECTION_STRING!, `sdk-${RUN}`);
await container.createIfNotExists();
const client = new EventHubConsumerClient(
  '$Default',
  EVENTHUB_CONNECTION_STRING!,
  'telemetry',
  new BlobCheckpointStore(container),
  { loadBalancingOptions: { strategy: 'greedy' } },
);

const paneMs = 5000;
const panes = new Map<number, Map<string, { total: number; count: number }>>();
let seen = 0;
let startedMs = 0;
let cpu = process.cpuUsage();

client.subscribe(
  {
    processEvents: async (events: ReceivedEventData[], context: PartitionContext) => {
      if (events.length === 0) return;
      if (startedMs === 0) {
        startedMs = performance.now();
        cpu = process.cpuUsage();
      }
      const pane = Math.floor(Date.now() / paneMs);
      let sums = panes.get(pane);
      if (sums === undefined) {
        sums = new Map();
        panes.set(pane, sums);
        for (const old of panes.keys()) if (old <= pane - 12) panes.delete(old);
      }
      for (const event of events) {
        const { deviceId, temperature } = event.body as { deviceId: string; temperature: number };
        const sum = sums.get(deviceId);
        if (sum === undefined) {
          sums.set(deviceId, { total: temperature, count: 1 });
        } else {
          sum.total += temperature;
          sum.count += 1;
        }
      }
      await context.updateCheckpoint(events[events.length - 1]!);
      seen += events.length;
      if (seen < total) return;
      const { user, system } = process.cpuUsage(cpu);
      process.send?.({ ms: performance.now() - startedMs, cpuUs: user + system }, undefined, {}, () => process.exit(0));
    },
    processError: async (error) => console.error(error.message),
  },
  { maxBatchSize: 1000, prefetchCount: 10_000, maxWaitTimeInSeconds: 1, startPosition: { offset: '-1' } },
);
