import { EventHubBufferedProducerClient } from '@azure/event-hubs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { partitionOfKey } from '../../../src/testing/event-hubs-emulator/partition-key.ts';
import {
  closeWhenFinished,
  connectConsumer,
  connectProducer,
  earliest,
  hub,
  noRetry,
  range,
  read,
  readBodies,
  readEvents,
  rejection,
  retryOptions,
  sendNumbers,
  startEmulator,
} from './clients.ts';

describe('hub and partition properties', () => {
  it('describe an empty hub as the service does', async () => {
    const emulator = await startEmulator({ clock: new ManualClock(1_700_000_000_000) });
    const producer = connectProducer(emulator);
    expect(await producer.getEventHubProperties()).toEqual({
      name: hub,
      createdOn: new Date(1_700_000_000_000),
      partitionIds: ['0', '1', '2', '3'],
      isGeoDrEnabled: false,
    });
    expect(await producer.getPartitionProperties('2')).toEqual({
      eventHubName: hub,
      partitionId: '2',
      beginningSequenceNumber: -1,
      lastEnqueuedSequenceNumber: -1,
      lastEnqueuedOffset: '-1',
      lastEnqueuedOnUtc: new Date(0),
      isEmpty: true,
    });
  });

  it('follow what is stored', async () => {
    const clock = new ManualClock(1_700_000_000_000);
    const emulator = await startEmulator({ clock });
    const producer = connectProducer(emulator);
    await sendNumbers(producer, '1', 0, 5);
    clock.advanceBy(1000);
    await sendNumbers(producer, '1', 5, 6);
    const properties = await producer.getPartitionProperties('1');
    expect(properties).toMatchObject({
      beginningSequenceNumber: 0,
      lastEnqueuedSequenceNumber: 5,
      lastEnqueuedOnUtc: new Date(1_700_000_001_000),
      isEmpty: false,
    });
    const events = await read(connectConsumer(emulator), '1', earliest).received(6);
    expect(events.at(-1)!.offset).toBe(properties.lastEnqueuedOffset);
  });
});

