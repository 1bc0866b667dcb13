import { expect, test } from 'vitest';
import { SystemClock } from '../../../src/base/clock.ts';
import { Milliseconds } from '../../../src/base/time.ts';
import { eventHubSource } from '../../../src/sources/event-hubs/event-hub-source.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { hubName, send, until } from '../event-hubs/support.ts';

test('back-pressure caps the batches of an event hub from the first one on, shared by backlog', async () => {
  const emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 2 }] });
  try {
    await send(emulator, '0', 3000);
    await send(emulator, '1', 20);
    const context = new StreamingContext({
      appName: 'rate',
      batchInterval: Milliseconds(200),
      backpressure: { enabled: true, initialRate: 500 },
      environment: { print: () => {} },
    });
    const { connectionString } = emulator;
    const descriptions: (string | undefined)[] = [];
    const batches: number[] = [];
    const source = eventHubSource(
      { connectionString, eventHubName: hubName, startingPosition: 'earliest' },
      { env: {} },
    );
    context.addStreamingListener({
      onBatchCompleted: ({ records, streamIdToInputInfo }) => {
        if (records === 0) return;
        batches.push(records);
        descriptions.push(streamIdToInputInfo[0]?.metadata.Description);
      },
    });
    context.sourceStream(source).foreachRDD(async (rdd) => void (await rdd.count()));
    await context.start();
    // The first estimate needs two batches: until then, 500 events per second are 100 per batch.
    await until(() => batches.length >= 3, 'three batches with events');
    await context.stop();
    expect(batches[0]).toBe(100);
    // On a busy machine the events of the second partition come later than the first batch.
    const both = descriptions.find((description) => description?.includes('partition 1'));
    expect(both).toMatch(/^partition 0: \d+ to \d+; partition 1: 0 to 0$/);
  } finally {
    await emulator.stop();
  }
});

test('a rate says how many events a plan takes: the rate times the interval, and one of each partition at least', async () => {
  const emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 4 }] });
  const source = eventHubSource(
    {
      connectionString: emulator.connectionString,
      eventHubName: hubName,
      startingPosition: 'earliest',
      maxEventsPerBatch: 90,
    },
    { env: {} },
  );
  try {
    for (const id of ['0', '1', '2', '3']) await send(emulator, id, 200);
    source.setRate(0);
    source.setRate(20);
    await source.start({
      position: undefined,
      epoch: 1,
      clock: new SystemClock(),
      batchIntervalMs: 500,
      fail: () => {},
    });
    await until(() => source.statistics().every(({ buffered }) => buffered === 200), 'all events are here');
    expect((await source.plan()).records).toBe(10);
    source.setRate(1);
    expect((await source.plan()).records).toBe(4);
    source.setRate(100_000);
    expect((await source.plan()).records).toBe(90);
  } finally {
    await source.stop();
    await emulator.stop();
  }
});
