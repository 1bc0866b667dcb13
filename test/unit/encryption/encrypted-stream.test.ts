import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { segmentName } from '../../../src/checkpoint/object-names.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { exportCheckpoint } from '../../../src/inspect/export-checkpoint.ts';
import { inspectCheckpoint } from '../../../src/inspect/inspect-checkpoint.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { receiverSource } from '../../../src/sources/receiver/receiver-source.ts';
import { EncryptedStore } from '../../../src/storage/encrypted-store.ts';
import { EncryptionKeys, type EncryptionOptions } from '../../../src/storage/encryption-keys.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { errorOf, objectsOf, Shelf, TestStream } from '../engine/support.ts';
import { flipped } from '../inspect/support.ts';
import { TestReceiver } from '../receivers/support.ts';
import { after, before, rotated } from './keys.ts';

const marker = 'marker-of-a-person';
const checkpoint = { manifestEveryRecords: 5, inlineBytesMax: 60, silenceThresholdMs: 1000 };

function encrypted(stream: TestStream, encryption: EncryptionOptions): EncryptedStore {
  return new EncryptedStore(stream.store, new EncryptionKeys(encryption));
}

function define(shelf: Shelf, receiver?: TestReceiver<string>): (ssc: StreamingContext) => void {
  return (ssc) => {
    const topic = new MemoryTopic<readonly [string, string]>('people', 2);
    for (let t = 1; t <= 60; t++) topic.send(t * 1000, t % 2, [`${marker}-${t % 5}`, `${marker} ${t}`]);
    const rows = ssc.sourceStream(topic.source(), { uid: marker });
    rows
      .updateStateByKey((values, n: string | undefined) => `${marker}${(n ?? '').length + values.length}`, {
        uid: 'state',
      })
      .saveTo(shelf.sink(marker), { uid: 'out' });
    rows.window(Seconds(3)).foreachRDD(() => {});
    if (receiver !== undefined) {
      ssc
        .sourceStream(receiverSource(receiver, { blockInterval: Seconds(1) }), { uid: 'received' })
        .saveTo(shelf.sink('received'), { uid: 'received-out' });
    }
  };
}

