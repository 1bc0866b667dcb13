import { describe, expect, it } from 'vitest';
import { parseEmulatorConfig, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator.ts';

const entity = { Name: 'eh1', PartitionCount: 2, ConsumerGroups: [{ Name: 'cg1' }] };
const config = (entities: unknown, namespace: object = {}): string =>
  JSON.stringify({
    UserConfig: {
      NamespaceConfig: [{ Type: 'EventHub', Name: 'emulatorNs1', Entities: entities, ...namespace }],
      LoggingConfig: { Type: 'File' },
    },
  });

describe('Config.json', () => {
  it('of the official emulator is read', () => {
    expect(parseEmulatorConfig(config([entity, { Name: 'eh2', PartitionCount: '32' }]))).toEqual([
      { name: 'eh1', partitionCount: 2, consumerGroups: ['cg1'] },
      { name: 'eh2', partitionCount: 32, consumerGroups: [] },
    ]);
  });

  it('may set retention, start with a byte order mark and use another case', () => {
    const text = config([{ ...entity, RetentionTimeInHours: 2, retentionbytes: 1000 }]).replace(
      'UserConfig',
      'userConfig',
    );
    expect(parseEmulatorConfig(`\uFEFF${text}`)).toEqual([
      { name: 'eh1', partitionCount: 2, consumerGroups: ['cg1'], retentionMs: 7_200_000, retentionBytes: 1000 },
    ]);
  });

  it.each([
    ['{', /^my.json is not JSON: /],
    ['[]', /UserConfig.NamespaceConfig is missing: a list is needed/],
    ['{"UserConfig":{"NamespaceConfig":[]}}', /UserConfig.NamespaceConfig is 0: a list of exactly one namespace/],
    [config([entity], { Type: 'ServiceBus' }), /NamespaceConfig\[0\].Type is "ServiceBus": it must be "EventHub"/],
    [config('eh1'), /NamespaceConfig\[0\].Entities is "eh1": a list is needed/],
    [config([{ PartitionCount: 1 }]), /Entities\[0\].Name is missing: a text is needed/],
    [config([entity, { Name: 'b' }]), /Entities\[1\].PartitionCount is missing: a whole number of at least 1/],
    [config([{ ...entity, PartitionCount: 'two' }]), /Entities\[0\].PartitionCount is "two"/],
    [config([{ ...entity, PartitionCount: 0 }]), /Entities\[0\].PartitionCount is 0/],
    [
      config([{ ...entity, ConsumerGroups: [{ Name: '$default' }] }]),
      /ConsumerGroups\[0\].Name is "\$default": \$Default always/,
    ],
    [config([{ ...entity, ConsumerGroups: [{}] }]), /ConsumerGroups\[0\].Name is missing/],
    [config([{ ...entity, RetentionTimeInHours: 0.5 }]), /Entities\[0\].RetentionTimeInHours is 0.5/],
  ])('%s is refused with the field named', (text, message) => {
    expect(() => parseEmulatorConfig(text, 'my.json')).toThrow(message);
    expect(() => parseEmulatorConfig(text, 'my.json')).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }));
  });
});

describe('options', () => {
  it.each([
    [{ hubs: [] }, 'hubs is 0: a list of 1 to 100 hubs is needed.'],
    [{ hubs: [{ name: 'a/b' }] }, 'hubs[0].name is "a/b": up to 256 letters'],
    [{ hubs: [{ name: '..' }] }, 'hubs[0].name is ".."'],
    [{ hubs: [{ name: 'a' }, { name: 'A' }] }, 'hubs[1].name is "A": the name is used twice'],
    [{ hubs: [{ name: 'a', partitionCount: 0 }] }, 'hubs[0].partitionCount is 0: a whole number from 1 to 1024'],
    [{ hubs: [{ name: 'a', partitionCount: 1.5 }] }, 'hubs[0].partitionCount is 1.5'],
    [{ hubs: [{ name: 'a', consumerGroups: ['g', 'G'] }] }, 'hubs[0].consumerGroups[1] is "G": the name is used twice'],
    [{ hubs: [{ name: 'a', consumerGroups: [''] }] }, 'hubs[0].consumerGroups[0] is ""'],
    [{ hubs: [{ name: 'a', retentionMs: 0 }] }, 'hubs[0].retentionMs is 0'],
    [{ hubs: [{ name: 'a', retentionBytes: -1 }] }, 'hubs[0].retentionBytes is -1'],
    [{ hubs: [{ name: 'a' }], port: 70_000 }, 'port is 70000'],
    [{ hubs: [{ name: 'a' }], maxMessageBytes: 5 }, 'maxMessageBytes is 5'],
    [{ hubs: [{ name: 'a' }], sharedAccessKey: 'a;b' }, 'sharedAccessKey is "a;b"'],
  ])('%j are refused with the field named', async (options, message) => {
    await expect(startEventHubsEmulator(options)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining(message),
    });
  });
});