describe('sends', () => {
  it('give dense sequence numbers from 0 and rising offsets in the order of sending', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    for (let i = 0; i < 300; i += 30) await sendNumbers(producer, '0', i, i + 30);
    const events = await read(connectConsumer(emulator), '0', earliest).received(300);
    expect(events.map((event) => event.body)).toEqual(range(0, 300));
    expect(events.map((event) => event.sequenceNumber)).toEqual(range(0, 300));
    const offsets = events.map((event) => Number(event.offset));
    expect(offsets.every((offset, i) => i === 0 || offset > offsets[i - 1]!)).toBe(true);
  });

  it('without partition or key go round robin', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    for (let i = 0; i < 8; i++) await producer.sendBatch([{ body: i }]);
    expect(range(0, 4).map((id) => emulator.partitionProperties(hub, id).nextSequenceNumber)).toEqual([2, 2, 2, 2]);
  });

  it('with a partition key go where the buffered producer of the SDK sends that key', async () => {
    const emulator = await startEmulator({ hubs: [{ name: hub, partitionCount: 7, consumerGroups: ['app'] }] });
    const keys = range(0, 40).map((i) => `device-${i}-${'x'.repeat(i)}-ü`);
    const producer = connectProducer(emulator);
    for (const key of keys) await producer.sendBatch([{ body: `plain ${key}` }], { partitionKey: key });
    const buffered = new EventHubBufferedProducerClient(emulator.connectionString, hub, {
      retryOptions,
      maxWaitTimeInMs: 20,
      onSendEventsErrorHandler: async ({ error }) => {
        throw error;
      },
    });
    closeWhenFinished(buffered);
    for (const key of keys) await buffered.enqueueEvent({ body: `buffered ${key}` }, { partitionKey: key });
    await buffered.flush();

    const partitionOf = new Map<unknown, string>();
    const consumer = connectConsumer(emulator);
    for (const partition of range(0, 7)) {
      const { nextSequenceNumber } = emulator.partitionProperties(hub, partition);
      if (nextSequenceNumber === 0) continue;
      const events = await readEvents(consumer, String(partition), earliest, nextSequenceNumber);
      for (const event of events) {
        partitionOf.set(event.body, String(partition));
        // The buffered producer chooses the partition itself and sends no key.
        if (String(event.body).startsWith('plain')) expect(event.body).toBe(`plain ${event.partitionKey}`);
      }
    }
    for (const key of keys) {
      expect(partitionOf.get(`plain ${key}`)).toBe(String(partitionOfKey(key, 7)));
      expect(partitionOf.get(`buffered ${key}`)).toBe(partitionOf.get(`plain ${key}`));
    }
  });

  it('of batches filled to 1 MB arrive whole', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    const batch = await producer.createBatch({ partitionId: '3' });
    expect(batch.maxSizeInBytes).toBe(1_048_576);
    const body = Buffer.alloc(1000, 7);
    while (batch.tryAdd({ body }));
    expect(batch.sizeInBytes).toBeGreaterThan(1_040_000);
    await producer.sendBatch(batch);
    const events = await read(connectConsumer(emulator), '3', earliest).received(batch.count);
    expect(events).toHaveLength(batch.count);
    expect(events.every((event) => body.equals(event.body))).toBe(true);
  });

  it('of one event of almost 1 MB arrive whole, with a small one behind it', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    const large = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => i % 251));
    await producer.sendBatch([{ body: large }], { partitionId: '0' });
    await producer.sendBatch([{ body: 'small' }], { partitionId: '0' });
    const reading = read(connectConsumer(emulator), '0', earliest, { trackLastEnqueuedEventProperties: true });
    const events = await reading.received(2);
    expect(large.equals(events[0]!.body)).toBe(true);
    expect(events[1]!.body).toBe('small');
  });

  it('above the size limit are refused and store nothing, and the link stays usable', async () => {
    const emulator = await startEmulator({ maxMessageBytes: 10_000 });
    const producer = connectProducer(emulator, noRetry);
    const error = await rejection(producer.sendBatch([{ body: Buffer.alloc(200_000) }], { partitionId: '0' }));
    expect(error).toMatchObject({
      code: 'MessageTooLargeError',
      message: expect.stringMatching(/size:2000\d\d bytes/),
    });
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(0);
    await producer.sendBatch([{ body: 'fits' }], { partitionId: '0' });
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(1);
  });

  it('of a producer with idempotent retries are numbered by the hub and stored once', async () => {
    const emulator = await startEmulator();
    // After a lost connection the SDK waits for the whole time-out before it tries again.
    const producer = connectProducer(emulator, { ...retryOptions, timeoutInMs: 1000 });
    // The feature is not public in the JavaScript SDK, but its protocol is complete.
    Object.assign(producer, { _enableIdempotentRetries: true });
    emulator.faults.loseAccepts(1);
    await producer.sendBatch([{ body: 1 }, { body: 2 }], { partitionId: '0' });
    await producer.sendBatch([{ body: 3 }], { partitionId: '0' });
    expect(await readBodies(connectConsumer(emulator), '0', earliest, 3)).toEqual([1, 2, 3]);
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(3);
  });
});

