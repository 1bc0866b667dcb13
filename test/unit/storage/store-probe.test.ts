import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { describeTraits } from '../../../src/storage/azure-protections.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from '../../../src/storage/object-store.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { probeStore } from '../../../src/storage/store-probe.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { collect, id, text } from '../../support/object-store-suite.ts';
import { errorOf, numbers, TestStream } from '../engine/support.ts';

const random = new SeededRandom(7);
const counts = (store: ObjectStore) =>
  Object.fromEntries(Object.entries(store.operations.snapshot()).map(([type, { requests }]) => [type, requests]));
const names = async (store: ObjectStore) => (await collect(store.list(''))).map(({ name }) => name);

/** A store that does not do what it is asked. */
class LyingStore extends MemoryStore {
  ignore: 'If-None-Match' | 'If-Match' | 'the range' | undefined;
  swallows: 'writes' | 'names' | 'swaps' | undefined;

  override async compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string) {
    const found = await this.head(name);
    const actual = found.status === 'found' ? found.etag : undefined;
    if (this.ignore === 'If-None-Match' && etag === undefined)
      return super.compareAndSwap(name, bytes, actual, commitId);
    if (this.ignore === 'If-Match' && etag !== undefined) return super.compareAndSwap(name, bytes, actual, commitId);
    if (this.swallows === 'swaps' && etag !== undefined) return super.compareAndSwap(name, bytes, 'none', commitId);
    if (this.swallows === 'writes' && etag !== undefined && etag === actual) {
      return { status: 'done', etag: 'new', serverTimeMs: 0, recognised: false } satisfies PutOutcome;
    }
    return super.compareAndSwap(name, bytes, etag, commitId);
  }

  override get(name: string, range?: ByteRange): Promise<GetOutcome> {
    return super.get(name, this.ignore === 'the range' ? undefined : range);
  }

  override async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    if (this.swallows !== 'names') yield* super.list(prefix, after);
  }
}

