import type { EventHubProducerClient, EventPosition } from '@azure/event-hubs';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { EventHubsEmulator } from '../../../src/testing/event-hubs-emulator.ts';
import {
  connectConsumer,
  connectProducer,
  earliest,
  hub,
  noRetry,
  range,
  read,
  readBodies,
  readEvents,
  sendNumbers,
  startEmulator,
} from './clients.ts';

/** Ten events 0-9, sent one second apart. */
async function tenEvents(): Promise<{
  emulator: EventHubsEmulator;
  producer: EventHubProducerClient;
  startMs: number;
}> {
  const startMs = 1_700_000_000_000;
  const clock = new ManualClock(startMs);
  const emulator = await startEmulator({ clock });
  const producer = connectProducer(emulator);
  for (const i of range(0, 10)) {
    await sendNumbers(producer, '0', i, i + 1);
    clock.advanceBy(1000);
  }
  return { emulator, producer, startMs };
}

describe('a reader starts', () => {
  it.each<[string, (offsets: string[], startMs: number) => EventPosition, number]>([
    ['at the earliest event with offset -1', () => earliest, 0],
    ['after a sequence number', () => ({ sequenceNumber: 3 }), 4],
    ['at a sequence number when inclusive', () => ({ sequenceNumber: 3, isInclusive: true }), 3],
    ['at the first event after sequence number -1', () => ({ sequenceNumber: -1 }), 0],
    ['at the last sequence number when inclusive', () => ({ sequenceNumber: 9, isInclusive: true }), 9],
    ['after an offset', (offsets) => ({ offset: offsets[5]! }), 6],
    ['at an offset when inclusive', (offsets) => ({ offset: offsets[5]!, isInclusive: true }), 5],
    ['after an offset between two events', (offsets) => ({ offset: String(Number(offsets[5]) + 1) }), 6],
    ['after an enqueued time', (_, startMs) => ({ enqueuedOn: startMs + 4000 }), 5],
    ['after an enqueued time between two events', (_, startMs) => ({ enqueuedOn: new Date(startMs + 4001) }), 5],
    ['at the earliest event for a time before all', () => ({ enqueuedOn: 0 }), 0],
    ['at the last event for @latest when inclusive', () => ({ offset: '@latest', isInclusive: true }), 9],
  ])('%s', async (_name, position, first) => {
    const { emulator, startMs } = await tenEvents();
    const consumer = connectConsumer(emulator);
    const offsets = (await readEvents(consumer, '0', earliest, 10)).map((event) => event.offset);
    expect(await readBodies(consumer, '0', position(offsets, startMs), 10 - first)).toEqual(range(first, 10));
  });

  it.each<[string, EventPosition]>([
    ['@latest', { offset: '@latest' }],
    ['after the last sequence number', { sequenceNumber: 9 }],
    ['after a time that has not come', { enqueuedOn: 1_800_000_000_000 }],
  ])('with what is sent later: %s', async (_name, position) => {
    const { emulator, producer } = await tenEvents();
    const reading = read(connectConsumer(emulator), '0', position);
    // The reader must be attached before the send; readers without an owner level are counted up to 5.
    await expect.poll(() => emulator.readerCount(hub, 0), { timeout: 5000 }).toBe(1);
    await sendNumbers(producer, '0', 10, 12);
    expect((await reading.received(2)).map((event) => event.body)).toEqual([10, 11]);
  });

  it('after sequence number -1 of a partition never written, and gets event 0', async () => {
    const emulator = await startEmulator();
    const reading = read(connectConsumer(emulator), '0', { sequenceNumber: -1 });
    await sendNumbers(connectProducer(emulator), '0', 0, 1);
    expect((await reading.received(1))[0]!.sequenceNumber).toBe(0);
  });

  it('at the oldest retained event when its position expired, without an error', async () => {
    const { emulator } = await tenEvents();
    const consumer = connectConsumer(emulator);
    const offsets = (await readEvents(consumer, '0', earliest, 10)).map((event) => event.offset);
    emulator.faults.trimPartition(hub, 0, 6);
    expect(await readBodies(consumer, '0', { sequenceNumber: 2 }, 4)).toEqual(range(6, 10));
    expect(await readBodies(consumer, '0', { offset: offsets[1]! }, 4)).toEqual(range(6, 10));
    expect(await readBodies(consumer, '0', earliest, 4)).toEqual(range(6, 10));
    expect(await readBodies(consumer, '0', { enqueuedOn: 0 }, 4)).toEqual(range(6, 10));
  });
});

describe('a reader is refused', () => {
  it.each<[string, EventPosition, string]>([
    [
      'for a sequence number ahead of the log',
      { sequenceNumber: 10 },
      "The supplied sequence number '10' is invalid. The last sequence number in the system is '9'",
    ],
    [
      'for the next sequence number when inclusive',
      { sequenceNumber: 10, isInclusive: true },
      "The supplied sequence number '10' is invalid. The last sequence number in the system is '9'",
    ],
    [
      'for an offset ahead of the log',
      { offset: '99999999' },
      "The supplied offset '99999999' is invalid. The last offset",
    ],
    ['for an offset that is no number', { offset: 'abc' }, "The supplied offset 'abc' is invalid. The last offset"],
  ])('%s', async (_name, position, text) => {
    const { emulator } = await tenEvents();
    const error = await read(connectConsumer(emulator, noRetry), '0', position).failed;
    expect(error).toMatchObject({ code: 'ArgumentError' });
    expect(error.message).toContain(text);
  });
});
