import { fork } from 'node:child_process';
import { join } from 'node:path';
import { EventHubProducerClient } from '@azure/event-hubs';
import { ContainerClient } from '@azure/storage-blob';
import { Child } from '../scripts/demo/child.ts';
import type { ServicesMessage } from '../scripts/demo/protocol.ts';
import { readLocalSettings } from '../scripts/local-settings.ts';
import { SeededRandom } from '../src/base/random.ts';
import type { Bench } from './bench.ts';
import { median } from './median.ts';
import { compared } from './result.ts';

const events = 200_000;
const repeats = 5;

interface Run {
  readonly ms: number;
  readonly cpuUs: number;
}

async function fill(connectionString: string): Promise<void> {
  const producer = new EventHubProducerClient(connectionString, 'telemetry');
  const random = new SeededRandom(3);
  for (let sent = 0; sent < events; sent += 2000) {
    const batch = Array.from({ length: 2000 }, (_, i) => ({
      body: {
        deviceId: `thermostat-${Math.floor(random.next() * 500)}`,
        temperature: Math.round(random.next() * 400) / 10,
        at: Date.now(),
        seq: sent + i,
        note: 'x'.repeat(90),
      },
    }));
    await producer.sendBatch(batch, { partitionId: String((sent / 2000) % 4) });
  }
  await producer.close();
}

function drain(script: string, env: Record<string, string>): Promise<Run> {
  const child = fork(join(import.meta.dirname, script), { env: { ...process.env, ...env } });
  return new Promise((resolve, reject) => {
    child.on('message', (run: Run) => resolve(run));
    child.on('exit', (code) => code !== 0 && reject(new Error(`${script} ended with ${code}`)));
  });
}

function row(pipeline: string, runs: readonly Run[]): Record<string, string | number> {
  return {
    pipeline,
    'events/s': Math.round(median(runs.map(({ ms }) => (events / ms) * 1000))),
    'CPU us/event': Math.round(median(runs.map(({ cpuUs }) => cpuUs / events)) * 10) / 10,
    'fastest events/s': Math.round(Math.max(...runs.map(({ ms }) => (events / ms) * 1000))),
  };
}

export const bench: Bench = {
  title: 'Events through the demo pipeline, beside a plain subscribe loop with BlobCheckpointStore',
  measures:
    `${events.toLocaleString('en-US')} events of about 190 bytes over 4 partitions, drained from the earliest; emulator and Azurite on the ` +
    'same machine, in processes of their own and competing for its cores; the two in turn, median of 5. From ready to the last event ' +
    'committed. The plain loop is at least once and keeps its averages in memory only.',
  run: async ({ rounds, progress }) => {
    const { storage, eventHubs } = readLocalSettings();
    const hubs = [{ name: 'telemetry', partitionCount: 4, consumerGroups: [] }];
    const settings = {
      storage: { ...storage, port: 0, dataFolder: undefined },
      eventHubs: { ...eventHubs, port: 0, hubs, dataFolder: undefined },
    };
    const services = new Child<ServicesMessage>({
      name: 'services',
      script: 'scripts/demo/services-process.ts',
      args: [JSON.stringify(settings)],
      env: {},
      onMessage: () => {},
      onLine: (line) => console.log(line),
    });
    try {
      const ready = await services.next('ready', 60_000);
      const env = {
        EVENTHUB_CONNECTION_STRING: ready.eventHubsConnectionString,
        AZURE_STORAGE_CONNECTION_STRING: ready.storageConnectionString,
        TOTAL: String(events),
      };
      await new ContainerClient(ready.storageConnectionString, 'throughput').create();
      await fill(ready.eventHubsConnectionString);
      const tidemark: Run[] = [];
      const sdk: Run[] = [];
      for (let i = 0; i < rounds(repeats); i++) {
        progress(`round ${i + 1} of ${rounds(repeats)}`);
        tidemark.push(await drain('throughput-tidemark.ts', { ...env, RUN: `run-${i}` }));
        sdk.push(await drain('throughput-sdk.ts', { ...env, RUN: `run-${i}` }));
      }
      const table = {
        title: 'medians',
        rows: [
          row('Tidemark: exactly once, window in the checkpoint', tidemark),
          row('EventHubConsumerClient.subscribe + BlobCheckpointStore', sdk),
        ],
      };
      const sides = (figure: (run: Run) => number) => ({ ours: tidemark.map(figure), peer: sdk.map(figure) });
      const what = 'end to end, exactly once';
      const against = 'subscribe, averages in memory, BlobCheckpointStore';
      return {
        tables: [table],
        rows: [
          compared({
            ...{ what, against, unit: 'events/s', better: 'more', atLeast: 1 },
            ...sides(({ ms }) => (events / ms) * 1000),
          }),
          compared({
            ...{ what, against, unit: 'CPU us/event', better: 'less', atLeast: 1 },
            ...sides(({ cpuUs }) => cpuUs / events),
          }),
        ],
      };
    } finally {
      await services.kill();
    }
  },
};
