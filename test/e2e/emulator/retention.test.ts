import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import {
  connectConsumer,
  connectProducer,
  earliest,
  hub,
  range,
  readEvents,
  sendNumbers,
  startEmulator,
} from './clients.ts';

describe.each([false, true])('retention (in files: %s)', (inFiles) => {
  async function dataFolder(): Promise<string | undefined> {
    if (!inFiles) return undefined;
    const folder = await mkdtemp(join(tmpdir(), 'emulator-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }

  it('expires events by age, exactly, without a new event', async () => {
    const clock = new ManualClock(1_700_000_000_000);
    const emulator = await startEmulator({
      clock,
      dataFolder: await dataFolder(),
      hubs: [{ name: hub, consumerGroups: ['app'], retentionMs: 60_000 }],
    });
    const producer = connectProducer(emulator);
    for (const i of range(0, 10)) {
      await sendNumbers(producer, '0', i, i + 1);
      clock.advanceBy(10_000);
    }
    // Now 100 s after the first event: those of 40 s and later are left.
    expect(await producer.getPartitionProperties('0')).toMatchObject({ beginningSequenceNumber: 4, isEmpty: false });
    const events = await readEvents(connectConsumer(emulator), '0', earliest, 6);
    expect(events.map((event) => event.sequenceNumber)).toEqual(range(4, 10));
    clock.advanceBy(3_600_000);
    expect(await producer.getPartitionProperties('0')).toMatchObject({
      beginningSequenceNumber: 10,
      lastEnqueuedSequenceNumber: 9,
      isEmpty: true,
    });
    await sendNumbers(producer, '0', 10, 11);
    const [next] = await readEvents(connectConsumer(emulator), '0', { sequenceNumber: 3 }, 1);
    expect(next).toMatchObject({ body: 10, sequenceNumber: 10 });
  });

  it('keeps each partition below its size', async () => {
    const emulator = await startEmulator({
      dataFolder: await dataFolder(),
      hubs: [{ name: hub, consumerGroups: ['app'], retentionBytes: 300_000 }],
    });
    const producer = connectProducer(emulator);
    const body = Buffer.alloc(1000, 1);
    for (let i = 0; i < 10; i++) {
      await producer.sendBatch(
        Array.from({ length: 100 }, () => ({ body })),
        { partitionId: '0' },
      );
    }
    const { beginSequenceNumber, nextSequenceNumber } = emulator.partitionProperties(hub, 0);
    expect(nextSequenceNumber).toBe(1000);
    expect(nextSequenceNumber - beginSequenceNumber).toBeGreaterThan(200);
    expect(nextSequenceNumber - beginSequenceNumber).toBeLessThan(300);
    const events = await readEvents(connectConsumer(emulator), '0', earliest, nextSequenceNumber - beginSequenceNumber);
    expect(events.map((event) => event.sequenceNumber)).toEqual(range(beginSequenceNumber, nextSequenceNumber));
  });
});
