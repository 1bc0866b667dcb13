import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { encodeRows } from '../../../src/base/stored-rows.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import { logName } from '../../../src/checkpoint/object-names.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { type OutboxEvent, type OutboxOptions, readOutbox } from '../../../src/inspect/read-outbox.ts';
import { rewindStream } from '../../../src/operate/rewind-stream.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { batch, fence, JumpingClock, optionsWith } from '../checkpoint/support.ts';
import { settle } from '../engine/support.ts';
import { SinkWorld, type Total } from './sink-world.ts';

const keepAll = { manifestEveryRecords: 4, silenceThresholdMs: 1000, retainMs: 1_000_000 };

async function all(store: ObjectStore, options: OutboxOptions = {}, uid = 'feed'): Promise<OutboxEvent<Total>[]> {
  const events: OutboxEvent<Total>[] = [];
  for await (const event of readOutbox<Total>(store, uid, { waitMs: 0, ...options })) events.push(event);
  return events;
}

/** The same store, with a word to say before every read. */
function watched(store: ObjectStore, before: (object: string) => Promise<void>): ObjectStore {
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'get') return async (object: string) => before(object).then(() => target.get(object));
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const ids = (events: readonly OutboxEvent<unknown>[]) =>
  events.map((event) => (event.kind === 'batch' ? event.batchId : 'rewind'));

async function worldTo(untilMs: number, checkpoint = {}): Promise<SinkWorld> {
  const world = new SinkWorld(40_000, checkpoint, ['feed']);
  expect(await world.live(untilMs)).toBe(false);
  return world;
}

