import { thermostats } from '../../../examples/thermostats.ts';
import { runChild, tellParent } from '../../../scripts/demo/parent-channel.ts';
import type { DriverMessage } from '../../../scripts/demo/protocol.ts';
import { Milliseconds, StreamingContext } from '../../../src/index.ts';
import type { RecoveryTestMessage } from './application.ts';

/**
 * The thermostat application with short batches, in a process of its own that sends itself a signal when it passes a
 * named point for the n-th time: `SIGNAL_AT=<point>:<n>:<signal>`.
 */
const { CHECKPOINT_URL, OUTPUT_URL, STORAGE, HUB, SIGNAL_AT = '' } = process.env;
const [point, count, signal] = SIGNAL_AT.split(/:(?=\d+:)|:(?=SIG)/);
const storage = { connectionString: STORAGE };
let passed = 0;

async function crashHook(reached: string): Promise<void> {
  if (reached !== point) return;
  passed += 1;
  if (passed !== Number(count)) return;
  if (signal === 'SIGSTOP') await tellParent({ type: 'freezing' } satisfies RecoveryTestMessage);
  process.kill(process.pid, signal as NodeJS.Signals);
}

await runChild(async () => {
  const ssc = await StreamingContext.getOrCreate(
    CHECKPOINT_URL!,
    () =>
      thermostats({
        connectionString: HUB,
        eventHubName: 'telemetry',
        consumerGroup: 'thermostats',
        startingSequenceNumbers: {},
        outputUrl: OUTPUT_URL!,
        storage,
        onAverages: () => {},
        onAlarms: () => {},
        context: {
          batchInterval: Milliseconds(250),
          checkpoint: { manifestEveryRecords: 10, silenceThresholdMs: 2000 },
          environment: { crashHook },
        },
      }),
    storage,
  );
  ssc.addStreamingListener({
    onStreamingStarted: ({ slot, epoch, stateKeys, batchesToCatchUp: batchesReplayed, tookMs }) =>
      void tellParent({ type: 'recovered', slot, epoch, stateKeys, batchesReplayed, tookMs } satisfies DriverMessage),
    onBatchCompleted: (info) => {
      if (info.failureReason !== undefined) return;
      void tellParent({
        type: 'batch',
        batchTimeMs: info.batchTimeMs,
        records: info.records,
        processingMs: info.processingDelayMs,
        schedulingDelayMs: info.schedulingDelayMs,
        totalDelayMs: info.totalDelayMs,
        checkpointBytes: info.checkpoint.bytes,
        checkpointOperations: info.checkpoint.operations,
      } satisfies DriverMessage);
    },
  });
  process.on('message', () => void ssc.stop({ graceful: true, timeout: Milliseconds(30_000) }));
  await ssc.start();
  await ssc.awaitTermination();
  await tellParent({ type: 'stopped' } satisfies DriverMessage);
});
