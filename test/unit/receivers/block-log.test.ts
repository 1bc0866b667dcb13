import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { encodeBlock } from '../../../src/sources/receiver/block-bytes.ts';
import { BlockLog, leftoverAgeMs, silenceMaxMs } from '../../../src/sources/receiver/block-log.ts';
import { type LogObject, logObjectName } from '../../../src/sources/receiver/log-object.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { namesIn, settle } from './support.ts';

const clock = new ManualClock(0);

function openLog(store: ObjectStore, epoch: number, position = 1, at = clock) {
  const objects: LogObject[] = [];
  const failures: Error[] = [];
  const opened = BlockLog.open({
    store,
    epoch,
    position,
    clock: at,
    random: new SeededRandom(epoch),
    onObject: (object) => objects.push(object),
    fail: (error) => failures.push(error),
  });
  return opened.then(({ log, left }) => ({ log, left, objects, failures }));
}

function block(...rows: unknown[]) {
  return encodeBlock({ rows });
}

function recordsOf(left: readonly { readonly object: LogObject }[]): number[] {
  return left.flatMap(({ object }) => object.blocks.map(({ records }) => records));
}

describe('group commit', () => {
  test('blocks that come while one PUT is in flight go into the next object together', async () => {
    const store = new FaultyStore(new MemoryStore({ clock }));
    const { log, objects } = await openLog(store, 1);
    const gate = Promise.withResolvers<void>();
    store.inject({ type: 'put' }, { kind: 'delay', until: gate.promise });
    const before = store.operations.snapshot().put.requests;
    const done = Array.from({ length: 1000 }, (_, i) => log.append(block(i)));
    await settle();
    expect(objects).toEqual([]);
    gate.resolve();
    await Promise.all(done);
    expect(objects.map(({ blocks }) => blocks.length)).toEqual([1, 999]);
    expect(store.operations.snapshot().put.requests - before).toBe(2);
  });

  test('never has two PUTs in flight, whatever the number of writers', async () => {
    const inner = new MemoryStore({ clock });
    let inFlight = 0;
    let most = 0;
    const counting: ObjectStore = Object.create(inner, {
      putIfAbsent: {
        value: async (name: string, bytes: Uint8Array, id: string) => {
          most = Math.max(most, ++inFlight);
          await settle();
          inFlight -= 1;
          return inner.putIfAbsent(name, bytes, id);
        },
      },
    });
    Object.defineProperties(counting, {
      list: { value: inner.list.bind(inner) },
      url: { value: inner.url },
    });
    const { log } = await openLog(counting, 1);
    const writers = Array.from({ length: 20 }, async (_, i) => {
      for (let n = 0; n < 10; n++) await log.append(block(i, n));
    });
    await Promise.all(writers);
    expect(most).toBe(1);
    expect(inner.operations.snapshot().put.requests).toBeLessThanOrEqual(1 + 2 * 10);
  });

  test('a large block does not wait for others to fit', async () => {
    const { log, objects } = await openLog(new MemoryStore({ clock }), 1);
    const big = block('x'.repeat(12 * 1024 * 1024));
    await Promise.all([log.append(block(1)), log.append(big), log.append(big), log.append(block(2))]);
    expect(objects.map(({ blocks }) => blocks.length)).toEqual([1, 1, 2]);
  });
});

describe('a starting driver', () => {
  test('finds everything that was acknowledged and not committed, in order', async () => {
    const store = new MemoryStore({ clock });
    const first = await openLog(store, 1);
    for (let n = 1; n <= 20; n++) await first.log.append({ ...block(n), records: n });
    const second = await openLog(store, 2, 5);
    // Slot 1 is the fence of the first driver.
    expect(recordsOf(second.left)).toEqual(Array.from({ length: 17 }, (_, i) => i + 4));
  });

  test('writes one object and lists once', async () => {
    const store = new MemoryStore({ clock });
    await openLog(store, 1);
    const { put, list, get } = store.operations.snapshot();
    expect([put.requests, list.requests, get.requests]).toEqual([1, 1, 0]);
  });

  test('refuses a log with a hole, naming the object', async () => {
    const store = new MemoryStore({ clock });
    const { log } = await openLog(store, 1);
    for (let n = 1; n <= 3; n++) await log.append(block(n));
    await store.delete([logObjectName(3)]);
    await expect(openLog(store, 2)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      context: { object: logObjectName(3) },
    });
  });

  test('refuses a log of a newer epoch or of another stream', async () => {
    const store = new MemoryStore({ clock });
    await openLog(store, 5);
    await expect(openLog(store, 5)).rejects.toMatchObject({ code: 'SOURCE_FENCED' });
  });

  test('goes on after its position when everything before was deleted', async () => {
    const store = new MemoryStore({ clock });
    const first = await openLog(store, 1);
    for (let n = 1; n <= 3; n++) await first.log.append(block(n));
    first.log.delete([2, 3, 4]);
    await first.log.idle();
    expect(await namesIn(store)).toEqual([logObjectName(1)]);
    const second = await openLog(store, 2, 5);
    await second.log.append(block('next'));
    expect(await namesIn(store)).toEqual([1, 5, 6].map(logObjectName));
    expect(second.left).toEqual([]);
  });
});

