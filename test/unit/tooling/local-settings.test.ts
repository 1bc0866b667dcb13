import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseLocalSettings, readLocalSettings } from '../../../scripts/local-settings.ts';
import { projectRoot } from '../../../scripts/steps.ts';

const good = {
  storage: { port: 0, account: 'devstoreaccount1', container: 'out', dataFolder: '.local/azurite' },
  eventHubs: { port: 0, dataFolder: '.local/hubs', hubs: [{ name: 'h', partitionCount: 1, consumerGroups: [] }] },
};

/** `good` with one field replaced. */
function changed(path: string, value: unknown): unknown {
  const copy = structuredClone(good) as unknown as Record<string, unknown>;
  const names = path.split('.');
  const last = names.pop() ?? '';
  let at = copy;
  for (const name of names) at = at[name] as Record<string, unknown>;
  at[last] = value;
  return copy;
}

test('the settings of the repository are valid and keep their data below an ignored folder', () => {
  const settings = readLocalSettings();
  expect(settings.storage.dataFolder).toBe(join(projectRoot, '.local', 'azurite'));
  expect(settings.eventHubs.hubs.map((hub) => hub.partitionCount)).toEqual([4]);
});

test.each([
  ['storage.port', 70_000, 'storage.port is 70000; accepted: a whole number from 0 to 65535'],
  ['storage.port', '10000', 'storage.port is "10000"; accepted: a whole number'],
  ['storage.port', undefined, 'storage.port is missing; accepted: a whole number'],
  ['storage.account', 'mine', 'storage.account is "mine"; accepted: "devstoreaccount1"'],
  ['storage.container', 'Out', 'storage.container is "Out"; accepted: a container name'],
  ['storage.dataFolder', '/var/data', 'storage.dataFolder is "/var/data"; accepted: a folder below .local/'],
  ['storage.dataFolder', '.local/../src', 'accepted: a folder below .local/'],
  ['storage.colour', 'red', 'storage.colour is "red"; accepted: only port, account, container, dataFolder here'],
  ['eventHubs', [], 'eventHubs is []; accepted: an object'],
  ['eventHubs.hubs', [], 'eventHubs.hubs is []; accepted: a list of 1 to 10 entries'],
  [
    'eventHubs.hubs.0.partitionCount',
    33,
    'eventHubs.hubs[0].partitionCount is 33; accepted: a whole number from 1 to 32',
  ],
  ['eventHubs.hubs.0.consumerGroups', ['$Default'], 'eventHubs.hubs[0].consumerGroups[0] is "$Default"'],
  ['eventHubs.hubs.1', good.eventHubs.hubs[0], 'eventHubs.hubs is "h"; accepted: each hub name once'],
])('refuses %s = %j', (path, value, message) => {
  expect(() => parseLocalSettings(changed(path, value))).toThrow(message);
});

test('names the file when it cannot be read', () => {
  expect(() => readLocalSettings(join(projectRoot, 'no-such.json'))).toThrow(/no-such\.json could not be read as JSON/);
});
