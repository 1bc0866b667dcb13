import { type AlarmEvent, type Average, thermostats } from '../../examples/thermostats.ts';
import { Milliseconds, StreamingContext, TidemarkError } from '../../src/index.ts';
import { runChild, tellParent } from './parent-channel.ts';
import type { DriverMessage } from './protocol.ts';

/**
 * Runs the thermostat application as a process of its own: settings from the environment, events to the parent over IPC.
 * It may be killed at any moment; started again with the same environment it goes on where it was.
 */

const environment = process.env;
const storage = { connectionString: environment.AZURE_STORAGE_CONNECTION_STRING };
const startedAtMs = performance.timeOrigin;

function tell(message: DriverMessage): void {
  void tellParent(message);
}

function required(name: string): string {
  const value = environment[name];
  if (value !== undefined && value !== '') return value;
  throw new TidemarkError('OPTION_INVALID', `The environment variable ${name} is not set.`);
}

const latest = { averages: [] as readonly Average[], alarms: [] as AlarmEvent[] };

function showTable(): void {
  const hottest = [...latest.averages].sort((a, b) => b.average - a.average).slice(0, 8);
  tell({
    type: 'table',
    rows: hottest.map(({ device, average, readings }) => ({
      device,
      'average °C (60 s)': average.toFixed(2),
      readings,
      'last alarm': latest.alarms.findLast((alarm) => alarm.device === device)?.event ?? '',
    })),
  });
}

await runChild(async () => {
  const ssc = await StreamingContext.getOrCreate(
    required('TIDEMARK_CHECKPOINT_URL'),
    () =>
      thermostats({
        connectionString: environment.EVENTHUB_CONNECTION_STRING,
        fullyQualifiedNamespace: environment.EVENTHUB_NAMESPACE,
        eventHubName: required('EVENTHUB_NAME'),
        consumerGroup: required('EVENTHUB_CONSUMER_GROUP'),
        startingSequenceNumbers: JSON.parse(environment.TIDEMARK_STARTING_SEQUENCE_NUMBERS ?? '{}'),
        outputUrl: required('TIDEMARK_OUTPUT_URL'),
        storage,
        // Many lives, and what they guarantee is the verdict's to tell.
        context: { startReport: false },
        onAverages: (rows) => {
          latest.averages = rows;
          showTable();
        },
        onAlarms: (rows) => {
          latest.alarms = [...latest.alarms, ...rows].slice(-200);
        },
      }),
    storage,
  );
  ssc.addStreamingListener({
    onStreamingStarted: (info) =>
      tell({
        type: 'recovered',
        slot: info.slot,
        epoch: info.epoch,
        stateKeys: info.stateKeys,
        batchesReplayed: info.batchesToCatchUp,
        tookMs: Math.round(Date.now() - startedAtMs),
      }),
    onBatchCompleted: (info) => {
      if (info.failureReason !== undefined) return;
      tell({
        type: 'batch',
        batchTimeMs: info.batchTimeMs,
        records: info.records,
        processingMs: info.processingDelayMs,
        schedulingDelayMs: info.schedulingDelayMs,
        totalDelayMs: info.totalDelayMs,
        checkpointBytes: info.checkpoint.bytes,
        checkpointOperations: info.checkpoint.operations,
      });
    },
  });
  process.on('message', (message: { readonly type: string }) => {
    if (message.type === 'stop') void ssc.stop({ graceful: true, timeout: Milliseconds(30_000) });
  });
  await ssc.start();
  await ssc.awaitTermination();
  await tellParent({ type: 'stopped' } satisfies DriverMessage);
});
