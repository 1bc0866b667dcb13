import { createServer } from 'node:net';
import { EventHubConsumerClient } from '@azure/event-hubs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import {
  drain,
  hubName,
  keyOf,
  keysOf,
  readPlan,
  type StartOptions,
  send,
  sentKeys,
  startSource,
  until,
} from './support.ts';

describe('when the connection fails', () => {
  const ids = ['0', '1', '2', '3'];
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 4, consumerGroups: ['jobs'] }] });
  });
  afterEach(() => emulator.stop());

  it('the stream goes on without loss, duplicate or disorder', async () => {
    await Promise.all(ids.map((id) => send(emulator, id, 4_000)));
    await using started = await startSource(emulator, { bufferEventsMax: 500, maxEventsPerBatch: 900 });
    const seen = new Map(ids.map((id) => [id, [] as string[]]));
    let total = 0;
    for (let batch = 0; total < 16_000; batch++) {
      if (batch % 3 === 0) emulator.faults.dropConnections();
      if (batch % 7 === 0) emulator.faults.dropNextConnections(1);
      if (batch % 5 === 0)
        emulator.faults.detachLinks({ role: 'consumer', partition: batch % 4, condition: 'amqp:link:detach-forced' });
      await until(() => started.source.backlog() > 0, 'events are known');
      const plan = await started.source.plan();
      for (const row of await readPlan(started.source, plan)) seen.get(row.partitionId)!.push(keyOf(row));
      started.source.committed(plan);
      total += plan.records;
      await until(
        () => total >= 16_000 || started.source.statistics().some(({ buffered }) => buffered > 0),
        'events are here',
      );
    }
    for (const id of ids) expect(seen.get(id)).toEqual(sentKeys([id], 4_000));
    expect(started.failures).toEqual([]);
    expect(started.warnings.some(({ kind }) => kind === 'reconnecting')).toBe(true);
  });

  it('for longer than the retries last, the stream stops with SOURCE_UNAVAILABLE', async () => {
    await using started = await startSource(emulator, { retry: { firstDelayMs: 5, maxDelayMs: 20, totalMs: 200 } });
    await emulator.stop();
    const error = (await started.failed) as TidemarkError;
    expect(error.code).toBe('SOURCE_UNAVAILABLE');
    expect(error.message).toContain('nothing is lost');
    await expect(started.source.plan()).rejects.toBe(error);
    await started.source.stop();
    expect(started.failures).toHaveLength(1);
  });

  it('a link that owes events and stays silent is opened anew', async () => {
    await using started = await startSource(emulator, { silenceMs: 60 });
    emulator.faults.freezeDelivery(hubName, 2);
    await send(emulator, '2', 10);
    await send(emulator, '1', 10);
    await drain(started.source, 10);
    // The service doesn't tell of events it doesn't deliver; a restart learns of them by the properties.
    const { source } = started;
    await using second = await startSource(emulator, { position: source.position(), epoch: 2, silenceMs: 60 });
    await until(() => second.warnings.some(({ kind }) => kind === 'silent_link'), 'the silence is noticed');
    emulator.faults.unfreezeDelivery(hubName, 2);
    expect(keysOf(await drain(second.source, 10))).toEqual(sentKeys(['2'], 10));
  });
});

describe('a reader with a higher owner level', () => {
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 2 }] });
  });
  afterEach(() => emulator.stop());

  it('ends the older driver for good, with hub, group and partition named', async () => {
    await send(emulator, '0', 10);
    await using old = await startSource(emulator, { epoch: 3 });
    await using newer = await startSource(emulator, { epoch: 4 });
    const error = (await old.failed) as TidemarkError;
    expect(error.code).toBe('SOURCE_FENCED');
    expect(error.message).toMatch(/event hub 'telemetry', consumer group '\$Default', partition [01]/);
    await expect(old.source.plan()).rejects.toBe(error);
    await until(() => emulator.connectionCount === 1, 'the old driver has closed its connection');
    expect(keysOf(await drain(newer.source, 10))).toEqual(sentKeys(['0'], 10));
    expect(newer.failures).toEqual([]);
    expect(old.failures).toHaveLength(1);
  });

  it('keeps an older driver from starting', async () => {
    await using newer = await startSource(emulator, { epoch: 4 });
    await expect(startSource(emulator, { epoch: 3 })).rejects.toMatchObject({ code: 'SOURCE_FENCED' });
    await until(() => emulator.connectionCount === 1, 'the refused driver left no connection');
    expect(newer.failures).toEqual([]);
  });

  it('may be any client of the consumer group', async () => {
    await using started = await startSource(emulator);
    const other = new EventHubConsumerClient('$Default', emulator.connectionString, hubName);
    const subscription = other.subscribe(
      '1',
      { processEvents: async () => {}, processError: async () => {} },
      { ownerLevel: 9 },
    );
    const error = (await started.failed) as TidemarkError;
    await subscription.close();
    await other.close();
    expect([error.code, error.context.partitionId]).toEqual(['SOURCE_FENCED', '1']);
  });
});

