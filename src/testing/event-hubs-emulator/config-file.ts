import { readFileSync } from 'node:fs';
import { TidemarkError, toError } from '../../base/errors.ts';
import { type EmulatedHubOptions, invalid } from './options.ts';

/**
 * Reads a Config.json of Microsoft's Event Hubs emulator. Unlike there, more than 10 hubs and 32 partitions are allowed,
 * and `RetentionTimeInHours` and `RetentionBytes` may be given per entity.
 *
 * @throws TidemarkError OPTION_INVALID naming the field
 */
export function readEmulatorConfig(path: string): EmulatedHubOptions[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TidemarkError('OPTION_INVALID', `The config file ${path} cannot be read: ${toError(cause).message}.`, {
      cause,
    });
  }
  return parseEmulatorConfig(text, path);
}

/** `name` appears in error messages. @throws TidemarkError OPTION_INVALID naming the field */
export function parseEmulatorConfig(text: string, name = 'Config.json'): EmulatedHubOptions[] {
  let config: unknown;
  try {
    // The official file is often edited on Windows and then starts with a byte order mark.
    config = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    throw new TidemarkError('OPTION_INVALID', `${name} is not JSON: ${toError(cause).message}.`, { cause });
  }
  const namespaces = list(
    `${name}: UserConfig.NamespaceConfig`,
    member(member(config, 'UserConfig'), 'NamespaceConfig'),
  );
  if (namespaces.length !== 1) {
    throw invalid(
      `${name}: UserConfig.NamespaceConfig`,
      namespaces.length,
      'a list of exactly one namespace is needed',
    );
  }
  const at = `${name}: UserConfig.NamespaceConfig[0]`;
  const type = member(namespaces[0], 'Type');
  if (typeof type !== 'string' || type.toLowerCase() !== 'eventhub')
    throw invalid(`${at}.Type`, type, 'it must be "EventHub"');
  return list(`${at}.Entities`, member(namespaces[0], 'Entities')).map((entity, i) =>
    parseEntity(`${at}.Entities[${i}]`, entity),
  );
}

function parseEntity(at: string, entity: unknown): EmulatedHubOptions {
  const name = text(`${at}.Name`, member(entity, 'Name'));
  const partitionCount = positive(`${at}.PartitionCount`, member(entity, 'PartitionCount'), true)!;
  const groups = member(entity, 'ConsumerGroups');
  const consumerGroups = (groups === undefined ? [] : list(`${at}.ConsumerGroups`, groups)).map((group, i) => {
    const field = `${at}.ConsumerGroups[${i}].Name`;
    const groupName = text(field, member(group, 'Name'));
    if (groupName.toLowerCase() === '$default')
      throw invalid(field, groupName, '$Default always exists and may not be listed');
    return groupName;
  });
  const retentionHours = positive(`${at}.RetentionTimeInHours`, member(entity, 'RetentionTimeInHours'), false);
  const retentionBytes = positive(`${at}.RetentionBytes`, member(entity, 'RetentionBytes'), false);
  return {
    name,
    partitionCount,
    consumerGroups,
    ...(retentionHours === undefined ? {} : { retentionMs: retentionHours * 3_600_000 }),
    ...(retentionBytes === undefined ? {} : { retentionBytes }),
  };
}

/** Names are looked up without regard to case, as the official emulator does. */
function member(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null) return undefined;
  const key = Object.keys(object).find((other) => other.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : (object as Record<string, unknown>)[key];
}

function list(field: string, value: unknown): unknown[] {
  if (!Array.isArray(value)) throw invalid(field, value, 'a list is needed');
  return value;
}

function text(field: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw invalid(field, value, 'a text is needed');
  return value;
}

/** The official file writes numbers as text in some versions. */
function positive(field: string, value: unknown, required: boolean): number | undefined {
  if (value === undefined && !required) return undefined;
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1) {
    throw invalid(field, value, 'a whole number of at least 1 is needed');
  }
  return number;
}
