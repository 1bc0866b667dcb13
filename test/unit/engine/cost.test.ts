import { describe, expect, test } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { PutOutcome } from '../../../src/storage/object-store.ts';
import type { OperationType } from '../../../src/storage/operation-counters.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { difference, type LifeOptions, Shelf, sum, TestStream } from './support.ts';

/** Remembers which folder every write went to. */
class WatchedStore extends MemoryStore {
  writes = new Map<string, number>();

  /** Every write comes through here. */
  override compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, id: string): Promise<PutOutcome> {
    const folder = name.split('/')[0]!;
    this.writes.set(folder, (this.writes.get(folder) ?? 0) + 1);
    return super.compareAndSwap(name, bytes, etag, id);
  }
}

const batches = 200;

function define(ssc: StreamingContext, shelf: Shelf, withForeach: boolean): void {
  const topic = new MemoryTopic<readonly [string, number]>('pairs', 2);
  for (let t = 1; t <= batches + 10; t++) {
    for (let i = 0; i < 4; i++) topic.send(t * 1000, i % 2, [`k${(t * i) % 7}`, t]);
  }
  const rows = ssc.sourceStream(topic.source());
  rows.updateStateByKey((values, n: number | undefined) => (n ?? 0) + values.length).saveTo(shelf.sink('totals'));
  rows.reduceByKeyAndWindow(sum, difference, Seconds(10), Seconds(2)).saveTo(shelf.sink('recent'));
  rows.window(Seconds(5), Seconds(5)).count().saveTo(shelf.sink('rows'));
  rows
    .mapWithState(
      StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
        if (value !== undefined) state.update(value);
        return `${key} ${value}`;
      }).timeout(Seconds(3)),
    )
    .print();
  if (withForeach) rows.foreachRDD(() => {});
}

interface Cost {
  readonly writes: Readonly<Record<string, number>>;
  readonly requests: Readonly<Record<OperationType, number>>;
  readonly perBatch: readonly number[];
}

async function costOf(withForeach: boolean, options: LifeOptions = {}): Promise<Cost> {
  const stream = new TestStream();
  const store = new WatchedStore({ clock: stream.clock });
  const shelf = new Shelf();
  // What looking for requests costs is counted in test/unit/operate/requests.test.ts.
  const checkpoint = { requestPollMs: 0, ...options.checkpoint };
  const driven = await stream.start((ssc) => define(ssc, shelf, withForeach), { ...options, checkpoint, store });
  const before = store.operations.snapshot();
  store.writes.clear();
  await driven.runTo(batches * 1000);
  const after = store.operations.snapshot();
  const writes = Object.fromEntries(store.writes);
  await driven.stop();
  expect(driven.batches).toHaveLength(batches);
  expect(shelf.published.size).toBe(batches + batches / 2 + batches / 5);
  expect(after.put.requests - before.put.requests).toBe(Object.values(writes).reduce(sum));
  const types = Object.keys(after) as OperationType[];
  return {
    writes,
    requests: Object.fromEntries(types.map((type) => [type, after[type].requests - before[type].requests])) as Record<
      OperationType,
      number
    >,
    perBatch: driven.batches.map(({ checkpoint }) => checkpoint.operations),
  };
}

describe('200 small batches with four kinds of state and three exactly-once outputs', () => {
  test('cost one write each and nothing else, when no manifest is due', async () => {
    const { writes, requests, perBatch } = await costOf(false, { checkpoint: { manifestEveryRecords: 1000 } });
    expect(writes).toEqual({ log: batches });
    expect(requests).toEqual({ get: 0, head: 0, put: batches, list: 0, delete: 0 });
    expect(new Set(perBatch)).toEqual(new Set([1]));
  });

  test('cost one write each, and per manifest one snapshot, one manifest and one hint', async () => {
    const { writes, requests, perBatch } = await costOf(false, { checkpoint: { manifestEveryRecords: 50 } });
    // The fence and the first, empty batch count as records: manifests after 48, 98, 148 and 198 batches.
    expect(writes).toEqual({ log: batches, man: 4, snap: 4, hint: 4 });
    expect(requests).toMatchObject({ put: batches + 12, list: 4, delete: 0 });
    // They are made beside the batches: at most three of them take part in each.
    expect(perBatch.filter((operations) => operations === 1).length).toBeGreaterThanOrEqual(batches - 12);
  });

  test('cost one floor more per manifest once there is something to clean, and less space', async () => {
    const { writes, requests } = await costOf(false, {
      checkpoint: { manifestEveryRecords: 50, retainManifests: 1, silenceThresholdMs: 1000 },
    });
    expect(writes).toEqual({ log: batches, man: 4, snap: 4, hint: 4, gc: 3 });
    expect(requests.delete).toBeGreaterThan(0);
  });

  test('cost two writes each with an output that acts during the batch: its plan is durable first', async () => {
    const { writes, perBatch } = await costOf(true, { checkpoint: { manifestEveryRecords: 1000 } });
    expect(writes).toEqual({ log: 2 * batches });
    expect(new Set(perBatch)).toEqual(new Set([2]));
  });

  test('cost one write each when the plan may ride ahead, but for the very first', async () => {
    const { writes, perBatch } = await costOf(true, { planAhead: true, checkpoint: { manifestEveryRecords: 1000 } });
    expect(writes).toEqual({ log: batches + 1 });
    expect(perBatch).toEqual([2, ...Array.from({ length: batches - 1 }, () => 1)]);
  });
});
