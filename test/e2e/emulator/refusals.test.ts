import { EventHubConsumerClient, EventHubProducerClient } from '@azure/event-hubs';
import { describe, expect, it } from 'vitest';
import {
  allMessages,
  closeWhenFinished,
  connectConsumer,
  connectProducer,
  earliest,
  hub,
  noRetry,
  read,
  rejection,
  sendNumbers,
  startEmulator,
} from './clients.ts';

describe('wrong credentials', () => {
  it.each([
    ['key', (text: string) => text.replace('SAS_KEY_VALUE', 'WRONG_VALUE'), 'InvalidSignature'],
    ['key name', (text: string) => text.replace('RootManage', 'Other'), 'InvalidKey'],
  ])('%s: sends, reads and management are refused as unauthorized', async (_name, change, text) => {
    const emulator = await startEmulator();
    const wrong = change(emulator.connectionString);
    const producer = new EventHubProducerClient(wrong, hub, { retryOptions: noRetry });
    const consumer = new EventHubConsumerClient('app', wrong, hub, { retryOptions: noRetry });
    closeWhenFinished(producer);
    closeWhenFinished(consumer);
    for (const error of [
      await rejection(producer.sendBatch([{ body: 1 }])),
      await rejection(producer.getEventHubProperties()),
      await read(consumer, '0', earliest).failed,
    ]) {
      expect(allMessages(error)).toContain(text);
    }
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(0);
  });

  it('own keys are accepted when the emulator was started with them', async () => {
    const emulator = await startEmulator({ sharedAccessKeyName: 'mine', sharedAccessKey: 'b3duLWtleQ==' });
    await sendNumbers(connectProducer(emulator, noRetry), '0', 0, 3);
    expect(emulator.partitionProperties(hub, 0).nextSequenceNumber).toBe(3);
  });
});

describe('unknown names', () => {
  it('a hub that does not exist is not found', async () => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator, noRetry, 'nosuchhub');
    expect(await rejection(producer.getEventHubProperties())).toMatchObject({ code: 'MessagingEntityNotFoundError' });
    expect(await rejection(producer.sendBatch([{ body: 1 }]))).toMatchObject({ code: 'MessagingEntityNotFoundError' });
  });

  it('a consumer group that does not exist is not found', async () => {
    const emulator = await startEmulator();
    const error = await read(connectConsumer(emulator, noRetry, 'nosuchgroup'), '0', earliest).failed;
    expect(error).toMatchObject({ code: 'MessagingEntityNotFoundError' });
    expect(error.message).toMatch(/nosuchgroup/i);
  });

  it.each(['4', '-1', 'x', '01'])('partition %s is out of range', async (partition) => {
    const emulator = await startEmulator();
    const producer = connectProducer(emulator, noRetry);
    const text = 'The specified partition is invalid';
    for (const error of [
      await rejection(producer.getPartitionProperties(partition)),
      await rejection(producer.sendBatch([{ body: 1 }], { partitionId: partition })),
      await read(connectConsumer(emulator, noRetry), partition, earliest).failed,
    ]) {
      expect(error).toMatchObject({ code: 'ArgumentOutOfRangeError' });
      expect(error.message).toContain(text);
    }
  });

  it('names of hubs and groups are found in any case', async () => {
    const emulator = await startEmulator();
    await sendNumbers(connectProducer(emulator, noRetry, 'TELEMETRY'), '0', 0, 3);
    await read(connectConsumer(emulator, noRetry, 'APP'), '0', earliest).received(3);
  });
});

it('several hubs on one emulator keep their events apart', async () => {
  const emulator = await startEmulator({
    hubs: [
      { name: 'one', partitionCount: 1 },
      { name: 'two', partitionCount: 2 },
    ],
  });
  await sendNumbers(connectProducer(emulator, noRetry, 'one'), '0', 0, 3);
  await sendNumbers(connectProducer(emulator, noRetry, 'two'), '1', 0, 4);
  expect(emulator.hubNames).toEqual(['one', 'two']);
  expect(emulator.partitionProperties('one', 0).nextSequenceNumber).toBe(3);
  expect(emulator.partitionProperties('two', 0).nextSequenceNumber).toBe(0);
  expect(emulator.partitionProperties('two', 1).nextSequenceNumber).toBe(4);
  const properties = await connectProducer(emulator, noRetry, 'two').getEventHubProperties();
  expect(properties.partitionIds).toEqual(['0', '1']);
});
