import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { TidemarkError } from '../src/base/errors.ts';
import { projectRoot } from './steps.ts';

/** What `azurite.json` says of the services on this machine: for scripts, tests and the demo. */
export interface LocalSettings {
  readonly storage: LocalStorageSettings;
  readonly eventHubs: LocalEventHubsSettings;
}

export interface LocalStorageSettings {
  /** Of the Blob endpoint on 127.0.0.1; 0: any free port. */
  readonly port: number;
  /** The one account that Azurite serves without further settings. */
  readonly account: string;
  readonly container: string;
  /** Absolute here, relative to the project in the file. */
  readonly dataFolder: string;
}

export interface LocalEventHubsSettings {
  /** AMQP on 127.0.0.1; 0: any free port. */
  readonly port: number;
  readonly dataFolder: string;
  readonly hubs: readonly LocalHubSettings[];
}

export interface LocalHubSettings {
  readonly name: string;
  readonly partitionCount: number;
  /** Besides `$Default`, which every hub has. */
  readonly consumerGroups: readonly string[];
}

// The limits of the official emulator, so that one file serves both.
const hubsMax = 10;
const partitionCountMax = 32;
const consumerGroupsMax = 20;

/** @throws TidemarkError OPTION_INVALID with the field, the value and what is accepted */
export function readLocalSettings(file: string = join(projectRoot, 'azurite.json')): LocalSettings {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new TidemarkError('OPTION_INVALID', `${file} could not be read as JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  return parseLocalSettings(json);
}

export function parseLocalSettings(json: unknown): LocalSettings {
  const root = fieldsOf(json, '', ['storage', 'eventHubs']);
  const storage = fieldsOf(root.storage, 'storage', ['port', 'account', 'container', 'dataFolder']);
  const eventHubs = fieldsOf(root.eventHubs, 'eventHubs', ['port', 'dataFolder', 'hubs']);
  const hubs = listOf(eventHubs.hubs, 'eventHubs.hubs', 1, hubsMax).map((entry, index) =>
    parseHub(entry, `eventHubs.hubs[${index}]`),
  );
  const repeated = hubs.find((hub, index) => hubs.findIndex((other) => other.name === hub.name) < index);
  if (repeated) refuse('eventHubs.hubs', repeated.name, 'each hub name once');
  if (storage.account !== 'devstoreaccount1')
    refuse('storage.account', storage.account, '"devstoreaccount1", the account Azurite knows');
  return {
    storage: {
      port: portOf(storage.port, 'storage.port'),
      account: storage.account,
      container: textOf(
        storage.container,
        'storage.container',
        /^(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*$/,
        'a container name (3-63 lower-case letters, digits, single hyphens)',
      ),
      dataFolder: folderOf(storage.dataFolder, 'storage.dataFolder'),
    },
    eventHubs: {
      port: portOf(eventHubs.port, 'eventHubs.port'),
      dataFolder: folderOf(eventHubs.dataFolder, 'eventHubs.dataFolder'),
      hubs,
    },
  };
}

function parseHub(json: unknown, path: string): LocalHubSettings {
  const hub = fieldsOf(json, path, ['name', 'partitionCount', 'consumerGroups']);
  const groups = listOf(hub.consumerGroups, `${path}.consumerGroups`, 0, consumerGroupsMax).map((group, index) =>
    textOf(
      group,
      `${path}.consumerGroups[${index}]`,
      /^[\w.-]{1,50}$/,
      'a consumer group name ($Default is always there and is not listed)',
    ),
  );
  return {
    name: textOf(hub.name, `${path}.name`, /^[A-Za-z0-9][\w.-]{0,254}$/, 'an event hub name'),
    partitionCount: integerOf(hub.partitionCount, `${path}.partitionCount`, 1, partitionCountMax),
    consumerGroups: groups,
  };
}

function fieldsOf<const N extends string>(json: unknown, path: string, names: readonly N[]): Record<N, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) refuse(path || 'the file', json, 'an object');
  const fields = json as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    if (!(names as readonly string[]).includes(name))
      refuse(path ? `${path}.${name}` : name, fields[name], `only ${names.join(', ')} here`);
  }
  return fields as Record<N, unknown>;
}

function listOf(value: unknown, path: string, min: number, max: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length < min || value.length > max)
    refuse(path, value, `a list of ${min} to ${max} entries`);
  return value as unknown[];
}

function integerOf(value: unknown, path: string, min: number, max: number): number {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
    refuse(path, value, `a whole number from ${min} to ${max}`);
  return value as number;
}

function portOf(value: unknown, path: string): number {
  return integerOf(value, path, 0, 65_535);
}

function textOf(value: unknown, path: string, pattern: RegExp, accepted: string): string {
  if (typeof value !== 'string' || !pattern.test(value)) refuse(path, value, accepted);
  return value as string;
}

function folderOf(value: unknown, path: string): string {
  if (typeof value !== 'string' || isAbsolute(value) || !/^\.local\/[\w/-]+$/.test(value)) {
    refuse(path, value, 'a folder below .local/, which git ignores and the demo may empty');
  }
  return join(projectRoot, value as string);
}

function refuse(path: string, value: unknown, accepted: string): never {
  const shown = JSON.stringify(value) ?? 'missing';
  throw new TidemarkError('OPTION_INVALID', `azurite.json: ${path} is ${shown}; accepted: ${accepted}.`, {
    context: { path },
  });
}
