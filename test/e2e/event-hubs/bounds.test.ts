import { execFile } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { EventHubProducerClient } from '@azure/event-hubs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { drain, hubName, readPlan, send, startSource, until } from './support.ts';

describe('what the source holds', () => {
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 2 }] });
  });
  afterEach(() => emulator.stop());

  it('is bounded when nobody consumes, however much arrives', async () => {
    await using started = await startSource(emulator, { bufferEventsMax: 200 });
    const held = () => started.source.statistics().map(({ buffered, credit }) => buffered + credit);
    await send(emulator, '0', 3_000);
    await until(() => started.source.statistics()[0]!.buffered === 200, 'the buffer is full');
    await send(emulator, '0', 3_000, 3_000);
    expect(started.source.statistics()[0]).toMatchObject({ buffered: 200, credit: 0, received: 200 });
    expect(held()[1]).toBeLessThanOrEqual(200);
    // The rest is known of all the same, at least what was there when the last event was sent.
    expect(started.source.backlog()).toBeGreaterThan(200);
  });

  it('is bounded when idle: credit stays what it was, and is used up by what arrives later', async () => {
    await using started = await startSource(emulator, { bufferEventsMax: 200 });
    const atFirst = started.source.statistics().map(({ credit }) => credit);
    for (let i = 0; i < 20; i++) {
      await started.source.plan();
      await pause(5);
    }
    expect(started.source.statistics().map(({ credit }) => credit)).toEqual(atFirst);
    expect(Math.max(...atFirst)).toBeLessThanOrEqual(200);
    await send(emulator, '1', 1_000);
    await until(() => started.source.statistics()[1]!.buffered === 200, 'the buffer is full');
    expect(started.source.statistics()[1]!.credit).toBe(0);
  });

  it('is bounded in bytes too', async () => {
    const producer = new EventHubProducerClient(emulator.connectionString, hubName);
    const body = Buffer.alloc(50_000, 'x');
    for (let i = 0; i < 20; i++)
      await producer.sendBatch(
        Array.from({ length: 10 }, () => ({ body })),
        { partitionId: '0' },
      );
    await producer.close();
    await using started = await startSource(emulator, { bufferBytesMax: 2_000_000, body: 'bytes' });
    await until(() => started.source.statistics()[0]!.credit === 0, 'no more is asked for');
    // 40 fit; the first 64 were asked for before their size was known.
    expect(started.source.statistics()[0]!.buffered).toBeLessThanOrEqual(64);
    expect((await drain(started.source, 200)).every(({ body: bytes }) => (bytes as Buffer).length === 50_000)).toBe(
      true,
    );
  });

  it('comes in the shares asked for, and small partitions are not starved by large ones', async () => {
    await send(emulator, '0', 2_000);
    await send(emulator, '1', 10);
    await using started = await startSource(emulator, { maxEventsPerBatch: 100, maxEventsPerPartition: 95 });
    await until(() => started.source.statistics()[0]!.buffered === 2_000, 'all events are here');
    await until(() => started.source.statistics()[1]!.buffered === 10, 'all events are here');
    const plan = await started.source.plan();
    expect(plan.records).toBe(100);
    expect(plan.partitions).toEqual([
      { partitionId: '0', from: 0, to: 95 },
      { partitionId: '1', from: 0, to: 5 },
    ]);
    const chunks: number[] = [];
    await started.source.read(plan, 0, (chunk) => void chunks.push(chunk.length));
    expect(chunks).toEqual([95]);
    expect(started.source.backlog()).toBe(1_910);
  });

  it('is handed on in chunks of 4,096', async () => {
    await send(emulator, '0', 9_000);
    await using started = await startSource(emulator);
    await until(() => started.source.statistics()[0]!.buffered === 9_000, 'all events are here');
    const chunks: number[] = [];
    await started.source.read(await started.source.plan(), 0, (chunk) => void chunks.push(chunk.length));
    expect(chunks).toEqual([4_096, 4_096, 808]);
  });

  it('tells the backlog at the service without asking for it', async () => {
    await send(emulator, '0', 1_000);
    await using started = await startSource(emulator, { bufferEventsMax: 100 });
    expect(started.source.backlog()).toBe(1_000);
    await send(emulator, '0', 500, 1_000);
    const plan = await started.source.plan();
    await readPlan(started.source, plan);
    started.source.committed(plan);
    await until(() => started.source.backlog() + plan.records === 1_500, 'the runtime metrics tell of the new events');
  });
});

describe('after a stop', () => {
  it('nothing is left that keeps the process alive', async () => {
    const emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 4 }] });
    await send(emulator, '0', 10);
    const script = fileURLToPath(new URL('./start-and-stop.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [script, emulator.connectionString, '10'], {
      timeout: 10_000,
    });
    expect(stdout).toBe('stopped');
    await until(() => emulator.connectionCount === 0, 'the emulator has noticed');
    await emulator.stop();
  });
});
