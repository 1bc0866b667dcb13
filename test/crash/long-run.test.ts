import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Seconds } from '../../src/base/time.ts';
import type { StreamingContextOptions } from '../../src/execution/context-options.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import type { OperationType } from '../../src/storage/operation-counters.ts';
import { StreamingContext } from '../../src/streaming-context.ts';
import { MemoryTopic } from '../../src/testing/memory-topic.ts';
import { DrivenStream } from '../support/driven-stream.ts';
import { Shelf } from '../unit/engine/support.ts';

const batches = 100_000;
const sampleEvery = 5000;
// By then the first manifests are old enough to go.
const settledAfter = 10_000;
const keys = 60;

async function sizeOf(store: MemoryStore): Promise<{ readonly objects: number; readonly bytes: number }> {
  let objects = 0;
  let bytes = 0;
  for await (const { sizeBytes } of store.list('')) {
    objects += 1;
    bytes += sizeBytes;
  }
  return { objects, bytes };
}

/** A count and a window per key, on simulated time. */
async function prepared(appName: string, checkpoint?: StreamingContextOptions['checkpoint']) {
  const clock = new ManualClock(0);
  const store = new MemoryStore({ clock });
  const topic = new MemoryTopic<readonly [string, number]>('numbers', 1);
  const shelf = new Shelf();
  const context = await StreamingContext.getOrCreate(store, () => {
    const ssc = new StreamingContext({
      appName,
      batchInterval: Seconds(1),
      defaultParallelism: 1,
      checkpoint,
      environment: { clock, random: new SeededRandom(1), print: () => {}, allowSeveral: true },
    });
    const rows = ssc.sourceStream(topic.source(), { uid: 'numbers' });
    rows
      .updateStateByKey((values, n: number | undefined) => (n ?? 0) + values.length, { uid: 'counts' })
      .saveTo(shelf.sink(), { uid: 'out' });
    rows.reduceByKeyAndWindow((a, b) => a + b, Seconds(10), Seconds(5), { uid: 'sums' }).saveTo(shelf.sink('sums'));
    return ssc;
  });
  const driven = new DrivenStream(context, clock, 1000);
  return { store, topic, shelf, context, driven };
}

test('in a run of 100,000 batches the objects and bytes of the checkpoint stay bounded, at one put a batch', {
  timeout: 300_000,
}, async () => {
  const { store, topic, shelf, context, driven } = await prepared('long-run');
  await context.start();
  const samples: { readonly objects: number; readonly bytes: number }[] = [];
  let settled = store.operations.snapshot();
  for (let batch = 1; batch <= batches; batch++) {
    topic.send(batch * 1000 - 500, 0, [`key ${batch % keys}`, batch]);
    await driven.runTo(batch * 1000);
    shelf.published.clear();
    driven.batches.length = 1;
    driven.batches[0] = { ...driven.batches[0]!, batchTimeMs: batch * 1000 };
    if (batch === settledAfter) settled = store.operations.snapshot();
    if (batch > settledAfter && batch % sampleEvery === 0) samples.push(await sizeOf(store));
  }
  const ended = store.operations.snapshot();
  await driven.stop();

  const objects = samples.map((sample) => sample.objects);
  const bytes = samples.map((sample) => sample.bytes);
  console.log(
    `objects ${Math.min(...objects)}-${Math.max(...objects)}, bytes ${Math.min(...bytes)}-${Math.max(...bytes)}`,
  );
  // Ten minutes of records, which is twice the silence threshold, and two manifests with what they list.
  expect(Math.max(...objects)).toBeLessThan(750);
  expect(Math.max(...objects) - Math.min(...objects)).toBeLessThan(10);
  expect(Math.max(...bytes)).toBeLessThan(1.1 * Math.min(...bytes));
  const requests = (type: OperationType): number => ended[type].requests - settled[type].requests;
  const manifests = (batches - settledAfter) / 100;
  // Per manifest: one snapshot, the manifest, the floor, the hint.
  expect(requests('put')).toBe(batches - settledAfter + 4 * manifests);
  expect(requests('delete')).toBe(manifests);
  expect(requests('get') + requests('head')).toBe(0);
  // Besides those of the samples: every 30 seconds it looks for requests of operators.
  expect(requests('list')).toBe(samples.length + (batches - settledAfter) / 30);
});

test('a stream without input keeps as little after 4,000 batches as after 2,000', { timeout: 120_000 }, async () => {
  const { store, topic, shelf, context, driven } = await prepared('idle-run', { manifestEveryRecords: 20 });
  await context.start();
  for (let key = 0; key < keys; key++) topic.send(0, 0, [`key ${key}`, key]);
  const samples: { readonly objects: number; readonly bytes: number }[] = [];
  for (let batch = 1; batch <= 4_000; batch++) {
    await driven.runTo(batch * 1000);
    shelf.published.clear();
    driven.batches.length = 1;
    driven.batches[0] = { ...driven.batches[0]!, batchTimeMs: batch * 1000 };
    if (batch >= 2_000 && batch % 250 === 0) samples.push(await sizeOf(store));
  }
  await driven.stop();
  const objects = samples.map((sample) => sample.objects);
  const bytes = samples.map((sample) => sample.bytes);
  expect(Math.max(...objects) - Math.min(...objects)).toBeLessThan(40);
  expect(Math.max(...bytes)).toBeLessThan(1.1 * Math.min(...bytes));
});