describe('the probe of a store', () => {
  it('accepts a memory store with exactly these operations, and leaves nothing behind', async () => {
    const store = new MemoryStore();
    expect(await probeStore(store, random)).toEqual([]);
    expect(counts(store)).toEqual({ get: 1, head: 0, put: 4, list: 1, delete: 1 });
    expect(await names(store)).toEqual([]);
  });

  it('accepts a folder, where many probes leave a bounded number of files', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-probe-'));
    try {
      const store = await openObjectStore(folder);
      for (let i = 0; i < 40; i++) await probeStore(store, random);
      expect(await names(store)).toEqual([]);
      const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
      expect(files.length).toBeLessThanOrEqual(80);
      await Promise.all(Array.from({ length: 8 }, (_, i) => probeStore(store, new SeededRandom(i))));
      expect(await names(store)).toEqual([]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('names what a folder forbids, and says how to allow it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-probe-'));
    try {
      const store = new FaultyStore(await openObjectStore(folder));
      const error = new TidemarkError('STORE_FORBIDDEN', 'EACCES');
      store.inject({ type: 'put', times: 9 }, { kind: 'fail', error });
      expect((await errorOf(probeStore(store, random))).message).toMatch(
        /not permitted to: create\. Give the user of this process read and write access to the folder/,
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each<[string, Partial<Pick<LyingStore, 'ignore' | 'swallows'>>, RegExp]>([
    ['ignores If-None-Match', { ignore: 'If-None-Match' }, /was to create a new one \(If-None-Match\)/],
    ['ignores If-Match', { ignore: 'If-Match' }, /had changed since it was read \(If-Match\)/],
    ['ignores ranges', { ignore: 'the range' }, /or not the range/],
    ['forgets writes', { swallows: 'writes' }, /had changed since it was read/],
    ['refuses every swap', { swallows: 'swaps' }, /refused to replace an object that had not changed/],
    ['lists nothing', { swallows: 'names' }, /does not list an object/],
  ])('refuses a store that %s, and cleans up', async (_what, lie, message) => {
    const store = Object.assign(new LyingStore(), lie);
    const error = await errorOf(probeStore(store, random));
    expect(error.code).toBe('STORE_UNSAFE');
    expect(error.message).toMatch(message);
    store.swallows = undefined;
    expect(await names(store)).toEqual([]);
  });

  it('names all permissions that are missing at once', async () => {
    const store = new FaultyStore(new MemoryStore());
    const forbidden = new TidemarkError('STORE_FORBIDDEN', 'HTTP 403');
    for (const type of ['list', 'delete'] as const) store.inject({ type }, { kind: 'fail', error: forbidden });
    const error = await errorOf(probeStore(store, random));
    expect(error.message).toContain('not permitted to: list (SAS letter l), delete (SAS letter d)');
    expect(error.message).toContain('Storage Blob Data Contributor');
    expect(error.context).toMatchObject({ missing: ['list', 'delete'] });

    const readOnly = new FaultyStore(new MemoryStore());
    readOnly.inject({ type: 'put', times: 99 }, { kind: 'fail', error: forbidden });
    expect((await errorOf(probeStore(readOnly, random))).context).toMatchObject({ missing: ['create'] });
  });

  it('says that a delete was refused', async () => {
    class Keeping extends MemoryStore {
      override async delete(asked: readonly string[]): Promise<DeleteOutcome> {
        return { refused: asked, serverTimeMs: 0 };
      }
    }
    expect((await errorOf(probeStore(new Keeping(), random))).context).toMatchObject({ missing: ['delete'] });
  });

  it('passes on that a store does not answer', async () => {
    const store = new FaultyStore(new MemoryStore());
    store.inject({ type: 'put', nth: 2 }, { kind: 'lose-request' });
    expect((await errorOf(probeStore(store, random))).code).toBe('STORE_UNAVAILABLE');
    expect(await names(store)).toEqual([]);
  });

  it('removes what killed probes left, after a day, and works beside them', async () => {
    const clock = new ManualClock(0);
    const store = new MemoryStore({ clock });
    for (let i = 0; i < 16; i++) await store.putIfAbsent(`probe/${i}`, text('left'), id(i));
    await store.putIfAbsent('other', text('mine'), id(20));
    await probeStore(store, random);
    expect(await names(store)).toHaveLength(17);
    clock.advanceTo(25 * 3600 * 1000);
    await probeStore(store, random);
    expect(await names(store)).toEqual(['other']);
  });
});

describe('the start of a stream', () => {
  let stream: TestStream;
  beforeEach(() => {
    stream = new TestStream();
  });

  async function open(store: ObjectStore, probe?: boolean): Promise<StreamingContext> {
    return StreamingContext.getOrCreate(
      store,
      () => {
        const ssc = stream.context();
        const sums = ssc.sourceStream(numbers().source(), { uid: 'numbers' });
        sums
          .map((n) => ['all', n] as const)
          .updateStateByKey((values, n: number | undefined) => (n ?? 0) + values.length);
        sums.foreachRDD(() => {});
        return ssc;
      },
      { probe },
    );
  }

  it('tries a new store out before it writes anything', async () => {
    const store = Object.assign(new LyingStore({ clock: stream.clock }), { ignore: 'If-None-Match' });
    const error = await errorOf((await open(store, true)).start());
    expect(error.code).toBe('STORE_UNSAFE');
    expect(await names(store)).toEqual([]);
  });

  it('of an existing one tries it out beside the recovery, and runs no batch if it is unsafe', async () => {
    const first = await open(stream.store);
    await first.start();
    await first.stop();
    const store = new FaultyStore(stream.store);
    store.inject(
      { type: 'list', name: /^probe/ },
      { kind: 'fail', error: new TidemarkError('STORE_FORBIDDEN', '403') },
    );
    const second = await open(store, true);
    const error = await errorOf(second.start());
    expect(error.message).toContain('list (SAS letter l)');
    expect(second.status).toBe('stopped');
    expect(await names(stream.store)).not.toContainEqual(expect.stringContaining('probe'));
  });

  it('names what is missing when reading the checkpoint is where it shows', async () => {
    const store = new FaultyStore(stream.store);
    const forbidden = new TidemarkError('STORE_FORBIDDEN', '403');
    store.inject({ type: 'list', times: 99 }, { kind: 'fail', error: forbidden });
    expect((await errorOf(open(store, true))).message).toContain('list (SAS letter l)');
    expect((await errorOf(open(store, false))).message).toBe('403');
  });

  it('does not probe a store that was opened by the program, nor one with probe: false', async () => {
    for (const probe of [undefined, false]) {
      const store = new MemoryStore({ clock: stream.clock });
      const reads: string[] = [];
      const watched = new Proxy(store, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            if (typeof args[0] === 'string') reads.push(args[0]);
            return value.apply(target, args);
          };
        },
      });
      const context = await open(watched, probe);
      await context.start();
      await context.stop();
      expect(reads.filter((name) => name.startsWith('probe'))).toEqual([]);
      expect(reads.length).toBeGreaterThan(0);
    }
  });
});

describe('what the service says of itself', () => {
  it('is told where it matters for a checkpoint', () => {
    expect(describeTraits({})).toEqual([]);
    expect(describeTraits({ accessTier: 'Hot', isVersioned: false, hasLegalHold: false })).toEqual([]);
    expect(describeTraits({ accessTier: 'P10' })).toEqual([]);
    const notices = describeTraits({
      softDeleteDays: 7,
      isVersioned: true,
      hasLegalHold: true,
      hasImmutabilityPolicy: true,
      isHierarchical: true,
      accessTier: 'Cool',
    });
    expect(notices).toHaveLength(5);
    for (const word of ['7 days', 'versioning', 'a legal hold', 'hierarchical', 'Cool']) {
      expect(notices.join('\n')).toContain(word);
    }
  });
});
