import { SystemRandom } from '../src/base/random.ts';
import { CheckpointPlace } from '../src/execution/checkpoint-place.ts';
import { blobSink, Milliseconds, Minutes, Seconds, type State, StateSpec, StreamingContext } from '../src/index.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import { DistantStore } from './distant-store.ts';
import { type Alarm, alarmOf } from './end-to-end-work.ts';
import type { Reading } from './hubs.ts';

/** Drains a hub that holds TOTAL events, checkpointing every batch; with CHECKPOINT=distant beyond 10 to 30 ms, with `off` nowhere. */
const { CONNECTION_STRING, HUB, TOTAL, WARM, RUN, CHECKPOINT } = process.env;
const total = Number(TOTAL);
const root = CHECKPOINT === 'blob' ? `az://end-to-end/${RUN}` : 'memory:end-to-end';
// A program with state refuses to run without a checkpoint, which is what shall be measured.
if (CHECKPOINT === 'off') CheckpointPlace.prototype.open = () => Promise.resolve(undefined);

function build(): StreamingContext {
  const context = new StreamingContext({
    appName: 'end-to-end',
    batchInterval: Milliseconds(250),
    startReport: false,
  });
  const readings = context
    .eventHubStream({
      connectionString: CONNECTION_STRING,
      eventHubName: HUB,
      startingPosition: 'earliest',
      bufferEventsMax: 30_000,
    })
    .map((event) => event.body as Reading)
    .map((reading) => [reading.deviceId, reading] as const);
  readings
    .mapValues(({ temperature }) => ({ total: temperature, count: 1 }))
    .reduceByKeyAndWindow(
      (a, b) => ({ total: a.total + b.total, count: a.count + b.count }),
      (a, b) => ({ total: a.total - b.total, count: a.count - b.count }),
      Minutes(1),
      Seconds(1),
    )
    .map(([device, sum]) => ({ device, average: sum.total / sum.count }))
    .saveTo(blobSink({ url: `${root}/averages` }));
  readings
    .mapWithState(
      StateSpec.function((device: string, reading: Reading | undefined, state: State<Alarm>) => {
        if (reading === undefined) return undefined;
        const before = state.getOption();
        const after = alarmOf(before, reading.temperature);
        state.update(after);
        return after.isHot === (before?.isHot ?? false) ? undefined : { device, ...after };
      }),
    )
    .saveTo(blobSink({ url: `${root}/alarms` }));
  return context;
}

const ssc =
  CHECKPOINT === 'off'
    ? build()
    : await StreamingContext.getOrCreate(
        CHECKPOINT === 'blob' ? `${root}/checkpoint` : new DistantStore(new MemoryStore(), new SystemRandom(), 10, 30),
        build,
      );
let seen = 0;
let startedAt = 0;
let startedMs = 0;
let cpu = process.cpuUsage();
ssc.addStreamingListener({
  onBatchCompleted: ({ records, failureReason }) => {
    if (failureReason !== undefined) throw new Error(failureReason);
    seen += records;
    if (startedMs === 0 && seen >= Number(WARM)) {
      startedAt = seen;
      startedMs = performance.now();
      cpu = process.cpuUsage();
    }
    if (seen < total) return;
    const { user, system } = process.cpuUsage(cpu);
    const run = { ms: performance.now() - startedMs, cpuUs: user + system, events: seen - startedAt };
    process.send?.(run, undefined, {}, () => process.exit(0));
  },
});
await ssc.start();
await ssc.awaitTermination();
