import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { AmqpConnection } from '../../../src/sources/event-hubs/azure-amqp-connection.ts';
import { createTokenProvider, type HubToken } from '../../../src/sources/event-hubs/azure-tokens.ts';
import { parseEventHubOptions } from '../../../src/sources/event-hubs/event-hub-options.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { hubName, until } from './support.ts';

describe('tokens', () => {
  let emulator: EventHubsEmulator;
  beforeEach(async () => {
    emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 1 }] });
  });
  afterEach(() => emulator.stop());

  it('are put again before they expire, for every audience in use', async () => {
    const clock = new ManualClock(Date.now());
    const { address } = parseEventHubOptions(
      { connectionString: emulator.connectionString, eventHubName: hubName },
      {},
    );
    const provide = await createTokenProvider(address, undefined, () => clock.now());
    const asked: string[] = [];
    const tokens = (audience: string): Promise<HubToken> => {
      asked.push(audience.slice(address.endpoint.length));
      return provide(audience);
    };
    const options = { address, tokens, clock, body: 'json', attemptTimeoutMs: 5_000 } as const;
    const connection = await AmqpConnection.open(options, new AbortController().signal);
    const request = { partitionId: '0', consumerGroup: '$Default', after: { sequenceNumber: -1 }, epoch: 1 };
    await connection.openReceiver({ ...request, onEvent: () => {}, onClosed: () => {} });
    const partition = `${hubName}/ConsumerGroups/$Default/Partitions/0`;
    expect(asked).toEqual([partition]);
    await connection.hubProperties();
    asked.length = 0;
    clock.advanceBy(46 * 60_000);
    await until(() => asked.length === 2, 'both claims are renewed');
    expect(asked).toEqual([partition, `${hubName}/$management`]);
    await until(() => {
      clock.advanceBy(60_000);
      return asked.length >= 4;
    }, 'both claims are renewed again');
    await connection.close();
  });

  it('of a credential are asked for with the scope of Event Hubs and renewed before they expire', async () => {
    const scopes: unknown[] = [];
    const credential = {
      getToken: async (scope: string | string[]) => {
        scopes.push(scope);
        return { token: 'jwt-text', expiresOnTimestamp: 3_600_000 };
      },
    };
    const { address } = parseEventHubOptions(
      { fullyQualifiedNamespace: 'ns.servicebus.windows.net', eventHubName: 'h', credential },
      {},
    );
    const provide = await createTokenProvider(address, credential, () => 0);
    expect(await provide('sb://any')).toEqual({ token: 'jwt-text', type: 'jwt', renewAtMs: 3_480_000 });
    expect(scopes).toEqual(['https://eventhubs.azure.net//.default']);
  });

  it('that a credential does not give are reported as refused credentials', async () => {
    const { address } = parseEventHubOptions({ fullyQualifiedNamespace: 'ns', eventHubName: 'h' }, {});
    const failing = { getToken: () => Promise.reject(new Error('az login expired')) };
    const empty = { getToken: async () => null };
    for (const credential of [failing, empty]) {
      const provide = await createTokenProvider(address, credential, () => 0);
      await expect(provide('sb://any')).rejects.toMatchObject({ kind: 'unauthorized' });
    }
  });
});
