import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { drain, hubName, keysOf, readPlan, send, sentKeys, startSource, until } from './support.ts';

describe.each([
  ['directly', true],
  ['by rhea', false],
])('reading an event hub %s', (_, readDirectly) => {
  const ids = ['0', '1', '2', '3'];
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 4 }] });
  });
  afterEach(() => emulator.stop());

  it('delivers every event of four partitions exactly once and in order, over many batches', async () => {
    await Promise.all(ids.map((id) => send(emulator, id, 5_000)));
    await using started = await startSource(emulator, {
      readDirectly,
      maxEventsPerBatch: 3_000,
      bufferEventsMax: 2_000,
    });
    const sending = Promise.all(ids.map((id) => send(emulator, id, 1_000, 5_000)));
    const rows = await drain(started.source, 24_000);
    await sending;
    expect(keysOf(rows)).toEqual(sentKeys(ids, 6_000));
    expect(started.source.backlog()).toBe(0);
    expect((await started.source.plan()).records).toBe(0);
  });

  it('gives the same rows on every read of a plan until it is committed', async () => {
    await send(emulator, '1', 300);
    await using started = await startSource(emulator, { readDirectly, startingPosition: { '1': 'earliest' } });
    await until(() => started.source.backlog() === 300, 'all events are known');
    await until(() => started.source.statistics()[1]!.buffered === 300, 'all events are here');
    const plan = await started.source.plan();
    const first = await readPlan(started.source, plan);
    expect(await readPlan(started.source, plan)).toEqual(first);
    expect(keysOf(first)).toEqual(sentKeys(['1'], 300));
    expect(plan.records).toBe(300);
    started.source.committed(plan);
    expect(started.source.statistics()[1]!.buffered).toBe(0);
  });
});
