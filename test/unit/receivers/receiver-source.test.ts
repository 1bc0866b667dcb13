import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Milliseconds } from '../../../src/base/time.ts';
import { encodeValue } from '../../../src/base/value-codec.ts';
import { LoggedBlocks } from '../../../src/sources/receiver/logged-blocks.ts';
import { Receiver } from '../../../src/sources/receiver/receiver.ts';
import { receiverSource } from '../../../src/sources/receiver/receiver-source.ts';
import { storesUnderWayMax } from '../../../src/sources/receiver/receiver-supervisor.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { namesIn, rowsOf, settle, startReceiver, startWith, TestReceiver } from './support.ts';

describe('a receiver', () => {
  test('receiver.receiver-life-cycle: single rows, several, an iterator and bytes all arrive; reports reach the listeners', async () => {
    const receiver = new TestReceiver<unknown>();
    expect([receiver.isStarted(), receiver.isStopped()]).toEqual([false, false]);
    const { source, clock, events } = await startReceiver(receiver);
    expect(receiver.calls).toEqual(['start']);
    expect([receiver.isStarted(), receiver.isStopped(), receiver.streamId]).toEqual([true, false, 0]);
    await receiver.store('single');
    await receiver.storeAll(['several', 'rows']);
    await receiver.storeAll(new Set(['iterated']).values());
    await receiver.storeBytes(encodeValue([['pair', 1]]));
    clock.advanceBy(200);
    await settle();
    const plan = await source.plan(1000);
    expect(plan).toMatchObject({ records: 5, partitions: { length: 4 } });
    expect(await rowsOf(source, plan)).toEqual(['several', 'rows', 'iterated', ['pair', 1], 'single']);
    receiver.reportError('odd', new Error('why'));
    expect(events.at(-1)).toMatchObject({
      event: 'error',
      info: { name: 'TestReceiver-0', active: true, lastErrorMessage: 'odd', lastError: 'why', lastErrorTimeMs: 200 },
    });
    await source.stop();
    expect(receiver.calls).toEqual(['start', 'stop']);
    expect(receiver.isStopped()).toBe(true);
    expect(events.map(({ event }) => event)).toEqual(['started', 'error', 'stopped']);
  });

  test('restart stops, waits and starts, and a second request meanwhile is part of it', async () => {
    const receiver = new TestReceiver<number>();
    const { clock, events, source } = await startReceiver(receiver);
    receiver.restart('connection lost', new Error('reset'), 100);
    receiver.restart('again');
    expect(receiver.calls).toEqual(['start']);
    await settle();
    expect(receiver.calls).toEqual(['start', 'stop']);
    expect(receiver.isStopped()).toBe(true);
    clock.advanceBy(99);
    await settle();
    expect(receiver.calls).toEqual(['start', 'stop']);
    clock.advanceBy(1);
    await settle();
    expect(receiver.calls).toEqual(['start', 'stop', 'start']);
    expect(events.map(({ event }) => event)).toEqual(['started', 'stopped', 'started']);
    expect(events[1]!.info).toMatchObject({
      lastErrorMessage: 'Restarting the receiver: connection lost',
      lastError: 'reset',
    });
    await source.stop();
  });

  test('restart waits 2 s unless told otherwise', async () => {
    const receiver = new TestReceiver<number>();
    const { clock, source } = await startReceiver(receiver);
    receiver.restart('lost');
    await settle();
    clock.advanceBy(1999);
    await settle();
    expect(receiver.calls).toEqual(['start', 'stop']);
    clock.advanceBy(1);
    await settle();
    expect(receiver.calls).toEqual(['start', 'stop', 'start']);
    await source.stop();
  });

  test('one that ends is started again, later and later', async () => {
    const receiver = new TestReceiver<number>();
    receiver.starting = () => receiver.stop('done');
    const { clock, source } = await startReceiver(receiver, { restartDelay: Milliseconds(1000) });
    const starts: number[] = [];
    for (let i = 0; i < 200; i++) {
      const before = receiver.calls.length;
      await settle();
      if (receiver.calls.length > before) starts.push(clock.now());
      clock.advanceBy(1000);
    }
    const gaps = starts.slice(1).map((at, i) => at - starts[i]!);
    expect(gaps.slice(0, 7)).toEqual([2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    await source.stop();
  });

  test('one whose onStart throws or rejects is reported and started again', async () => {
    for (const isAsync of [false, true]) {
      const receiver = new TestReceiver<number>();
      receiver.starting = () => {
        if (isAsync) return Promise.reject(new Error('no such host'));
        throw new Error('no such host');
      };
      const { clock, events, source } = await startReceiver(receiver);
      await settle();
      expect(events.at(-1)).toMatchObject({ event: 'stopped', info: { lastError: 'no such host', active: false } });
      receiver.starting = () => {};
      clock.advanceBy(2000);
      await settle();
      expect(receiver.isStarted()).toBe(true);
      await source.stop();
    }
  });

  test('one whose onStop throws is reported, and everything it stored is kept', async () => {
    const receiver = new TestReceiver<number>();
    receiver.stopping = () => {
      throw new Error('busy');
    };
    const { events, source } = await startReceiver(receiver);
    await receiver.store(1);
    await source.drain!();
    expect(events.map(({ event }) => event)).toEqual(['started', 'error', 'stopped']);
    expect(await rowsOf(source, await source.plan(1000))).toEqual([1]);
    await source.stop();
  });

  test('belongs to one stream', async () => {
    const receiver = new TestReceiver<number>();
    const { source } = await startReceiver(receiver);
    await expect(startReceiver(receiver)).rejects.toMatchObject({ code: 'STATUS_INVALID' });
    await source.stop();
    class Unused extends TestReceiver<number> {}
    expect(() => new Unused().store(1)).toThrow(/receiverStream/);
  });

  test('cannot store before it is started and after it was stopped', async () => {
    const receiver = new TestReceiver<number>();
    const { source } = await startReceiver(receiver);
    await source.stop();
    await expect(receiver.store(1)).rejects.toMatchObject({ code: 'STATUS_INVALID' });
    await expect(receiver.storeAll([1])).rejects.toMatchObject({ code: 'STATUS_INVALID' });
  });

  test('what it stores while it is stopped for good still counts', async () => {
    class Leaving extends Receiver<string> {
      onStart(): void {}
      async onStop(): Promise<void> {
        await this.storeAll(['last words']);
      }
    }
    const { source } = await startReceiver(new Leaving());
    await source.drain!();
    expect(await rowsOf(source, await source.plan(1000))).toEqual(['last words']);
    await source.stop();
  });

  test('a text is not taken for several rows', async () => {
    const receiver = new TestReceiver<string>();
    const { source } = await startReceiver(receiver);
    await expect(receiver.storeAll('abc')).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    await source.stop();
  });

  test('too many calls that nobody waits for are refused', async () => {
    const receiver = new TestReceiver<number>();
    const { source } = await startReceiver(receiver, { maxRate: 1 });
    for (let i = 0; i <= storesUnderWayMax; i++) receiver.storeAll([i]);
    await expect(receiver.storeAll([0])).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    await source.stop();
  });

  test('is slowed down by setRate, rows and blocks alike', async () => {
    const receiver = new TestReceiver<number>();
    const { source, clock } = await startReceiver(receiver);
    source.setRate(10);
    await receiver.storeAll(Array(20).fill(0));
    let isTaken = false;
    const next = receiver.storeAll([1]).then(() => {
      isTaken = true;
    });
    clock.advanceBy(1999);
    await settle();
    expect(isTaken).toBe(false);
    clock.advanceBy(1);
    await next;
    await source.stop();
  });

  test('a rate that back-pressure gives before the start is the one to begin with, below the maximum', async () => {
    for (const [maxRate, expected] of [
      [undefined, 100],
      [50, 50],
    ] as const) {
      const receiver = new TestReceiver<number>();
      const source = receiverSource(receiver, { maxRate });
      source.setRate(100);
      const clock = new ManualClock(0);
      await source.start(startWith({ clock }));
      await receiver.storeAll(Array(100).fill(0));
      let takenMs = -1;
      const next = receiver.storeAll([1]).then(() => {
        takenMs = clock.now();
      });
      while (takenMs < 0) {
        clock.advanceBy(10);
        await settle();
      }
      await next;
      expect(takenMs).toBe((100 / expected) * 1000);
      await source.stop();
    }
  });

  test('options are checked', () => {
    const receiver = new TestReceiver<number>();
    expect(() => receiverSource(receiver, { maxRate: 0 })).toThrow(/maxRate is 0/);
    expect(() => receiverSource(receiver, { blockInterval: 200 as never })).toThrow(/blockInterval is 200/);
    expect(() => receiverSource(receiver, { interval: 1 } as never)).toThrow(/no option 'interval'/);
  });
});

describe('with a checkpoint', () => {
  const clock = new ManualClock(0);

  test('what storeAll acknowledged is there for the next driver, in order, and what was committed is not', async () => {
    const store = new MemoryStore({ clock });
    const first = new TestReceiver<number>();
    const before = await startReceiver(first, { store });
    await first.storeAll([1, 2]);
    const plan = structuredClone(await before.source.plan(1000));
    before.source.committed(plan);
    await first.storeAll([3]);
    await first.storeAll([4, 5]);
    // Killed: nothing is stopped.
    const after = await startReceiver(new TestReceiver<number>(), { store, epoch: 2, position: plan.position });
    expect(after.source.backlog()).toBe(3);
    expect(await rowsOf(after.source, await after.source.plan(2000))).toEqual([3, 4, 5]);
    expect(await rowsOf(after.source, await after.source.plan(3000))).toEqual([]);
    await after.source.stop();
    await before.source.stop();
  });

  test('a recorded plan is read exactly, and the next one goes on after it', async () => {
    const store = new MemoryStore({ clock });
    const first = new TestReceiver<number>();
    const before = await startReceiver(first, { store });
    await first.storeAll([1]);
    await first.storeAll([2]);
    const start = before.source.position();
    const recorded = structuredClone(await before.source.plan(1000));
    await first.storeAll([3]);
    const after = await startReceiver(new TestReceiver<number>(), { store, epoch: 2, position: start });
    after.source.adopt(recorded);
    expect(await rowsOf(after.source, recorded)).toEqual([1, 2]);
    expect(await rowsOf(after.source, await after.source.plan(2000))).toEqual([3]);
    await after.source.stop();
    await before.source.stop();
  });

  test('rows come back fresh: what a function did to them in one try is not seen by the next', async () => {
    const receiver = new TestReceiver<{ n: number }>();
    const { source } = await startReceiver(receiver, { store: new MemoryStore({ clock }) });
    const row = { n: 1 };
    await receiver.storeAll([row]);
    row.n = 2;
    const plan = await source.plan(1000);
    for (const found of await rowsOf(source, plan)) found.n = 3;
    expect(await rowsOf(source, plan)).toEqual([{ n: 1 }]);
    await source.stop();
  });

  test('objects are deleted when their batch is committed, not before', async () => {
    const store = new MemoryStore({ clock });
    const receiver = new TestReceiver<number>();
    const { source } = await startReceiver(receiver, { store });
    await receiver.storeAll([1]);
    const plan = await source.plan(1000);
    await receiver.storeAll([2]);
    expect(await namesIn(store)).toHaveLength(3);
    source.committed(plan);
    await source.stop();
    expect(await namesIn(store)).toHaveLength(2);
  });

  test('a row that cannot be stored is refused, or left out of its block and reported', async () => {
    const receiver = new TestReceiver<unknown>();
    const { source, events } = await startReceiver(receiver, { store: new MemoryStore({ clock }) });
    await expect(receiver.storeAll([1, () => 1])).rejects.toMatchObject({ code: 'VALUE_UNSUPPORTED' });
    await receiver.store('good');
    await receiver.store(() => 'bad');
    await receiver.store('better');
    await source.drain!();
    expect(await rowsOf(source, await source.plan(1000))).toEqual(['good', 'better']);
    expect(events.filter(({ event }) => event === 'error').map(({ info }) => info.lastErrorMessage)).toEqual([
      'Rows could not be stored',
      'A row cannot be stored and is left out',
    ]);
    await source.stop();
  });

  test('rows too large for one block are stored in several, in order', async () => {
    const receiver = new TestReceiver<string>();
    const { source, events } = await startReceiver(receiver, { store: new MemoryStore({ clock }) });
    const rows = Array.from({ length: 9 }, (_, n) => `${n}${'x'.repeat(9 * 1024 * 1024)}`);
    for (const row of rows) await receiver.store(row);
    await source.drain!();
    expect(await rowsOf(source, await source.plan(1000))).toEqual(rows);
    expect(events.filter(({ event }) => event === 'error')).toEqual([]);
    await source.stop();
  });

  test('with very many objects that no batch has consumed, the receiver waits', async () => {
    const blocks = await LoggedBlocks.open<number>({
      store: new MemoryStore({ clock }),
      epoch: 1,
      position: 1,
      clock,
      random: new SeededRandom(1),
      fail: () => {},
      objectsMax: 3,
    });
    for (const n of [1, 2, 3]) await blocks.add({ rows: [n] });
    let isTaken = false;
    const fourth = blocks.add({ rows: [4] }).then(() => {
      isTaken = true;
    });
    const plan = blocks.take();
    await settle();
    expect(isTaken).toBe(false);
    blocks.free(plan.position as number);
    await fourth;
    await Promise.all([blocks.add({ rows: [5] }), blocks.add({ rows: [6] })]);
    const refused = blocks.add({ rows: [7] });
    await settle();
    blocks.close();
    await expect(refused).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  test('bytes that are no array of rows are refused', async () => {
    const receiver = new TestReceiver<unknown>();
    const { source } = await startReceiver(receiver, { store: new MemoryStore({ clock }) });
    await expect(receiver.storeBytes(encodeValue({ no: 'array' }))).rejects.toMatchObject({
      code: 'VALUE_UNSUPPORTED',
    });
    await expect(receiver.storeBytes(new Uint8Array([0x93, 1]))).rejects.toMatchObject({ code: 'VALUE_UNSUPPORTED' });
    await source.stop();
  });

  test('a batch of very many blocks has a partition per object, with the same rows', async () => {
    const store = new FaultyStore(new MemoryStore({ clock }));
    const receiver = new TestReceiver<number>();
    const { source } = await startReceiver(receiver, { store });
    const gate = Promise.withResolvers<void>();
    store.inject({ type: 'put' }, { kind: 'delay', until: gate.promise });
    const rows = Array.from({ length: 300 }, (_, n) => n);
    const stored = rows.map((n) => receiver.storeAll([n]));
    await settle();
    gate.resolve();
    await Promise.all(stored);
    const plan = structuredClone(await source.plan(1000));
    expect(plan.partitions).toHaveLength(2);
    expect(await rowsOf(source, plan)).toEqual(rows);
    await source.stop();
  });

  test('what no longer fits in memory is read back from the store and checked', async () => {
    const inner = new MemoryStore({ clock });
    const receiver = new TestReceiver<string>();
    const { source } = await startReceiver(receiver, { store: inner });
    const megabyte = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 70; i++) await receiver.storeAll([`${i}${megabyte}`]);
    const plan = await source.plan(1000);
    const gets = inner.operations.snapshot().get.requests;
    const rows = await rowsOf(source, plan);
    expect(rows.map((row) => Number.parseInt(row, 10))).toEqual(Array.from({ length: 70 }, (_, i) => i));
    expect(inner.operations.snapshot().get.requests - gets).toBe(7);
    await source.stop();
  });

  test('a replaced driver fails with SOURCE_FENCED at its next block', async () => {
    const store = new MemoryStore({ clock });
    const old = new TestReceiver<number>();
    const before = await startReceiver(old, { store });
    const after = await startReceiver(new TestReceiver<number>(), { store, epoch: 2 });
    await expect(old.storeAll([1])).rejects.toMatchObject({ code: 'SOURCE_FENCED' });
    expect(before.failures).toMatchObject([{ code: 'SOURCE_FENCED' }]);
    expect(after.source.backlog()).toBe(0);
    await before.source.stop();
    await after.source.stop();
  });

  test('requests do not grow with the number of records', async () => {
    const requests: number[] = [];
    for (const rows of [10, 10_000]) {
      const store = new MemoryStore({ clock });
      const time = new ManualClock(0);
      const receiver = new TestReceiver<number>();
      const { source } = await startReceiver(receiver, { store, clock: time });
      for (let batch = 1; batch <= 10; batch++) {
        for (let i = 0; i < 5; i++) {
          for (let n = 0; n < rows / 5; n++) receiver.store(n);
          time.advanceBy(200);
          await settle();
        }
        const plan = await source.plan(batch * 1000);
        expect(await rowsOf(source, plan)).toHaveLength(rows);
        source.committed(plan);
      }
      await source.stop();
      requests.push(store.operations.total());
    }
    expect(requests[1]).toBe(requests[0]);
    // A PUT per 200 ms, a delete per batch, and the fence with its listing.
    expect(requests[0]).toBe(50 + 10 + 2);
  });
});