describe('a start', () => {
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 2 }] });
  });
  afterEach(() => emulator.stop());

  async function refused(options: StartOptions): Promise<TidemarkError> {
    const error = await startSource(emulator, options).then(
      () => undefined,
      (thrown) => thrown,
    );
    expect(error).toBeInstanceOf(TidemarkError);
    await until(() => emulator.connectionCount === 0, 'no connection is left');
    return error;
  }

  it('with a hub that does not exist names it', async () => {
    const error = await refused({ eventHubName: 'telemetri' });
    expect([error.code, error.message]).toEqual(['SOURCE_NOT_FOUND', expect.stringContaining("'telemetri'")]);
  });

  it('with a consumer group that does not exist names it', async () => {
    const error = await refused({ consumerGroup: 'nobody' });
    expect([error.code, error.message]).toEqual(['SOURCE_NOT_FOUND', expect.stringContaining("'nobody'")]);
  });

  it('with a wrong key says so and does not repeat the key', async () => {
    const connectionString = emulator.connectionString.replace(/SharedAccessKey=[^;]*/, 'SharedAccessKey=d3Jvbmcta2V5');
    const error = await refused({ connectionString });
    expect(error.code).toBe('CREDENTIALS_INVALID');
    expect(error.message).toContain('Listen');
    expect(`${error.message} ${JSON.stringify(error.context)}`).not.toContain('d3Jvbmcta2V5');
  });

  it('with a policy name that does not exist says so', async () => {
    const connectionString = emulator.connectionString.replace(
      /SharedAccessKeyName=[^;]*/,
      'SharedAccessKeyName=nobody',
    );
    expect((await refused({ connectionString })).code).toBe('CREDENTIALS_INVALID');
  });

  it('at a port where nobody listens ends with SOURCE_UNAVAILABLE and the host', async () => {
    const connectionString = emulator.connectionString.replace(/:\d+;/, ':1;');
    const error = await refused({ connectionString, retry: { firstDelayMs: 5, maxDelayMs: 20, totalMs: 100 } });
    expect([error.code, error.message]).toEqual(['SOURCE_UNAVAILABLE', expect.stringContaining('ECONNREFUSED')]);
  });

  it('at a host that has no address ends with SOURCE_UNAVAILABLE', async () => {
    const connectionString = emulator.connectionString.replace('127.0.0.1', 'no-such-namespace.invalid');
    const error = await refused({ connectionString, retry: { firstDelayMs: 5, maxDelayMs: 20, totalMs: 100 } });
    expect([error.code, error.message]).toEqual([
      'SOURCE_UNAVAILABLE',
      expect.stringContaining('no-such-namespace.invalid'),
    ]);
  });

  it('at a host that accepts and says nothing can be stopped at once', async () => {
    const mute = createServer();
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as { port: number };
    const accepted = new Promise<void>((resolve) =>
      mute.once('connection', (socket) => socket.on('error', () => {}) && resolve()),
    );
    const { eventHubSource } = await import('../../../src/sources/event-hubs/event-hub-source.ts');
    const { SystemClock } = await import('../../../src/base/clock.ts');
    const source = eventHubSource(
      { connectionString: emulator.connectionString.replace(/:\d+;/, `:${port};`), eventHubName: hubName },
      { env: {} },
    );
    const starting = source
      .start({ position: undefined, epoch: 1, clock: new SystemClock(), fail: () => {} })
      .catch((error) => error);
    await accepted;
    const before = Date.now();
    await source.stop();
    expect((await starting).code).toBe('CANCELLED');
    expect(Date.now() - before).toBeLessThan(3_000);
    await new Promise((resolve) => mute.close(resolve));
  });

  it('happens once', async () => {
    await using started = await startSource(emulator);
    const again = started.source.start({ position: undefined, epoch: 1, clock: undefined as never, fail: () => {} });
    await expect(again).rejects.toMatchObject({ code: 'STATUS_INVALID' });
  });
});