describe('events', () => {
  it('keep every kind of body', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    const bodies = ['text', '', 17, true, null, { nested: { list: [1, 'two', null] } }, [1, 2], 'ünïcödé 🙂'];
    await producer.sendBatch(
      bodies.map((body) => ({ body })),
      { partitionId: '0' },
    );
    await producer.sendBatch([{ body: Buffer.from([0, 1, 254, 255]) }], { partitionId: '0' });
    await producer.sendBatch(
      [
        { body: { k: 'v' }, bodyType: 'value' },
        { body: [1, 'two'], bodyType: 'sequence' },
      ],
      { partitionId: '0' },
    );
    const events = await read(connectConsumer(emulator), '0', earliest).received(bodies.length + 3);
    expect(events.slice(0, bodies.length).map((event) => event.body)).toEqual(bodies);
    expect(Buffer.from([0, 1, 254, 255]).equals(events[bodies.length]!.body)).toBe(true);
    expect(events[bodies.length + 1]!.body).toEqual({ k: 'v' });
    expect(events[bodies.length + 2]!.body).toEqual([1, 'two']);
  });

  it('keep properties, ids, content type and annotations, and get the service’s own', async () => {
    const clock = new ManualClock(1_700_000_000_123);
    const emulator = await startEmulator({ clock });
    const producer = connectProducer(emulator);
    const when = new Date(1_600_000_000_000);
    await producer.sendBatch(
      [
        {
          body: 'b',
          properties: { text: 'ü', number: 1.5, negative: -3, large: 2 ** 40, yes: true, when },
          messageId: 'message-1',
          correlationId: 'correlation-1',
          contentType: 'application/json',
        },
      ],
      { partitionKey: 'key-ü' },
    );
    await producer.sendBatch(
      [
        {
          body: 'annotated',
          messageAnnotations: { 'x-opt-mine': 5, 'x-opt-sequence-number': 99 } as object,
          bodyType: 'data',
        },
      ],
      { partitionId: '0' },
    );
    const partition = String(partitionOfKey('key-ü', 4));
    const [event] = await read(connectConsumer(emulator), partition, earliest).received(1);
    expect(event).toMatchObject({
      body: 'b',
      sequenceNumber: 0,
      offset: '0',
      enqueuedTimeUtc: new Date(1_700_000_000_123),
      partitionKey: 'key-ü',
      properties: { text: 'ü', number: 1.5, negative: -3, large: 2 ** 40, yes: true, when: when.getTime() },
      messageId: 'message-1',
      correlationId: 'correlation-1',
      contentType: 'application/json',
    });
    const count = emulator.partitionProperties(hub, 0).nextSequenceNumber;
    const events = await read(connectConsumer(emulator), '0', earliest).received(count);
    const annotated = events.find((other) => other.body === 'annotated')!;
    expect(annotated.sequenceNumber).toBe(count - 1);
    expect(annotated.systemProperties).toEqual({ 'x-opt-mine': 5 });
  });

  it('tell a reader that asks how far the partition reaches', async () => {
    const clock = new ManualClock(1_700_000_000_000);
    const emulator = await startEmulator({ clock });
    const producer = connectProducer(emulator);
    await producer.sendBatch([{ body: 0 }], { partitionKey: 'k' });
    const partition = String(partitionOfKey('k', 4));
    await sendNumbers(producer, partition, 1, 10);
    const reading = read(connectConsumer(emulator), partition, earliest, { trackLastEnqueuedEventProperties: true });
    const events = await reading.received(10);
    expect(events.map((event) => event.sequenceNumber)).toEqual(range(0, 10));
    expect(events[0]!.partitionKey).toBe('k');
    expect(reading.context!.lastEnqueuedEventProperties).toEqual({
      sequenceNumber: 9,
      offset: events.at(-1)!.offset,
      enqueuedOn: new Date(1_700_000_000_000),
      retrievedOn: new Date(1_700_000_000_000),
    });
  });

  it('arrive in order at a reader that is there while they are sent, beyond one session window', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    const reading = read(connectConsumer(emulator), '2', earliest, { maxBatchSize: 5000, prefetchCount: 20_000 });
    for (let i = 0; i < 20_000; i += 1000) await sendNumbers(producer, '2', i, i + 1000);
    const events = await reading.received(20_000);
    expect(events.map((event) => event.body)).toEqual(range(0, 20_000));
    expect(events.map((event) => event.sequenceNumber)).toEqual(range(0, 20_000));
  });

  it('of all partitions reach one subscription', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    for (const partition of range(0, 4)) await sendNumbers(producer, String(partition), 0, 50);
    const seen = new Map<string, number>();
    await new Promise<void>((resolve, reject) => {
      const subscription = connectConsumer(emulator).subscribe(
        {
          processEvents: async (events, { partitionId }) => {
            seen.set(partitionId, (seen.get(partitionId) ?? 0) + events.length);
            if ([...seen.values()].reduce((a, b) => a + b, 0) === 200) resolve();
          },
          processError: async (error) => reject(error),
        },
        { startPosition: earliest, maxBatchSize: 100, maxWaitTimeInSeconds: 1 },
      );
      onTestFinished(() => subscription.close());
    });
    expect([...seen.values()]).toEqual([50, 50, 50, 50]);
  });
});
