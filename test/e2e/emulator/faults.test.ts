import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import {
  allMessages,
  connectConsumer,
  connectProducer,
  earliest,
  hub,
  noRetry,
  range,
  read,
  readBodies,
  rejection,
  retryOptions,
  sendNumbers,
  startEmulator,
} from './clients.ts';

const briefTimeout = { ...retryOptions, timeoutInMs: 1000 };

describe('fault', () => {
  it('dropConnections cuts readers, which go on without gap or repetition', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    const reading = read(connectConsumer(emulator), '0', earliest);
    for (let round = 0; round < 3; round++) {
      await sendNumbers(producer, '0', round * 100, (round + 1) * 100);
      await reading.received((round + 1) * 100);
      expect(emulator.faults.dropConnections()).toBeGreaterThan(0);
      await expect.poll(() => emulator.connectionCount).toBeLessThanOrEqual(1);
    }
    await sendNumbers(producer, '0', 300, 310);
    expect((await reading.received(310)).map((event) => event.body)).toEqual(range(0, 310));
  });

  it('dropConnections with a condition closes connections with it', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    await sendNumbers(producer, '0', 0, 1);
    expect(emulator.faults.dropConnections({ condition: 'amqp:connection:forced' })).toBe(1);
    await expect.poll(() => emulator.connectionCount).toBe(0);
    await sendNumbers(producer, '0', 1, 2);
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(2);
  });

  it('dropNextConnections cuts that many new connections', async () => {
    const emulator = await startEmulator();
    emulator.faults.dropNextConnections(2);
    const producer = connectProducer(emulator, { ...retryOptions, maxRetries: 5 });
    await sendNumbers(producer, '0', 0, 1);
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(1);
    emulator.faults.dropNextConnections(100);
    const error = await rejection(sendNumbers(connectProducer(emulator, noRetry), '0', 0, 1));
    expect(error).toBeInstanceOf(Error);
  });

  it.each([
    ['com.microsoft:entity-disabled', 'MessagingEntityDisabledError'],
    ['amqp:link:stolen', 'ReceiverDisconnectedError'],
    ['amqp:resource-limit-exceeded', 'QuotaExceededError'],
  ])('refuseAttach refuses a reader with %s, once', async (condition, code) => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator), '0', 0, 5);
    emulator.faults.refuseAttach({ condition, description: 'because', role: 'consumer', hub, partition: 0 });
    const error = await read(connectConsumer(emulator, noRetry), '0', earliest).failed;
    expect(error).toMatchObject({ code, message: 'because' });
    await read(connectConsumer(emulator, noRetry), '0', earliest).received(5);
  });

  it('refuseAttach leaves out what does not match', async () => {
    const emulator = await startEmulator();
    emulator.faults.refuseAttach({ condition: 'amqp:not-allowed', partition: 1 });
    emulator.faults.refuseAttach({ condition: 'amqp:not-allowed', consumerGroup: '$Default', times: 3 });
    await sendNumbers(connectProducer(emulator, noRetry), '0', 0, 5);
    await read(connectConsumer(emulator, noRetry), '0', earliest).received(5);
    expect(await rejection(sendNumbers(connectProducer(emulator, noRetry), '1', 0, 1))).toBeInstanceOf(Error);
    emulator.faults.clear();
    await read(connectConsumer(emulator, noRetry, '$Default'), '0', earliest).received(5);
  });

  it('detachLinks detaches matching readers with the condition', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    for (const id of ['0', '1']) await sendNumbers(producer, id, 0, 5);
    const hit = read(connectConsumer(emulator, noRetry), '0', earliest);
    const other = read(connectConsumer(emulator, noRetry), '1', earliest);
    await hit.received(5);
    await other.received(5);
    expect(emulator.faults.detachLinks({ condition: 'amqp:link:stolen', role: 'consumer', partition: 0 })).toBe(1);
    expect(await hit.failed).toMatchObject({ code: 'ReceiverDisconnectedError' });
    await sendNumbers(producer, '1', 5, 10);
    await other.received(10);
  });

  it('detachLinks with a condition worth a retry lets the reader go on where it was', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    await sendNumbers(producer, '0', 0, 50);
    const reading = read(connectConsumer(emulator), '0', earliest);
    await reading.received(50);
    emulator.faults.detachLinks({ condition: 'amqp:link:detach-forced', role: 'consumer' });
    await sendNumbers(producer, '0', 50, 100);
    expect((await reading.received(100)).map((event) => event.body)).toEqual(range(0, 100));
  });

  it('delayAccepts answers a send after the delay, with the event stored before', async () => {
    const clock = new ManualClock(1_700_000_000_000);
    const emulator = await startEmulator({ clock });
    const producer = connectProducer(emulator, noRetry);
    emulator.faults.delayAccepts(500);
    let answered = false;
    const sent = sendNumbers(producer, '0', 0, 1).then(() => {
      answered = true;
    });
    await expect.poll(() => emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(1);
    clock.advanceBy(499);
    await producer.getEventHubProperties();
    expect(answered).toBe(false);
    clock.advanceBy(1);
    await sent;
    emulator.faults.delayAccepts(0);
    await sendNumbers(producer, '0', 1, 2);
  });

  it('throttleSends rejects sends as busy and stores nothing of them', async () => {
    const emulator = await startEmulator();
    emulator.faults.throttleSends(1);
    const error = await rejection(sendNumbers(connectProducer(emulator, noRetry), '0', 0, 1));
    expect(allMessages(error)).toContain('50002');
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(0);
    emulator.faults.throttleSends(1);
    await sendNumbers(connectProducer(emulator), '0', 0, 1);
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(1);
  });

  it.each(['drop-connection', 'silent'] as const)(
    'loseAccepts (%s) stores the event twice when the producer retries',
    async (how) => {
      const emulator = await startEmulator();
      emulator.faults.loseAccepts(1, how);
      await sendNumbers(connectProducer(emulator, briefTimeout), '0', 0, 2);
      expect(await readBodies(connectConsumer(emulator), '0', earliest, 4)).toEqual([0, 1, 0, 1]);
    },
  );

  it('trimPartition expires events in front of a reader, which jumps to the oldest retained one', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    await sendNumbers(producer, '0', 0, 10);
    emulator.faults.freezeDelivery(hub, 0);
    const reading = read(connectConsumer(emulator), '0', earliest);
    await expect.poll(() => emulator.readerCount(hub, 0)).toBe(1);
    emulator.faults.trimPartition(hub, 0, 7);
    emulator.faults.unfreezeDelivery(hub, 0);
    expect((await reading.received(3)).map((event) => event.sequenceNumber)).toEqual([7, 8, 9]);
    expect(await producer.getPartitionProperties('0')).toMatchObject({ beginningSequenceNumber: 7, isEmpty: false });
    emulator.faults.trimPartition(hub, 0, 10);
    expect(await producer.getPartitionProperties('0')).toMatchObject({
      beginningSequenceNumber: 10,
      lastEnqueuedSequenceNumber: 9,
      isEmpty: true,
    });
  });

  it('recreateHub starts sequence numbers at 0 with a new creation time, and refuses old positions', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    await sendNumbers(producer, '0', 0, 10);
    const before = await producer.getEventHubProperties();
    const reading = read(connectConsumer(emulator, noRetry), '0', earliest);
    await reading.received(10);
    emulator.faults.recreateHub(hub);
    // The reader attaches again at its own position, which the new hub has not reached.
    expect(allMessages(await reading.failed)).toMatch(/sequence number '9' is invalid|entity '.*' was deleted/);
    const after = await producer.getEventHubProperties();
    expect(after.createdOn.getTime()).toBeGreaterThan(before.createdOn.getTime());
    await sendNumbers(producer, '0', 100, 103);
    expect(await readBodies(connectConsumer(emulator), '0', earliest, 3)).toEqual([100, 101, 102]);
    const error = await read(connectConsumer(emulator, noRetry), '0', { sequenceNumber: 9 }).failed;
    expect(error).toMatchObject({ code: 'ArgumentError' });
  });

  it('freezeDelivery holds events back until unfreezeDelivery', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator);
    const reading = read(connectConsumer(emulator), '0', earliest);
    await sendNumbers(producer, '0', 0, 5);
    await reading.received(5);
    emulator.faults.freezeDelivery(hub, 0);
    await sendNumbers(producer, '0', 5, 10);
    // A reader of another partition still gets its events, so the freeze is what holds the first one back.
    await sendNumbers(producer, '1', 0, 5);
    await read(connectConsumer(emulator), '1', earliest).received(5);
    expect(reading.events).toHaveLength(5);
    emulator.faults.unfreezeDelivery(hub, 0);
    expect((await reading.received(10)).map((event) => event.body)).toEqual(range(0, 10));
  });

  it('calls with a wrong name or number say so', async () => {
    const { faults } = await startEmulator();
    expect(() => faults.trimPartition('nosuchhub', 0, 0)).toThrow('hub is "nosuchhub": one of telemetry is needed');
    expect(() => faults.freezeDelivery(hub, 4)).toThrow('partition is 4: a whole number from 0 to 3 is needed');
    expect(() => faults.throttleSends(-1)).toThrow('count is -1');
  });
});
