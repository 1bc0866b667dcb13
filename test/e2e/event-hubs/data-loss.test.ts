import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TidemarkError } from '../../../src/base/errors.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { drain, hubName, keysOf, readPlan, send, sentKeys, startSource, until } from './support.ts';

describe('events that are gone', () => {
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 2 }] });
  });
  afterEach(() => emulator.stop());

  /** A source whose buffer of 100 is full while 300 more events wait, of which the first ones then expire. */
  async function startBehind(onDataLoss: 'fail' | 'skip') {
    await send(emulator, '0', 400);
    const started = await startSource(emulator, { bufferEventsMax: 100, onDataLoss });
    await until(() => started.source.statistics()[0]!.buffered === 100, 'the buffer is full');
    emulator.faults.trimPartition(hubName, 0, 250);
    return started;
  }

  it('row 31: before a restart fail the start with the exact range', async () => {
    await send(emulator, '0', 100);
    const position = await (async () => {
      await using started = await startSource(emulator);
      return started.source.position();
    })();
    emulator.faults.trimPartition(hubName, 0, 40);
    await expect(startSource(emulator, { position, epoch: 2 })).rejects.toMatchObject({
      code: 'DATA_LOSS',
      message: expect.stringContaining('partition 0: 40 events, sequence numbers 0 to 39'),
      context: { lost: [{ partitionId: '0', from: 0, to: 40 }] },
    });
  });

  it('row 31: before a restart are skipped when that is the policy, counted and reported', async () => {
    await send(emulator, '0', 100);
    const position = await (async () => {
      await using started = await startSource(emulator);
      return started.source.position();
    })();
    emulator.faults.trimPartition(hubName, 0, 40);
    await using started = await startSource(emulator, { position, epoch: 2, onDataLoss: 'skip' });
    expect(started.warnings).toMatchObject([{ kind: 'events_lost', partitionId: '0', from: 0, to: 40 }]);
    expect(keysOf(await drain(started.source, 60))).toEqual(sentKeys(['0'], 60, 40));
    expect(started.source.statistics()[0]!.lost).toBe(40);
    expect(started.source.backlog()).toBe(0);
  });

  it('while running stop the stream with the exact range', async () => {
    await using started = await startBehind('fail');
    const plan = await started.source.plan();
    emulator.faults.dropConnections();
    started.source.committed(plan);
    const error = (await started.failed) as TidemarkError;
    expect(error.code).toBe('DATA_LOSS');
    expect(error.context.lost).toEqual([{ partitionId: '0', from: 100, to: 250 }]);
    await expect(started.source.plan()).rejects.toBe(error);
  });

  it('while running are skipped when that is the policy; a plan never spans the hole', async () => {
    await using started = await startBehind('skip');
    const first = await started.source.plan();
    expect(first.partitions[0]).toEqual({ partitionId: '0', from: 0, to: 100 });
    emulator.faults.dropConnections();
    await readPlan(started.source, first);
    started.source.committed(first);
    await until(() => started.source.statistics()[0]!.lost > 0, 'the loss is found');
    await until(() => started.source.statistics()[0]!.buffered > 0, 'events after it are here');
    const second = await started.source.plan();
    expect(second.partitions[0]).toMatchObject({ from: 250 });
    expect(keysOf(await readPlan(started.source, second))).toEqual(sentKeys(['0'], second.records, 250));
    started.source.committed(second);
    const rest = await drain(started.source, 150 - second.records);
    expect(rest.at(-1)!.sequenceNumber).toBe(399);
    expect(started.warnings.filter(({ kind }) => kind === 'events_lost')).toMatchObject([{ from: 100, to: 250 }]);
    expect(started.source.backlog()).toBe(0);

    // The recorded plan after the hole comes back identically.
    await using again = await startSource(emulator, { position: first.position, epoch: 2, onDataLoss: 'skip' });
    again.source.adopt(second);
    expect(keysOf(await readPlan(again.source, second))).toEqual(sentKeys(['0'], second.records, 250));
  });

  it('to the last one are found by the silence', async () => {
    await send(emulator, '0', 300);
    await using started = await startSource(emulator, { bufferEventsMax: 100, onDataLoss: 'skip', silenceMs: 50 });
    await until(() => started.source.statistics()[0]!.buffered === 100, 'the buffer is full');
    const plan = await started.source.plan();
    emulator.faults.trimPartition(hubName, 0, 300);
    emulator.faults.dropConnections();
    started.source.committed(plan);
    await until(() => started.source.statistics()[0]!.lost === 200, 'the loss is found');
    expect(started.source.backlog()).toBe(0);
    await send(emulator, '0', 5, 300);
    expect(keysOf(await drain(started.source, 5))).toEqual(sentKeys(['0'], 5, 300));
  });

  it('row 31: of a recorded plan leave what is left of it when the policy is to skip', async () => {
    await send(emulator, '0', 300);
    await using first = await startSource(emulator);
    const before = first.source.position();
    await until(() => first.source.statistics()[0]!.buffered === 300, 'all events are here');
    const plan = structuredClone(await first.source.plan());
    await first.source.stop();
    emulator.faults.trimPartition(hubName, 0, 120);

    await expect(startSource(emulator, { position: before, epoch: 2 })).rejects.toMatchObject({ code: 'DATA_LOSS' });
    await using second = await startSource(emulator, {
      position: before,
      epoch: 3,
      onDataLoss: 'skip',
      bufferEventsMax: 50,
    });
    second.source.adopt(plan);
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(keysOf(await readPlan(second.source, plan))).toEqual(sentKeys(['0'], 180, 120));
    }
    expect(second.source.statistics()[0]!.lost).toBe(120);
    second.source.committed(plan);
    await send(emulator, '0', 5, 300);
    expect(keysOf(await drain(second.source, 5))).toEqual(sentKeys(['0'], 5, 300));
  });
});

describe('a hub that was created anew', () => {
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 2 }] });
    await send(emulator, '0', 20);
  });
  afterEach(() => emulator.stop());

  it.each<[string, () => void]>([
    ['its links are detached', () => {}],
    ['the connection is lost', () => emulator.faults.dropConnections()],
  ])('stops a running stream when %s, even if it has more events than the old one by then', async (_, interrupt) => {
    await using started = await startSource(emulator, { retry: { firstDelayMs: 1_000 } });
    await drain(started.source, 20);
    emulator.faults.recreateHub(hubName);
    interrupt();
    await send(emulator, '0', 50);
    const error = (await started.failed) as TidemarkError;
    expect(error.code).toBe('SOURCE_RECREATED');
    expect(error.message).toContain('another checkpoint URL');
  });

  it('is refused at a recorded position', async () => {
    await using started = await startSource(emulator);
    await drain(started.source, 20);
    const position = started.source.position();
    await started.source.stop();
    emulator.faults.recreateHub(hubName);
    await send(emulator, '0', 50);
    await expect(startSource(emulator, { position, epoch: 2 })).rejects.toMatchObject({ code: 'SOURCE_RECREATED' });
  });
});
