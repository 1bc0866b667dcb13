import { ManualClock } from '../src/base/clock.ts';
import { SeededRandom } from '../src/base/random.ts';
import { Minutes, Seconds } from '../src/base/time.ts';
import { blobSink } from '../src/sinks/blob-sink.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import { operationTypes } from '../src/storage/operation-counters.ts';
import { StreamingContext } from '../src/streaming-context.ts';
import { MemoryTopic } from '../src/testing/memory-topic.ts';
import type { Bench, BenchTable } from './bench.ts';

const batches = 600;
const devices = 500;
const rowsPerBatch = 2000;

interface Sum {
  readonly total: number;
  readonly count: number;
}

/** The demo's shapes of state over `batches` batches, on a manual clock. */
async function run(withForeach: boolean): Promise<BenchTable> {
  const clock = new ManualClock(0);
  const store = new MemoryStore({ clock });
  const topic = new MemoryTopic<readonly [string, number]>('telemetry', 4);
  const random = new SeededRandom(1);
  for (let t = 1; t <= batches; t++) {
    for (let i = 0; i < rowsPerBatch; i++) {
      topic.send(t * 1000, i % 4, [
        `thermostat-${Math.floor(random.next() * devices)}`,
        Math.round(random.next() * 400) / 10,
      ]);
    }
  }
  const ssc = await StreamingContext.getOrCreate(store, () => {
    const context = new StreamingContext({
      appName: 'bench',
      batchInterval: Seconds(1),
      environment: { clock, random },
    });
    const rows = context.sourceStream(topic.source());
    rows
      .mapValues((value): Sum => ({ total: value, count: 1 }))
      .reduceByKeyAndWindow(
        (a, b) => ({ total: a.total + b.total, count: a.count + b.count }),
        (a, b) => ({ total: a.total - b.total, count: a.count - b.count }),
        Minutes(1),
        Seconds(5),
      )
      .saveTo(blobSink({ url: 'memory:bench-output' }));
    const counts = rows.updateStateByKey((values, n: number | undefined) => (n ?? 0) + values.length);
    if (withForeach) counts.foreachRDD(async (rdd) => void (await rdd.count()));
    else counts.saveTo(blobSink({ url: 'memory:bench-output' }));
    return context;
  });
  let done = 0;
  let wake = (): void => {};
  ssc.addStreamingListener({
    onBatchCompleted: () => {
      done += 1;
      wake();
    },
  });
  await ssc.start();
  const before = store.operations.snapshot();
  for (let t = 1; t <= batches; t++) {
    const next = new Promise<void>((resolve) => {
      wake = resolve;
    });
    clock.advanceTo(t * 1000);
    if (done < t) await next;
  }
  const after = store.operations.snapshot();
  let objects = 0;
  for await (const _ of store.list('')) objects += 1;
  await ssc.stop();
  return {
    title: `${withForeach ? 'with foreachRDD (a plan record per batch)' : 'outputs published after the commit'}: ${batches} batches of ${rowsPerBatch} rows, ${devices} keys, ${objects} objects kept`,
    rows: operationTypes.map((type) => ({
      operation: type,
      'requests per batch': (after[type].requests - before[type].requests) / batches,
      'KB written per batch': (after[type].bytesWritten - before[type].bytesWritten) / batches / 1000,
      'KB read per batch': (after[type].bytesRead - before[type].bytesRead) / batches / 1000,
    })),
  };
}

export const bench: Bench = {
  title: 'Operations and bytes of the checkpoint store per batch',
  isByHand: true,
  measures:
    'Exact counts at the store port, manifests, hints, floors and deletes included; the output container is not counted. Not a time.',
  run: async () => ({ tables: [await run(false), await run(true)], rows: [] }),
};
