import { describe, expect, it } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { type EventHubOptions, parseEventHubOptions } from '../../../src/sources/event-hubs/event-hub-options.ts';

const key = 'c2VjcmV0LXNlY3JldA==';
const namespace = `Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=listen;SharedAccessKey=${key}`;
const withHub = `${namespace};EntityPath=telemetry`;

function refusal(options: EventHubOptions, env: Record<string, string> = {}): string {
  try {
    parseEventHubOptions(options, env);
  } catch (error) {
    expect(error).toBeInstanceOf(TidemarkError);
    expect((error as TidemarkError).code).toBe('OPTION_INVALID');
    expect((error as Error).message).not.toContain(key);
    return (error as Error).message;
  }
  return 'accepted';
}

describe('the options of an event hub stream', () => {
  it('need no more than a connection string with a hub', () => {
    const settings = parseEventHubOptions({ connectionString: withHub }, {});
    expect(settings.address).toEqual({
      host: 'ns.servicebus.windows.net',
      port: 5671,
      tls: true,
      endpoint: 'sb://ns.servicebus.windows.net/',
      hub: 'telemetry',
      key: { sharedAccessKeyName: 'listen', sharedAccessKey: key },
    });
    expect(settings.consumerGroup).toBe('$Default');
    expect(settings.startingPositionOf('3')).toBe('latest');
    expect(settings.onDataLoss).toBe('fail');
  });

  it('come from the environment when they are left out', () => {
    const env = { EVENTHUB_CONNECTION_STRING: namespace, EVENTHUB_NAME: 'from-env' };
    expect(parseEventHubOptions({}, env).address.hub).toBe('from-env');
    expect(parseEventHubOptions({ connectionString: withHub }, env).address.hub).toBe('telemetry');
  });

  it('reach the emulator without TLS on the port it says', () => {
    const connectionString = `Endpoint=sb://127.0.0.1:4711;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true`;
    const { address } = parseEventHubOptions({ connectionString, eventHubName: 'h' }, {});
    expect([address.host, address.port, address.tls, address.endpoint]).toEqual([
      '127.0.0.1',
      4711,
      false,
      'sb://127.0.0.1:4711/',
    ]);
  });

  it('take a namespace with a credential, or with none for DefaultAzureCredential', () => {
    const options = { fullyQualifiedNamespace: 'ns.servicebus.windows.net', eventHubName: 'telemetry' };
    expect(parseEventHubOptions(options, {}).address.key).toBeUndefined();
    const credential = { getToken: async () => ({ token: 't', expiresOnTimestamp: 1 }) };
    expect(parseEventHubOptions({ ...options, credential }, {}).credential).toBe(credential);
  });

  it('give a starting position per partition, latest for the others', () => {
    const { startingPositionOf } = parseEventHubOptions(
      { connectionString: withHub, startingPosition: { '0': 'earliest', '2': { sequenceNumber: 5 } } },
      {},
    );
    expect(['0', '1', '2'].map(startingPositionOf)).toEqual(['earliest', 'latest', { sequenceNumber: 5 }]);
  });

  it.each<[string, EventHubOptions, string]>([
    ['nothing', {}, 'EVENTHUB_CONNECTION_STRING'],
    [
      'an unknown option',
      { conectionString: withHub } as EventHubOptions,
      "no option 'conectionString'. Accepted: connectionString,",
    ],
    [
      'an unknown retry option',
      { connectionString: withHub, retry: { tries: 3 } as never },
      "no option 'tries'. Accepted: firstDelayMs,",
    ],
    ['no hub', { connectionString: namespace }, 'eventHubName is missing'],
    ['two hubs', { connectionString: withHub, eventHubName: 'other' }, 'EntityPath=telemetry'],
    ['a broken endpoint', { connectionString: withHub.replace('sb://', '') }, 'Endpoint=sb://<namespace>'],
    ['no key', { connectionString: 'Endpoint=sb://ns/;SharedAccessKeyName=a;EntityPath=b' }, 'SharedAccessKey=<key>'],
    ['both ways to sign in', { connectionString: withHub, fullyQualifiedNamespace: 'ns' }, 'not both'],
    ['a URL for a host', { fullyQualifiedNamespace: 'sb://ns/', eventHubName: 'h' }, 'a host name is expected'],
    ['a limit of zero', { connectionString: withHub, maxEventsPerBatch: 0 }, 'maxEventsPerBatch is 0'],
    ['half an event', { connectionString: withHub, bufferEventsMax: 1.5 }, 'bufferEventsMax is 1.5'],
    [
      'a policy that does not exist',
      { connectionString: withHub, onDataLoss: 'ignore' as never },
      'Accepted: fail, skip',
    ],
    [
      'a body format that does not exist',
      { connectionString: withHub, body: 'xml' as never },
      'Accepted: json, bytes, text',
    ],
    [
      'a position that does not exist',
      { connectionString: withHub, startingPosition: 'first' as never },
      "accepted are 'earliest'",
    ],
    [
      'a negative sequence number',
      { connectionString: withHub, startingPosition: { sequenceNumber: -1 } },
      'accepted are',
    ],
    [
      'a bad position of one partition',
      { connectionString: withHub, startingPosition: { '1': 'x' as never } },
      "startingPosition['1']",
    ],
  ])('refuse %s with the way out', (_, options, text) => {
    expect(refusal(options)).toContain(text);
  });
});