describe('a reader of an outbox', () => {
  it('gets every committed batch once, in order, also those without rows', async () => {
    const world = await worldTo(9000, keepAll);
    const events = await all(world.store);
    // Batch 1 is that of the first start, before there are outputs.
    expect(ids(events)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const totals = new Map<string, number>();
    for (const event of events)
      if (event.kind === 'batch') for (const [device, total] of event.rows) totals.set(device, total);
    expect([...totals].sort()).toEqual(
      [
        ['d0', 3 + 6 + 9 + 3],
        ['d1', 1 + 7 + 4],
        ['d2', 2 + 5],
      ].map(([device]) => [device, totals.get(String(device))]),
    );
    expect(events.filter((event) => event.kind === 'batch' && event.rows.length === 0)).toHaveLength(2);
  });

  it('goes on from any position, in another process, where another reader was', async () => {
    const world = await worldTo(9000, keepAll);
    const events = await all(world.store);
    for (const [index, { position }] of events.entries()) {
      expect(await all(world.store, { from: structuredClone(position) })).toEqual(events.slice(index + 1));
    }
    expect(await all(world.store, { from: 'latest' })).toEqual([]);
  });

  it('that stores its position with its effects is exactly once, wherever it dies', async () => {
    const world = await worldTo(9000, keepAll);
    const database = new DatabaseSync(':memory:');
    database.exec('CREATE TABLE rows (device TEXT, total REAL); CREATE TABLE position (json TEXT)');
    let left = 0;
    const read = async (): Promise<void> => {
      const stored = database.prepare('SELECT json FROM position').get()?.json;
      const from = stored === undefined ? 'earliest' : JSON.parse(String(stored));
      for await (const event of readOutbox<Total>(world.store, 'feed', { from, waitMs: 0 })) {
        if (event.kind === 'rewind') throw new Error('There was no rewind.');
        database.exec('BEGIN');
        try {
          const insert = database.prepare('INSERT INTO rows VALUES (?, ?)');
          for (const row of event.rows) insert.run(...row);
          if (left-- === 0) throw new Error('died before the position');
          database.exec('DELETE FROM position');
          database.prepare('INSERT INTO position VALUES (?)').run(JSON.stringify(event.position));
          database.exec('COMMIT');
        } finally {
          if (database.isTransaction) database.exec('ROLLBACK');
        }
        if (left-- === 0) throw new Error('died after the commit');
      }
    };
    const dies = (): Promise<boolean> =>
      read().then(
        () => false,
        () => true,
      );
    let deaths = 0;
    for (left = 0; await dies(); left = ++deaths % 3) expect(deaths).toBeLessThan(100);
    expect(deaths).toBeGreaterThan(5);
    const expected = (await all(world.store)).flatMap((event) => (event.kind === 'batch' ? event.rows : []));
    const rows = database.prepare('SELECT device, total FROM rows ORDER BY rowid').all();
    expect(rows.map(({ device, total }) => [device, total])).toEqual(expected);
  });

  it('sees nothing of a batch that was not committed', async () => {
    const world = new SinkWorld(40_000, { ...keepAll, inlineBytesMax: 0 }, ['feed']);
    expect(await world.live(9000, { at: 'commit:segments-written', nth: 5 })).toBe(true);
    const before = ids(await all(world.store));
    expect((await readCheckpoint(world.store))!.status.lastBatch!.batchId).toBe(before.at(-1));
    expect(await world.live(9000)).toBe(false);
    expect(ids(await all(world.store))).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('waits for the next batch, looks again at its interval, and ends after the time it was given', async () => {
    const world = await worldTo(3000, keepAll);
    const seen: (number | string)[] = [];
    const reading = (async () => {
      const options = { from: 'latest', pollIntervalMs: 500, waitMs: 5000, clock: world.clock } as const;
      for await (const event of readOutbox(world.store, 'feed', options)) seen.push(...ids([event]));
    })();
    await settle();
    const driven = await world.start();
    await driven.runTo(6000);
    await driven.stop();
    await settle();
    world.clock.advanceBy(500);
    await settle();
    expect(seen).toEqual([5, 6, 7]);
    for (let i = 0; i < 12; i++) {
      world.clock.advanceBy(500);
      await settle();
    }
    await reading;
  });

  it('ends when it is told to, while it waits', async () => {
    const world = await worldTo(2000, keepAll);
    const abort = new AbortController();
    const reading = all(world.store, { waitMs: 1e9, clock: world.clock, signal: abort.signal });
    await settle();
    abort.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
  });
});

describe('a rewind', () => {
  it('is told in its place, and what follows has a new generation and higher ids', async () => {
    const world = await worldTo(6000, keepAll);
    const early = await all(world.store);
    await rewindStream(world.store, 4, { clock: world.clock });
    expect(await world.live(5000)).toBe(false);
    const position = early.at(-1)!.position;
    const later = await all(world.store, { from: position });
    expect(later[0]).toMatchObject({ kind: 'rewind', toBatchId: 4, batchTimeMs: 3000, generation: 1 });
    expect(later.slice(1)).toMatchObject([
      { kind: 'batch', batchId: 9, batchTimeMs: 4000, generation: 1 },
      { kind: 'batch', batchId: 10, batchTimeMs: 5000, generation: 1 },
      { kind: 'batch', batchId: 11, batchTimeMs: 6000, generation: 1 },
    ]);
    expect(await all(world.store)).toEqual([...early, ...later]);
  });
});

describe('a reader that was away for too long', () => {
  it('is told which batch is the oldest, and nothing is skipped', async () => {
    const world = new SinkWorld(40_000, { manifestEveryRecords: 4, silenceThresholdMs: 1000 }, ['feed']);
    await world.live(3000);
    const position = (await all(world.store)).at(-1)!.position;
    await world.live(30_000);
    const oldest = ids(await all(world.store))[0];
    expect(oldest).toBeGreaterThan(5);
    await expect(all(world.store, { from: position })).rejects.toMatchObject({
      code: 'OUTBOX_EXPIRED',
      message: expect.stringContaining(
        `stands after batch 4, and the batches that follow are cleaned away; the oldest one still there is ${oldest}`,
      ),
      context: { oldestBatchId: oldest },
    });
  });

  it('is told also while it waits', async () => {
    const world = new SinkWorld(40_000, { manifestEveryRecords: 4, silenceThresholdMs: 1000 }, ['feed']);
    await world.live(3000);
    const position = (await all(world.store)).at(-1)!.position;
    const clock = new JumpingClock(0);
    let polls = 0;
    // Sees the log as it was, until the records it waits for have come and gone.
    const late = watched(world.store, async (object) => {
      if (object === logName(position.slot + 2) && ++polls === 20) await world.live(30_000);
    });
    await expect(all(late, { from: position, waitMs: 1e9, pollIntervalMs: 100, clock })).rejects.toMatchObject({
      code: 'OUTBOX_EXPIRED',
    });
  });

  it('row 12: does not believe a record in a place that was emptied', async () => {
    const world = new SinkWorld(40_000, { manifestEveryRecords: 4, silenceThresholdMs: 1000 }, ['feed']);
    await world.live(3000);
    const position = (await all(world.store)).at(-1)!.position;
    await world.live(4000);
    const outcome = await world.store.get(logName(position.slot + 1));
    await world.live(30_000);
    expect(await world.store.get(logName(position.slot + 1))).toMatchObject({ status: 'missing' });
    // As a driver leaves it that slept through all of this: it continues the chain that this reader knows.
    if (outcome.status === 'found')
      await world.store.putIfAbsent(logName(position.slot + 1), outcome.bytes, '0'.repeat(32));
    await expect(all(world.store, { from: position })).rejects.toMatchObject({ code: 'OUTBOX_EXPIRED' });
  });

  it('finds its batches when retainMs is long enough', async () => {
    const world = new SinkWorld(40_000, { manifestEveryRecords: 4, silenceThresholdMs: 1000, retainMs: 12_000 }, [
      'feed',
    ]);
    await world.live(20_000);
    const position =
      (await all(world.store, { from: 'latest' })).at(-1)?.position ?? (await all(world.store)).at(-1)!.position;
    await world.live(31_000);
    expect(ids(await all(world.store, { from: position }))[0]).toBe(22);
    const objects: string[] = [];
    for await (const { name } of world.store.list('log/')) objects.push(name);
    expect(objects.length).toBeLessThan(25);
  });
});

describe('what a reader can not read', () => {
  it('is named: no stream, no such outbox, another stream, a log that ends before the position', async () => {
    const world = await worldTo(5000, keepAll);
    await expect(all(new MemoryStore({ clock: world.clock }))).rejects.toMatchObject({ code: 'CHECKPOINT_MISSING' });
    await expect(all(world.store, {}, 'table')).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining("no outbox 'table'; its program has the outboxes feed"),
    });
    const position = (await all(world.store)).at(-1)!.position;
    await expect(all(world.store, { from: { ...position, streamId: 'another' } })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    });
    await expect(all(world.store, { from: { ...position, slot: position.slot + 9 } })).rejects.toMatchObject({
      code: 'CHECKPOINT_INCOMPATIBLE',
      message: expect.stringContaining('restored from an older copy'),
    });
    await expect(all(world.store, { from: { ...position, slot: 3 } })).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
    });
    await expect(all(world.store, { pollIntervalMs: 0 })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    await expect(all(world.store, { waitMs: -1 })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  it('is named: damaged rows in a segment', async () => {
    const world = await worldTo(5000, { ...keepAll, inlineBytesMax: 0 });
    for await (const { name } of world.store.list('seg/')) {
      const object = await world.store.get(name);
      if (object.status !== 'found') continue;
      const bytes = object.bytes.slice();
      bytes[bytes.length - 1]! ^= 1;
      await world.store.compareAndSwap(name, bytes, object.etag, '1'.repeat(32));
    }
    await expect(all(world.store)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      message: expect.stringContaining('seg/'),
    });
  });
});

it('row 16: batches that share a record are read one by one, and a reader may stop between them', async () => {
  const clock = new JumpingClock();
  const store = new MemoryStore({ clock });
  const graph = { outputs: [{ uid: 'feed', sinkClass: 'outbox' }] };
  const log = await CheckpointLog.takeOver(store, undefined, { ...fence, graph }, optionsWith(clock, 1));
  const commits = [1, 2, 3, 4, 5].map((id) =>
    log.commitBatch(batch(id, { outputs: id === 4 ? [] : [{ uid: 'feed', bytes: encodeRows(0, [[['d', id]]]) }] })),
  );
  const receipts = await Promise.all(commits);
  expect(Math.max(...receipts.map(({ batches }) => batches))).toBeGreaterThan(1);
  const events = await all(store);
  expect(ids(events)).toEqual([1, 2, 3, 5]);
  for (const [index, { position }] of events.entries()) {
    expect(ids(await all(store, { from: structuredClone(position) }))).toEqual([1, 2, 3, 5].slice(index + 1));
  }
});

describe('cost', () => {
  it('of following is at most four reads per batch, and one per look that finds nothing', async () => {
    const world = await worldTo(2000, keepAll);
    let reads = 0;
    const store = watched(world.store, async () => {
      reads += 1;
    });
    const abort = new AbortController();
    const driven = await world.start();
    const seen: (number | string)[] = [];
    const reading = (async () => {
      const options = { from: 'latest', pollIntervalMs: 1000, clock: world.clock, signal: abort.signal } as const;
      for await (const event of readOutbox(store, 'feed', options)) seen.push(...ids([event]));
    })();
    await settle();
    const before = reads;
    for (let t = 3000; t <= 12_000; t += 1000) {
      await driven.runTo(t);
      await settle();
    }
    await driven.stop();
    expect(seen.length).toBeGreaterThanOrEqual(9);
    expect(reads - before).toBeLessThanOrEqual(4 * (seen.length + 1));
    world.clock.advanceBy(1000);
    await settle();
    const idle = reads;
    world.clock.advanceBy(1000);
    await settle();
    expect(reads - idle).toBe(1);
    abort.abort();
    await expect(reading).rejects.toThrow();
  });
});