describe('a driver that was replaced', () => {
  test('has its next write refused, and fails', async () => {
    const store = new MemoryStore({ clock });
    const old = await openLog(store, 1);
    await old.log.append(block('before'));
    const next = await openLog(store, 2);
    await expect(old.log.append(block('after'))).rejects.toMatchObject({ code: 'SOURCE_FENCED' });
    await expect(old.log.append(block('later'))).rejects.toMatchObject({ code: 'SOURCE_FENCED' });
    expect(old.failures).toMatchObject([{ code: 'SOURCE_FENCED' }]);
    expect(recordsOf(next.left)).toEqual([1]);
  });

  test('an acknowledged write that was under way during the take-over is found behind the listing', async () => {
    const inner = new MemoryStore({ clock });
    const old = await openLog(inner, 1);
    const store = new FaultyStore(inner);
    const gate = Promise.withResolvers<void>();
    // The listing is done, our fence is not yet there.
    store.inject({ type: 'put' }, { kind: 'delay', until: gate.promise });
    const opening = openLog(store, 2);
    await settle();
    await old.log.append(block('under way'));
    await old.log.append(block('also'));
    gate.resolve();
    const next = await opening;
    expect(recordsOf(next.left)).toEqual([1, 1]);
    await expect(old.log.append(block('late'))).rejects.toMatchObject({ code: 'SOURCE_FENCED' });
  });

  test('an unanswered write that lands before the fence is taken over, and one that comes later is refused', async () => {
    for (const lands of ['before', 'after'] as const) {
      const inner = new MemoryStore({ clock });
      const store = new FaultyStore(inner);
      const time = new ManualClock(0);
      const old = await openLog(store, 1, 1, time);
      const gate = Promise.withResolvers<void>();
      store.inject({ type: 'put' }, { kind: 'apply-late', until: gate.promise });
      const written = old.log.append(block('late'));
      written.catch(() => {});
      await settle();
      if (lands === 'before') gate.resolve();
      await settle();
      const next = await openLog(inner, 2);
      gate.resolve();
      await settle();
      time.advanceBy(10_000);
      if (lands === 'before') await written;
      else await expect(written).rejects.toMatchObject({ code: 'SOURCE_FENCED' });
      expect(recordsOf(next.left)).toEqual(lands === 'before' ? [1] : []);
    }
  });

  test('a success in a slot whose fence is long gone is not believed', async () => {
    const time = new ManualClock(0);
    const store = new MemoryStore({ clock: time });
    const old = await openLog(store, 1, 1, time);
    await old.log.append(block('one'));
    await openLog(store, 2, 3, time); // Fence in slot 3, where the old driver would go on.
    time.advanceBy(leftoverAgeMs + 1);
    const newest = await openLog(store, 3, 4, time);
    await newest.log.idle();
    expect(await namesIn(store)).toEqual([logObjectName(4)]);
    await expect(old.log.append(block('a day later'))).rejects.toMatchObject({ code: 'SOURCE_FENCED' });
    await newest.log.append(block('goes on'));
    const again = await openLog(store, 4, 5, time);
    expect(recordsOf(again.left)).toEqual([1]);
  });

  test('a quiet receiver that nobody replaced goes on after the silence', async () => {
    const time = new ManualClock(0);
    const store = new MemoryStore({ clock: time });
    const { log } = await openLog(store, 1, 1, time);
    time.advanceBy(silenceMaxMs + 1);
    await log.append(block('after the night'));
    expect(store.operations.snapshot().list.requests).toBe(2);
    await log.append(block('at once'));
    expect(store.operations.snapshot().list.requests).toBe(2);
  });
});

describe('a store on a bad day', () => {
  test('lost answers and outages are waited out, and nothing is stored twice', async () => {
    const inner = new MemoryStore({ clock });
    const store = new FaultyStore(inner);
    const time = new ManualClock(0);
    const { log, objects } = await openLog(store, 1, 1, time);
    store.inject({ type: 'put' }, { kind: 'lose-answer' });
    store.inject({ type: 'put' }, { kind: 'lose-request' });
    store.inject({ type: 'put' }, { kind: 'fail' });
    const done = Promise.all([log.append(block(1)), log.append(block(2))]);
    for (let i = 0; i < 20; i++) {
      await settle();
      time.advanceBy(5_000);
    }
    await done;
    expect(objects.map(({ slot }) => slot)).toEqual([2, 3]);
    expect(recordsOf((await openLog(inner, 2)).left)).toEqual([1, 1]);
  });

  test('an outcome that cannot be learned ends the driver', async () => {
    const store = new FaultyStore(new MemoryStore({ clock }));
    const time = new ManualClock(0);
    const { log, failures } = await openLog(store, 1, 1, time);
    store.inject({ type: 'put', times: 1000 }, { kind: 'lose-request' });
    const written = log.append(block(1));
    const waiting = log.append(block(2));
    written.catch(() => {});
    waiting.catch(() => {});
    for (let i = 0; i < 70; i++) {
      await settle();
      time.advanceBy(5_000);
    }
    await expect(written).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' });
    await expect(waiting).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' });
    expect(failures).toMatchObject([{ code: 'COMMIT_UNKNOWN' }]);
  });

  test('what could not be deleted goes with the next commit', async () => {
    const inner = new MemoryStore({ clock });
    const store = new FaultyStore(inner);
    const { log } = await openLog(store, 1);
    for (let n = 1; n <= 3; n++) await log.append(block(n));
    store.inject({ type: 'delete' }, { kind: 'fail' });
    log.delete([2]);
    await log.idle();
    log.delete([3]);
    await log.idle();
    expect(await namesIn(inner)).toEqual([1, 4].map(logObjectName));
  });

  test('closing refuses what is not durable', async () => {
    const store = new FaultyStore(new MemoryStore({ clock }));
    const { log, failures } = await openLog(store, 1, 1, new ManualClock(0));
    store.inject({ type: 'put', times: 100 }, { kind: 'fail' });
    const first = log.append(block(1));
    const second = log.append(block(2));
    await settle();
    log.close();
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(second).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(failures).toEqual([]);
  });
});
