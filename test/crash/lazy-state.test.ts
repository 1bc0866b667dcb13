import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bucketOf } from '../../src/base/buckets.ts';
import { hashKey } from '../../src/base/canonical-key.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { TidemarkError } from '../../src/base/errors.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Seconds } from '../../src/base/time.ts';
import { readCheckpoint } from '../../src/checkpoint/read-checkpoint.ts';
import { type State, StateSpec } from '../../src/dstream/map-with-state.ts';
import { openFileStore } from '../../src/storage/file-store.ts';
import type { ByteRange, GetOutcome, ObjectStore } from '../../src/storage/object-store.ts';
import { parseStoreUrl } from '../../src/storage/store-url.ts';
import { StoreView } from '../../src/storage/store-view.ts';
import { StreamingContext } from '../../src/streaming-context.ts';
import { FaultyStore } from '../../src/testing/faulty-store.ts';
import { MemoryTopic } from '../../src/testing/memory-topic.ts';
import { DrivenStream } from '../support/driven-stream.ts';

const keys = 10_000;
const padding = 'x'.repeat(1600);
const seedMs = 1000;
const firstLifeMs = 10_000;
const endMs = 20_000;
// Whole ranges of buckets are larger; what changed in them is not.
const heldBytesMin = 200_000;
const lateKey = Array.from({ length: keys }, (_, i) => `k${i}`).find((key) => bucketOf(hashKey(key)) === 255)!;

interface Read {
  readonly name: string;
  readonly range: ByteRange;
  readonly allow: () => void;
}

/** Counts what is read; reads of whole ranges of the state wait until they are allowed, while `isGated`. */
class GatedStore extends StoreView {
  isGated = false;
  bytesRead = 0;
  readonly pending: Read[] = [];

  override async get(name: string, range?: ByteRange): Promise<GetOutcome> {
    if (this.isGated && name.startsWith('snap/') && range !== undefined && range.length > heldBytesMin) {
      const allowed = Promise.withResolvers<void>();
      this.pending.push({ name, range, allow: allowed.resolve });
      await allowed.promise;
    }
    const outcome = await super.get(name, range);
    if (outcome.status === 'found') this.bytesRead += outcome.bytes.length;
    return outcome;
  }

  /** Resolves when so many reads wait. */
  async waiting(count: number): Promise<void> {
    while (this.pending.length < count) await setImmediate();
  }

  allowAll(): void {
    this.isGated = false;
    for (const { allow } of this.pending.splice(0)) allow();
  }
}

async function namesIn(store: ObjectStore): Promise<string[]> {
  const names: string[] = [];
  for await (const object of store.list('')) names.push(object.name);
  return names;
}

function rows(): MemoryTopic<readonly [string, number]> {
  const topic = new MemoryTopic<readonly [string, number]>('rows', 1);
  for (let i = 0; i < keys; i++) topic.send(seedMs, 0, [`k${i}`, i]);
  const random = new SeededRandom(5);
  for (let t = 2000; t <= endMs; t += 1000) {
    topic.send(t, 0, [lateKey, t]);
    // The first batches after a restart need one bucket only.
    if (t > firstLifeMs && t <= firstLifeMs + 3000) continue;
    for (let i = 0; i < 20; i++) topic.send(t, 0, [`k${Math.floor(random.next() * keys)}`, t]);
  }
  return topic;
}

/** What outlives the drivers of one stream. */
class World {
  readonly clock = new ManualClock(0);
  readonly topic = rows();
  readonly seen: Record<string, string> = {};
  readonly objects: ObjectStore;

  constructor(objects: ObjectStore) {
    this.objects = objects;
  }

  async start(store: ObjectStore): Promise<DrivenStream> {
    const { clock, topic, seen } = this;
    const context = await StreamingContext.getOrCreate(store, () => {
      const ssc = new StreamingContext({
        appName: 'lazy-state',
        batchInterval: Seconds(1),
        defaultParallelism: 1,
        checkpoint: { manifestEveryRecords: 16, silenceThresholdMs: 1000 },
        environment: { clock, random: new SeededRandom(clock.now()), print: () => {} },
      });
      ssc
        .sourceStream(topic.source(), { uid: 'rows' })
        .mapWithState(
          StateSpec.function(
            (key: string, value: number | undefined, state: State<{ sum: number; padding: string }>) => {
              const sum = (state.getOption()?.sum ?? 0) + (value ?? 0);
              state.update({ sum, padding });
              return [key, sum] as const;
            },
          ),
          { uid: 'sums' },
        )
        .foreachRDD(async (rdd, time) => {
          const content = JSON.stringify(await rdd.collect());
          expect(seen[time.milliseconds] ?? content).toBe(content);
          seen[time.milliseconds] = content;
        });
      return ssc;
    });
    const driven = new DrivenStream(context, clock, 1000);
    await context.start();
    return driven;
  }

