import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import type { EventHubPosition, EventHubRange } from '../../../src/sources/event-hubs/event-hub-position.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { drain, hubName, keysOf, readPlan, send, sentKeys, startSource, until } from './support.ts';

describe('a restart', () => {
  const ids = ['0', '1'];
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 2 }] });
  });
  afterEach(() => emulator.stop());

  it('at the position of a plan delivers exactly what came after it', async () => {
    await Promise.all(ids.map((id) => send(emulator, id, 500)));
    let position: unknown;
    {
      await using first = await startSource(emulator, { maxEventsPerBatch: 300 });
      await until(() => first.source.statistics().every(({ buffered }) => buffered === 500), 'all events are here');
      const plan = await first.source.plan();
      expect((await readPlan(first.source, plan)).length).toBe(300);
      position = structuredClone(plan.position);
      // Planned and read, but never committed: it must come again.
      await readPlan(first.source, await first.source.plan());
    }
    await using second = await startSource(emulator, { position, epoch: 2, startingPosition: 'latest' });
    const rows = await drain(second.source, 700);
    expect(keysOf(rows)).toEqual(ids.flatMap((id) => sentKeys([id], 350, 150)));
  });

  it('repeats a recorded plan to the event, and plans on after it', async () => {
    await Promise.all(ids.map((id) => send(emulator, id, 400)));
    await using first = await startSource(emulator, { maxEventsPerPartition: 100 });
    await until(() => first.source.statistics().every(({ buffered }) => buffered === 400), 'all events are here');
    const before = structuredClone((await first.source.plan()).position);
    const plan = structuredClone(await first.source.plan());
    const rows = await readPlan(first.source, plan);
    await first.source.stop();

    await using second = await startSource(emulator, { position: before, epoch: 2, maxEventsPerPartition: 300 });
    second.source.adopt(plan);
    // At once: nothing has arrived yet, so the read waits.
    expect(await readPlan(second.source, plan)).toEqual(rows);
    expect(await readPlan(second.source, plan)).toEqual(rows);
    second.source.committed(plan);
    expect(keysOf(await drain(second.source, 400))).toEqual(ids.flatMap((id) => sentKeys([id], 200, 200)));
  });

  it('repeats a recorded plan that is larger than the buffer, also when the task is retried', async () => {
    await send(emulator, '0', 5_000);
    await using first = await startSource(emulator, { bufferEventsMax: 10_000 });
    await until(() => first.source.statistics()[0]!.buffered === 5_000, 'all events are here');
    const before = first.source.position();
    const plan = structuredClone(await first.source.plan());
    expect(plan.records).toBe(5_000);
    await first.source.stop();
    await send(emulator, '0', 50, 5_000);

    await using second = await startSource(emulator, { position: before, epoch: 2, bufferEventsMax: 64 });
    second.source.adopt(plan);
    for (let attempt = 0; attempt < 2; attempt++) {
      const rows: string[] = [];
      let held = 0;
      await second.source.read(plan, 0, (chunk) => {
        rows.push(...keysOf(chunk));
        held = Math.max(held, second.source.statistics()[0]!.buffered + second.source.statistics()[0]!.credit);
      });
      expect(rows).toEqual(sentKeys(['0'], 5_000));
      expect(held).toBeLessThanOrEqual(64);
    }
    second.source.committed(plan);
    expect(keysOf(await drain(second.source, 50))).toEqual(sentKeys(['0'], 50, 5_000));
  });

  it('gives up on a recorded range that never arrives, after the time allowed', async () => {
    await send(emulator, '0', 10);
    emulator.faults.freezeDelivery(hubName, 0);
    await using started = await startSource(emulator, { readTimeoutMs: 100 });
    const position = started.source.position() as EventHubPosition;
    const range: EventHubRange = { partitionId: '0', from: 0, to: 10 };
    const plan = {
      partitions: [range],
      position: { ...position, partitions: { ...position.partitions, '0': 10 } },
      records: 10,
    };
    started.source.adopt(plan);
    const error = await started.source.read(plan, 0, () => undefined).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(TidemarkError);
    expect(error.code).toBe('SOURCE_UNAVAILABLE');
    expect(error.message).toContain('readTimeoutMs');
  });

  it('rejects a waiting read with CANCELLED when the source stops', async () => {
    const started = await startSource(emulator);
    const position = started.source.position() as EventHubPosition;
    const plan = { partitions: [{ partitionId: '0', from: 0, to: 10 }], position, records: 10 };
    const reading = started.source.read(plan, 0, () => undefined).catch((thrown) => thrown);
    await started.source.stop();
    expect((await reading).code).toBe('CANCELLED');
    await until(() => emulator.connectionCount === 0, 'the connection is closed');
  });
});

describe('a restart after the number of partitions changed', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-event-hubs-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function runWith(
    partitionCount: number,
    run: (emulator: EventHubsEmulator) => Promise<unknown>,
  ): Promise<unknown> {
    const emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount }], dataFolder: folder });
    try {
      return await run(emulator);
    } finally {
      await emulator.stop();
    }
  }

  it('reads new partitions from their first event and says so; fewer partitions are another hub', async () => {
    const position = await runWith(1, async (emulator) => {
      await send(emulator, '0', 10);
      await using started = await startSource(emulator);
      await drain(started.source, 10);
      return started.source.position();
    });
    const grown = await runWith(2, async (emulator) => {
      await send(emulator, '0', 5, 10);
      await send(emulator, '1', 7);
      await using started = await startSource(emulator, { position, epoch: 2, startingPosition: 'latest' });
      expect(started.warnings).toMatchObject([{ kind: 'partition_added', partitionId: '1' }]);
      const rows = await drain(started.source, 12);
      expect(keysOf(rows)).toEqual([...sentKeys(['0'], 5, 10), ...sentKeys(['1'], 7)]);
      return started.source.position();
    });
    expect(grown).toMatchObject({ partitions: { '0': 15, '1': 7 } });
    await rm(folder, { recursive: true });
    await runWith(1, async (emulator) => {
      const { createdOn } = await createdOnOf(emulator);
      const recorded = { createdOn, partitions: { '0': 0, '1': 0 } };
      await expect(startSource(emulator, { position: recorded, epoch: 3 })).rejects.toMatchObject({
        code: 'SOURCE_RECREATED',
        message: expect.stringContaining('recorded partitions 1 are gone'),
      });
    });
  });
});

async function createdOnOf(emulator: EventHubsEmulator): Promise<EventHubPosition> {
  await using started = await startSource(emulator);
  return started.source.position() as EventHubPosition;
}
