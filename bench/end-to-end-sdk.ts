import { EventHubConsumerClient, type PartitionContext, type ReceivedEventData } from '@azure/event-hubs';
import { BlobCheckpointStore } from '@azure/eventhubs-checkpointstore-blob';
import { ContainerClient } from '@azure/storage-blob';
import { type Alarm, alarmOf } from './end-to-end-work.ts';
import type { Reading } from './hubs.ts';

/**
 * What people write today: subscribe at its best setting, the same averages and alarms in memory, a checkpoint per batch
 * and partition. At least once; averages and alarms are lost with the process, and what is put out goes nowhere.
 */
const { CONNECTION_STRING, HUB, AZURE_STORAGE_CONNECTION_STRING, TOTAL, WARM, RUN } = process.env;
const total = Number(TOTAL);
const container = new ContainerClient(AZURE_STORAGE_CONNECTION_STRING!, `sdk-${RUN}`);
await container.createIfNotExists();
const client = new EventHubConsumerClient('$Default', CONNECTION_STRING!, HUB!, new BlobCheckpointStore(container), {
  loadBalancingOptions: { strategy: 'greedy' },
});

const paneMs = 1000;
const panesKept = 60;
const panes = new Map<number, Map<string, { total: number; count: number }>>();
const alarms = new Map<string, Alarm>();
let put = 0;
let seen = 0;
let startedAt = 0;
let startedMs = 0;
let cpu = process.cpuUsage();

/** The averages of the last minute as lines of JSON, and an end to panes that are older. */
function putAverages(now: number): void {
  const sums = new Map<string, { total: number; count: number }>();
  for (const [pane, ofDevices] of panes) {
    if (pane <= now - panesKept) {
      panes.delete(pane);
      continue;
    }
    for (const [device, { total: sum, count }] of ofDevices) {
      const before = sums.get(device);
      sums.set(device, { total: sum + (before?.total ?? 0), count: count + (before?.count ?? 0) });
    }
  }
  for (const [device, sum] of sums) put += JSON.stringify({ device, average: sum.total / sum.count }).length;
}

client.subscribe(
  {
    processEvents: async (events: ReceivedEventData[], context: PartitionContext) => {
      if (events.length === 0) return;
      const pane = Math.floor(Date.now() / paneMs);
      let sums = panes.get(pane);
      if (sums === undefined) {
        putAverages(pane);
        sums = new Map();
        panes.set(pane, sums);
      }
      for (const event of events) {
        const { deviceId, temperature } = event.body as Reading;
        const sum = sums.get(deviceId);
        if (sum === undefined) {
          sums.set(deviceId, { total: temperature, count: 1 });
        } else {
          sum.total += temperature;
          sum.count += 1;
        }
        const before = alarms.get(deviceId);
        const after = alarmOf(before, temperature);
        alarms.set(deviceId, after);
        if (after.isHot !== (before?.isHot ?? false)) put += JSON.stringify({ device: deviceId, ...after }).length;
      }
      await context.updateCheckpoint(events[events.length - 1]!);
      seen += events.length;
      if (startedMs === 0 && seen >= Number(WARM)) {
        startedAt = seen;
        startedMs = performance.now();
        cpu = process.cpuUsage();
      }
      if (seen < total || !process.connected) return;
      const { user, system } = process.cpuUsage(cpu);
      const run = { ms: performance.now() - startedMs, cpuUs: user + system, events: seen - startedAt, put };
      process.send?.(run, undefined, {}, () => process.exit(0));
    },
    processError: async (error) => console.error(error.message),
  },
  { maxBatchSize: 5000, prefetchCount: 10_000, maxWaitTimeInSeconds: 1, startPosition: { offset: '-1' } },
);
