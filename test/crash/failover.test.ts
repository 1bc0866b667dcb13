import { beforeAll, describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/base/random.ts';
import { readCheckpoint } from '../../src/checkpoint/read-checkpoint.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { MiniDriver } from '../unit/checkpoint/mini-driver.ts';
import { JumpingClock, loadCounters } from '../unit/checkpoint/support.ts';

/**
 * Failover of an account to its second region, as a stand-in: the store as it is when the newest writes did not get there.
 * Replication is asynchronous and keeps no order between objects, so any of the last writes may be missing.
 */
type Change = { readonly name: string; readonly bytes: Uint8Array } | { readonly deleted: readonly string[] };

const policy = { manifestEveryRecords: 5, retainManifests: 2, silenceThresholdMs: 2000, inlineBytesMax: 10 };
const changes: Change[] = [];
let lastBatch: number;

beforeAll(async () => {
  const clock = new JumpingClock();
  const store = new MemoryStore({ clock });
  const noting: ObjectStore = {
    url: store.url,
    operations: store.operations,
    get: (name, range) => store.get(name, range),
    head: (name) => store.head(name),
    putIfAbsent: (name, bytes, commitId) => {
      changes.push({ name, bytes });
      return store.putIfAbsent(name, bytes, commitId);
    },
    compareAndSwap: (name, bytes, etag, commitId) => {
      changes.push({ name, bytes });
      return store.compareAndSwap(name, bytes, etag, commitId);
    },
    list: (prefix, after) => store.list(prefix, after),
    delete: (deleted) => {
      changes.push({ deleted });
      return store.delete(deleted);
    },
    close: () => store.close(),
  };
  const driver = await MiniDriver.start(noting, clock, 1, policy);
  for (let i = 0; i < 60; i++) {
    clock.advanceBy(1000);
    await driver.runBatch();
  }
  lastBatch = driver.nextBatchId - 1;
});

async function storeAfter(kept: readonly Change[]): Promise<MemoryStore> {
  const objects = new Map<string, Uint8Array>();
  for (const change of kept) {
    if ('deleted' in change) for (const name of change.deleted) objects.delete(name);
    else objects.set(change.name, change.bytes);
  }
  const store = new MemoryStore({ clock: new JumpingClock(10_000_000) });
  for (const [name, bytes] of objects) await store.putIfAbsent(name, bytes, 'a'.repeat(32));
  return store;
}

/** The batch the stream is at, with exactly its state; or the object that the start names. */
async function startOf(store: MemoryStore): Promise<number | string> {
  try {
    const stream = (await readCheckpoint(store))!;
    const batchId = stream.status.lastBatch!.batchId;
    expect((await loadCounters(stream)).get('wide')!.values).toEqual(MiniDriver.expected(batchId).wide);
    return batchId;
  } catch (error) {
    expect(error).toMatchObject({ code: 'CHECKPOINT_CORRUPT', context: { object: expect.any(String) } });
    return (error as { context: { object: string } }).context.object;
  }
}

describe('row 32: a failover', { timeout: 120_000 }, () => {
  it('that loses the newest writes > the stream is at an earlier batch, whole, or the missing object is named', async () => {
    const outcomes: (number | string)[] = [];
    for (let lost = 0; lost < 60; lost++)
      outcomes.push(await startOf(await storeAfter(changes.slice(0, -lost || undefined))));
    expect(outcomes[0]).toBe(lastBatch);
    const batches = outcomes.filter((outcome) => typeof outcome === 'number');
    expect(batches).toEqual([...batches].sort((a, b) => b - a));
    // In the order they were made, writes never refer to what is missing.
    expect(batches).toHaveLength(60);
  });

  it('that loses any of the newest writes > an earlier batch, whole, or the missing object is named', async () => {
    const random = new SeededRandom(32);
    const named = new Set<string>();
    let whole = 0;
    for (let round = 0; round < 150; round++) {
      const tail = changes.slice(-40).filter(() => random.next() < 0.8);
      const outcome = await startOf(await storeAfter([...changes.slice(0, -40), ...tail]));
      if (typeof outcome === 'number') whole += 1;
      else named.add(outcome.split('/')[0]!);
    }
    expect(whole).toBeGreaterThan(5);
    expect(named.size).toBeGreaterThan(1);
  });
});