describe('the checkpoint of a stream with encryption', () => {
  it('shows no content in any object, of the log, the state, the hint, the floor and a receiver', async () => {
    const stream = new TestStream();
    const receiver = new TestReceiver<string>();
    receiver.starting = () => receiver.store(`${marker} received`);
    const store = encrypted(stream, before);
    const driven = await stream.start(define(new Shelf(), receiver), { store, checkpoint });
    await driven.runTo(30_000);
    const objects = await stream.objects();
    await driven.stop();
    const folders = new Set([...objects.keys()].map((name) => name.split('/')[0]));
    expect([...folders].sort()).toEqual(['format', 'gc', 'hint', 'log', 'man', 'seg', 'snap', 'source']);
    for (const [name, bytes] of objects) {
      expect(Buffer.from(bytes.subarray(0, 8)).toString(), name).toBe('TIDESEAL');
      expect(Buffer.from(bytes).includes(marker), name).toBe(false);
      expect(Buffer.from(bytes).includes('TIDEMARK'), name).toBe(false);
    }
  });

  it('goes on after restarts and a rotation exactly as one without encryption', async () => {
    const plain = new TestStream();
    const expected = new Shelf();
    const whole = await plain.start(define(expected), { checkpoint });
    await whole.runTo(40_000);
    await whole.stop();

    const stream = new TestStream();
    const shelf = new Shelf();
    for (const [untilMs, keys] of [
      [13_000, before],
      [26_000, rotated],
      [40_000, rotated],
    ] as const) {
      const driven = await stream.start(define(shelf), { store: encrypted(stream, keys), checkpoint });
      await driven.runTo(untilMs);
      await driven.stop();
    }
    expect(shelf.published).toEqual(expected.published);
    expect((await verifyCheckpoint(encrypted(stream, rotated))).findings).toEqual([]);
  });

  it('tells by verify which keys its objects need, before, during and after a rotation', async () => {
    const stream = new TestStream();
    const run = async (untilMs: number, keys: EncryptionOptions): Promise<void> => {
      const receiver = new TestReceiver<string>();
      receiver.starting = () => receiver.store(`${marker} received`);
      const driven = await stream.start(define(new Shelf(), receiver), { store: encrypted(stream, keys), checkpoint });
      await driven.runTo(untilMs);
      await driven.stop();
    };
    const usesOf = async (keys: EncryptionOptions): Promise<Readonly<Record<string, number>>> => {
      const { findings, keys: uses } = await verifyCheckpoint(stream.store, { storage: { encryption: keys } });
      expect(findings).toEqual([]);
      const objects = await objectsOf(stream.store);
      expect(uses!.reduce((sum, use) => sum + use.objects, 0)).toBe(objects.size);
      for (const { keyId, objects: count, kinds } of uses!) {
        const own = [...objects.values()].filter((bytes) => Buffer.from(bytes.subarray(24, 32)).toString() === keyId);
        expect(own.length, keyId).toBe(count);
        expect(Object.values(kinds).reduce((sum, kind) => sum + kind, 0)).toBe(count);
      }
      return Object.fromEntries(uses!.map((use) => [use.keyId, use.objects]));
    };
    await run(13_000, before);
    expect(await usesOf(rotated)).toEqual({ 'key-2025': expect.any(Number), 'key-2026': 0 });
    await run(26_000, rotated);
    await putLeftover(stream.store, before);
    const mixed = (await verifyCheckpoint(encrypted(stream, rotated))).keys!;
    expect(mixed).toMatchObject([
      { keyId: 'key-2025', isCurrent: false, kinds: { format: 1, segment: 1 } },
      { keyId: 'key-2026', isCurrent: true, kinds: { hint: 1 } },
    ]);
    await usesOf(rotated);
    const target = new MemoryStore({ clock: stream.clock, name: 'rotated-export' });
    await exportCheckpoint(stream.store, target, {
      storage: { encryption: rotated },
      targetStorage: { encryption: after },
    });
    const left = (await verifyCheckpoint(target, { storage: { encryption: rotated } })).keys!;
    expect(left.map(({ keyId, objects }) => [keyId, objects > 0])).toEqual([['key-2026', true]]);
    expect((await verifyCheckpoint((await written(undefined)).store)).keys).toBeUndefined();
  });

  it('costs no more operations than one without', async () => {
    const counts: unknown[] = [];
    for (const keys of [undefined, before]) {
      const stream = new TestStream();
      const store = keys === undefined ? stream.store : encrypted(stream, keys);
      const driven = await stream.start(define(new Shelf()), { store, checkpoint });
      await driven.runTo(20_000);
      await driven.stop();
      const requests = Object.entries(store.operations.snapshot()).map(([type, count]) => [type, count.requests]);
      counts.push(requests);
    }
    expect(counts[1]).toEqual(counts[0]);
  });

  it('is refused without keys, with the id of the key that is needed', async () => {
    const stream = await written(before);
    const error = await errorOf(stream.start(define(new Shelf()), { checkpoint }));
    expect(error.code).toBe('ENCRYPTION_KEY_MISSING');
    expect(error.message).toMatch(/"format" is encrypted with the key "key-2025", and no keys were given.*--key-file/s);
    expect((await errorOf(inspectCheckpoint(stream.store))).code).toBe('ENCRYPTION_KEY_MISSING');
  });

  it('is refused with a key missing that a part of it needs', async () => {
    const stream = await written(before);
    const error = await errorOf(stream.start(define(new Shelf()), { store: encrypted(stream, after), checkpoint }));
    expect(error.code).toBe('ENCRYPTION_KEY_MISSING');
    expect(error.message).toContain('"key-2025"');
  });

  it('is refused when it was written without encryption, and nothing is written', async () => {
    const stream = await written(undefined);
    const objects = await stream.objects();
    const error = await errorOf(stream.start(define(new Shelf()), { store: encrypted(stream, before), checkpoint }));
    expect(error.code).toBe('NOT_ENCRYPTED');
    expect(await stream.objects()).toEqual(objects);
  });

  it('can be made of one without by an export, and given new keys in the same way', async () => {
    const stream = await written(undefined);
    const first = new MemoryStore({ clock: stream.clock, name: 'encrypted-export-1' });
    const second = new MemoryStore({ clock: stream.clock, name: 'encrypted-export-2' });
    await exportCheckpoint(stream.store, first, { targetStorage: { encryption: before } });
    expect((await errorOf(readCheckpoint(first))).code).toBe('ENCRYPTION_KEY_MISSING');
    await exportCheckpoint(first, second, { storage: { encryption: before }, targetStorage: { encryption: after } });
    const { findings } = await verifyCheckpoint(second, { storage: { encryption: after } });
    expect(findings).toEqual([]);
    // Never in the clear because an option was left out.
    const third = new MemoryStore({ clock: stream.clock, name: 'encrypted-export-3' });
    await exportCheckpoint(second, third, { storage: { encryption: after }, targetStorage: {} });
    for (const bytes of (await objectsOf(third)).values()) {
      expect(Buffer.from(bytes.subarray(0, 8)).toString()).toBe('TIDESEAL');
    }
  });

  it('starts with a damaged hint, as one without encryption does', async () => {
    const stream = await written(before);
    const outcome = await stream.store.get('hint');
    if (outcome.status === 'missing') throw new Error('There is no hint.');
    for (const at of [150, outcome.bytes.length - 1]) {
      await stream.store.delete(['hint']);
      await stream.store.putIfAbsent('hint', flipped(outcome.bytes, at), randomBytes(16).toString('hex'));
      const driven = await stream.start(define(new Shelf()), { store: encrypted(stream, before), checkpoint });
      await driven.stop();
      expect((await encrypted(stream, before).get('hint')).status).toBe('found');
    }
  });
});

/** What a killed driver left of a write: nothing refers to it. */
async function putLeftover(store: MemoryStore, keys: EncryptionOptions): Promise<void> {
  const name = segmentName(1, 1, 9, '0'.repeat(32));
  await new EncryptedStore(store, new EncryptionKeys(keys)).putIfAbsent(name, Buffer.from('x'), 'a'.repeat(32));
}

/** A stream of a few batches, stopped. */
async function written(keys: EncryptionOptions | undefined): Promise<TestStream> {
  const stream = new TestStream();
  const store = keys === undefined ? stream.store : encrypted(stream, keys);
  const driven = await stream.start(define(new Shelf()), { store, checkpoint });
  await driven.runTo(12_000);
  await driven.stop();
  return stream;
}
