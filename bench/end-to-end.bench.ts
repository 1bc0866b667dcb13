import { ContainerClient } from '@azure/storage-blob';
import { startAzurite } from '../src/testing/azurite.ts';
import type { Bench } from './bench.ts';
import { eventsPerSecond, fillHub, hubPartitions, measured, type Run, reading, startHubs } from './hubs.ts';
import { median } from './median.ts';
import { compared } from './result.ts';

const hub = 'telemetry';
const events = 300_000;
const warm = 80_000;
const repeats = 5;

const cost = ({ cpuUs, events: count }: Run): number => cpuUs / count;

function row(program: string, runs: readonly Run[]): Record<string, string | number> {
  return {
    program,
    'events/s': Math.round(median(runs.map(eventsPerSecond))),
    'lowest and highest': `${Math.round(Math.min(...runs.map(eventsPerSecond)))} - ${Math.round(Math.max(...runs.map(eventsPerSecond)))}`,
    'CPU us/event': Math.round(median(runs.map(cost)) * 10) / 10,
  };
}

export const bench: Bench = {
  title: 'Event Hubs to exactly-once output with state, beside a plain subscribe loop with BlobCheckpointStore',
  measures:
    `${events.toLocaleString('en-US')} events of 200 bytes of JSON over ${hubPartitions} partitions, drained from the earliest: averages per device over a sliding minute, ` +
    'an alarm per device. Counted after ' +
    `${warm.toLocaleString('en-US')} events, until the last is committed. Emulator and Azurite in processes of their own on the same cores; the two in turn, each in a fresh ` +
    'process. Tidemark checkpoints every batch of 250 ms and publishes both outputs to blobs, exactly once. The loop is at ' +
    'least once, keeps its state in memory only, writes a checkpoint per batch and partition, and its outputs nowhere.',
  run: async ({ rounds, progress }) => {
    const hubs = await startHubs([hub]);
    const azurite = await startAzurite();
    try {
      const env = {
        ...{ CONNECTION_STRING: hubs.connectionString, HUB: hub, TOTAL: String(events), WARM: String(warm) },
        AZURE_STORAGE_CONNECTION_STRING: azurite.connectionString,
      };
      await new ContainerClient(azurite.connectionString, 'end-to-end').create();
      await fillHub(hubs, hub, events, reading);
      const tidemark: Run[] = [];
      const sdk: Run[] = [];
      for (let i = 0; i < rounds(repeats); i++) {
        progress(`round ${i + 1} of ${rounds(repeats)}`);
        tidemark.push(await measured('end-to-end-tidemark.ts', { ...env, RUN: `run-${i}`, CHECKPOINT: 'blob' }));
        sdk.push(await measured('end-to-end-sdk.ts', { ...env, RUN: `run-${i}` }));
      }
      const table = {
        title: 'medians',
        rows: [
          row('Tidemark: exactly once, state in the checkpoint', tidemark),
          row('EventHubConsumerClient.subscribe + BlobCheckpointStore', sdk),
        ],
      };
      const sides = (figure: (run: Run) => number) => ({ ours: tidemark.map(figure), peer: sdk.map(figure) });
      const what = 'end to end, exactly once';
      const against = 'subscribe, state in memory, BlobCheckpointStore';
      return {
        tables: [table],
        rows: [
          compared({ ...{ what, against, unit: 'events/s', better: 'more', atLeast: 1 }, ...sides(eventsPerSecond) }),
          compared({ ...{ what, against, unit: 'CPU us/event', better: 'less', atLeast: 1 }, ...sides(cost) }),
        ],
      };
    } finally {
      hubs.stop();
      await azurite.stop();
    }
  },
};
