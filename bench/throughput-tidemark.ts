import { Milliseconds, Minutes, Seconds, StreamingContext } from '../src/index.ts';
import { blobSink } from '../src/sinks/blob-sink.ts';

/** Drains a hub that holds TOTAL events through the demo's sliding average, checkpointing every batch. */
const { EVENTHUB_CONNECTION_STRING, TOTAL, RUN } = process.env;
const total = Number(TOTAL);
interface Reading {
  readonly deviceId: string;
  readonly temperature: number;
}

const ssc = await StreamingContext.getOrCreate(
  `az://throughput/${RUN}/checkpoint`,
  () => {
    const context = new StreamingContext({
      appName: 'throughput',
      batchInterval: Milliseconds(250),
      startReport: false,
    });
    context
      .eventHubStream({
        connectionString: EVENTHUB_CONNECTION_STRING,
        eventHubName: 'telemetry',
        startingPosition: 'earliest',
        bufferEventsMax: 30_000,
      })
      .map((event) => event.body as Reading)
      .map((reading): [string, { total: number; count: number }] => [
        reading.deviceId,
        { total: reading.temperature, count: 1 },
      ])
      .reduceByKeyAndWindow(
        (a, b) => ({ total: a.total + b.total, count: a.count + b.count }),
        (a, b) => ({ total: a.total - b.total, count: a.count - b.count }),
        Minutes(1),
        Seconds(5),
      )
      .saveTo(blobSink({ url: `az://throughput/${RUN}/output` }));
    return context;
  },
  {},
);
let seen = 0;
let startedMs = 0;
let cpu = process.cpuUsage();
ssc.addStreamingListener({
  onStreamingStarted: () => {
    startedMs = performance.now();
    cpu = process.cpuUsage();
  },
  onBatchCompleted: ({ records, failureReason }) => {
    if (failureReason !== undefined) throw new Error(failureReason);
    seen += records;
    if (seen < total) return;
    const { user, system } = process.cpuUsage(cpu);
    process.send?.({ ms: performance.now() - startedMs, cpuUs: user + system }, undefined, {}, () => process.exit(0));
  },
});
await ssc.start();
await ssc.awaitTermination();
