import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { StartingPosition } from '../../../src/sources/event-hubs/event-hub-options.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { drain, hubName, keysOf, send, sentKeys, startSource } from './support.ts';

const times = [10_000, 20_000, 30_000];

describe('the starting position', () => {
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    const clock = new ManualClock(times[0]);
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 2 }], clock });
    // Ten events at each moment, numbered 0-9, 10-19, 20-29.
    for (const [i, time] of times.entries()) {
      clock.advanceTo(time);
      await send(emulator, '0', 10, i * 10);
    }
  });
  afterEach(() => emulator.stop());

  it.each<[string, StartingPosition, number]>([
    ['earliest', 'earliest', 0],
    ['latest', 'latest', 30],
    ['a sequence number, exclusive', { sequenceNumber: 12 }, 13],
    ['a sequence number, inclusive', { sequenceNumber: 12, isInclusive: true }, 12],
    ['the first sequence number', { sequenceNumber: 0, isInclusive: true }, 0],
    ['a moment between events', { enqueuedTime: 15_000 }, 10],
    ['the moment of an event, exclusive', { enqueuedTime: new Date(20_000) }, 20],
    ['a moment before all events', { enqueuedTime: 1 }, 0],
    ['a moment after all events', { enqueuedTime: 30_000 }, 30],
  ])('%s begins with the right event', async (_, startingPosition, first) => {
    await using started = await startSource(emulator, { startingPosition: { '0': startingPosition, '1': 'earliest' } });
    expect((started.source.position() as { partitions: object }).partitions).toEqual({ '0': first, '1': 0 });
    await send(emulator, '0', 5, 30);
    const rows = await drain(started.source, 35 - first);
    expect(keysOf(rows)).toEqual(sentKeys(['0'], 35 - first, first));
    expect(rows[0]!.sequenceNumber).toBe(first);
  });

  it('of a partition that the hub does not have is refused', async () => {
    await expect(startSource(emulator, { startingPosition: { '7': 'earliest' } })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining("partition '7'"),
    });
  });

  it('earliest begins after what expired', async () => {
    emulator.faults.trimPartition(hubName, 0, 25);
    await using started = await startSource(emulator);
    expect(keysOf(await drain(started.source, 5))).toEqual(sentKeys(['0'], 5, 25));
    expect(started.warnings).toEqual([]);
  });
});