  /** A stream whose state is in a manifest, stopped. @returns the bytes of its state */
  async begin(): Promise<number> {
    const first = await this.start(this.objects);
    await first.runTo(firstLifeMs);
    await first.stop();
    let bytes = 0;
    for await (const { sizeBytes } of this.objects.list('snap/')) bytes += sizeBytes;
    return bytes;
  }

  async outcome(): Promise<unknown> {
    const end = await readCheckpoint(this.objects);
    return { seen: this.seen, fingerprints: end!.status.fingerprints, last: end!.status.lastBatch };
  }
}

describe('a large state on disk', () => {
  let folder: string;
  let world: World;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-lazy-state-'));
    world = await inFolder('checkpoint');
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function inFolder(name: string): Promise<World> {
    return new World(await openFileStore(parseStoreUrl(join(folder, name)) as Parameters<typeof openFileStore>[0]));
  }

  /** Starts on a store whose reads of the state wait, and runs a batch that needs one bucket. */
  async function restart(): Promise<{ store: GatedStore; faulty: FaultyStore; driven: DrivenStream }> {
    // A view needs a folder to look into: the parent of the checkpoint.
    const parent = await openFileStore(parseStoreUrl(folder) as Parameters<typeof openFileStore>[0]);
    const store = new GatedStore(parent, 'checkpoint');
    const faulty = new FaultyStore(store);
    store.isGated = true;
    const driven = await world.start(faulty);
    const batch = driven.runTo(driven.lastBatchTimeMs + 1000);
    // Four of the background, and that of the batch.
    await store.waiting(5);
    store.pending.splice(4, 1)[0]!.allow();
    await batch;
    return { store, faulty, driven };
  }

  test('runs its first batch before a tenth of it is read, and a kill in the middle of the loading changes nothing', async () => {
    const stateBytes = await world.begin();
    expect(stateBytes).toBeGreaterThan(15_000_000);
    const second = await restart();
    expect(second.store.bytesRead).toBeLessThan(stateBytes / 10);

    // The rest comes in while batches run.
    for (let n = 0; n < 12; n++) {
      await second.store.waiting(4);
      second.store.pending.shift()!.allow();
      if (n === 4) await second.driven.runTo(firstLifeMs + 2000);
    }
    await second.store.waiting(4);
    expect(second.store.bytesRead).toBeGreaterThan(stateBytes / 10);
    expect(second.store.bytesRead).toBeLessThan(stateBytes / 2);
    const died = new Error('killed');
    second.faulty.crash({ signal: died });
    second.store.allowAll();
    await expect(second.driven.runTo(firstLifeMs + 3000)).rejects.toSatisfy(
      (error) => error === died || (error as Error).cause === died,
    );

    const third = await restart();
    third.store.allowAll();
    await third.driven.runTo(endMs);
    await third.driven.stop();

    const reference = await inFolder('uninterrupted');
    const uninterrupted = await reference.start(reference.objects);
    await uninterrupted.runTo(endMs);
    await uninterrupted.stop();
    expect(await world.outcome()).toEqual(await reference.outcome());
  });

  test('that is damaged where it is loaded late stops the stream and names the object, and nothing is deleted', async () => {
    await world.begin();
    const { store, driven } = await restart();
    const { name, range } = store.pending[2]!;
    const file = await open(join(folder, 'checkpoint', name), 'r+');
    const at = range.offset + (range.length >>> 1);
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
    await file.write(Buffer.of(buffer[0]! ^ 1), 0, 1, at);
    await file.close();
    const before = await namesIn(store);
    store.allowAll();
    const error: unknown = await driven.runTo(endMs).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TidemarkError);
    expect((error as TidemarkError).code).toBe('CHECKPOINT_CORRUPT');
    expect((error as TidemarkError).message).toContain(name);
    const after = new Set(await namesIn(store));
    expect(before.filter((object) => !after.has(object))).toEqual([]);
  });
});
