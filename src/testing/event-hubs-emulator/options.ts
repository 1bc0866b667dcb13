import type { Clock } from '../../base/clock.ts';
import { TidemarkError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';

export interface EventHubsEmulatorOptions {
  readonly hubs: readonly EmulatedHubOptions[];
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined;
  /** Default 0: any free port. */
  readonly port?: number | undefined;
  /** Events are kept in files below this folder and are there again after a restart. Default: in memory only. */
  readonly dataFolder?: string | undefined;
  /** Default `RootManageSharedAccessKey`, as in the official emulator. */
  readonly sharedAccessKeyName?: string | undefined;
  /** Default `SAS_KEY_VALUE`, as in the official emulator. */
  readonly sharedAccessKey?: string | undefined;
  /** Largest message a producer may send, a batch included. Default 1,048,576. */
  readonly maxMessageBytes?: number | undefined;
  /** Gives enqueued times, retention and delays. Tokens are always checked against the real time. */
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** Told about connections that broke the protocol; default nothing. */
  readonly log?: ((line: string) => void) | undefined;
}

export interface EmulatedHubOptions {
  readonly name: string;
  /** 1 to 1024; default 4. */
  readonly partitionCount?: number | undefined;
  /** Besides `$Default`, which always exists. At most 1000. */
  readonly consumerGroups?: readonly string[] | undefined;
  /** Age at which events go away, counted by the clock. Default 7 days. */
  readonly retentionMs?: number | undefined;
  /** Bytes each partition keeps. Default 256 MiB in memory, 4 GiB in files. */
  readonly retentionBytes?: number | undefined;
}

export interface HubSettings {
  readonly name: string;
  readonly partitionCount: number;
  /** Lower case, `$default` included. */
  readonly consumerGroups: ReadonlySet<string>;
  readonly retentionMs: number;
  readonly retentionBytes: number;
}

const defaultPartitionCount = 4;
const partitionCountMax = 1024;
const consumerGroupsMax = 1000;
const hubsMax = 100;
const defaultRetentionMs = 7 * 24 * 3600 * 1000;
const defaultRetentionBytesInMemory = 256 * 2 ** 20;
const defaultRetentionBytesInFiles = 4 * 2 ** 30;
const namePattern = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,254}[A-Za-z0-9])?$/;

/** @throws TidemarkError OPTION_INVALID naming the field */
export function checkHubs(hubs: readonly EmulatedHubOptions[], inFiles: boolean): HubSettings[] {
  if (!Array.isArray(hubs) || hubs.length === 0 || hubs.length > hubsMax) {
    throw invalid('hubs', Array.isArray(hubs) ? hubs.length : hubs, `a list of 1 to ${hubsMax} hubs is needed`);
  }
  const seen = new Set<string>();
  return hubs.map((hub, i) => {
    const field = `hubs[${i}]`;
    checkName(`${field}.name`, hub.name);
    if (seen.has(hub.name.toLowerCase()))
      throw invalid(`${field}.name`, hub.name, 'the name is used twice (case does not count)');
    seen.add(hub.name.toLowerCase());
    return {
      name: hub.name,
      partitionCount: checkInteger(
        `${field}.partitionCount`,
        hub.partitionCount ?? defaultPartitionCount,
        1,
        partitionCountMax,
      ),
      consumerGroups: checkGroups(`${field}.consumerGroups`, hub.consumerGroups ?? []),
      retentionMs: checkInteger(
        `${field}.retentionMs`,
        hub.retentionMs ?? defaultRetentionMs,
        1,
        Number.MAX_SAFE_INTEGER,
      ),
      retentionBytes: checkInteger(
        `${field}.retentionBytes`,
        hub.retentionBytes ?? (inFiles ? defaultRetentionBytesInFiles : defaultRetentionBytesInMemory),
        1,
        Number.MAX_SAFE_INTEGER,
      ),
    };
  });
}

export function checkInteger(field: string, value: unknown, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw invalid(field, value, `a whole number from ${min} to ${max} is needed`);
  }
  return value as number;
}

export function invalid(field: string, value: unknown, need: string): TidemarkError {
  const shown = value === undefined ? 'missing' : JSON.stringify(value);
  return new TidemarkError('OPTION_INVALID', `${field} is ${shown}: ${need}.`, { context: { field } });
}

function checkName(field: string, name: unknown): void {
  if (typeof name !== 'string' || !namePattern.test(name)) {
    throw invalid(
      field,
      name,
      "up to 256 letters, digits, '.', '-' and '_' are needed, with a letter or digit at both ends",
    );
  }
}

function checkGroups(field: string, groups: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(groups) || groups.length > consumerGroupsMax) {
    throw invalid(field, groups.length, `a list of at most ${consumerGroupsMax} names is needed`);
  }
  const names = new Set(['$default']);
  for (const [i, group] of groups.entries()) {
    if (typeof group === 'string' && group.toLowerCase() === '$default') continue;
    checkName(`${field}[${i}]`, group);
    if (names.has(group.toLowerCase())) throw invalid(`${field}[${i}]`, group, 'the name is used twice');
    names.add(group.toLowerCase());
  }
  return names;
}
