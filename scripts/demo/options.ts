import { parseArgs } from 'node:util';
import { TidemarkError } from '../../src/base/errors.ts';

export interface DemoOptions {
  readonly durationMs: number;
  /** Undefined: the driver is left alone. */
  readonly crashEveryMs: number | undefined;
  /** Events per second over all devices. */
  readonly rate: number;
  readonly devices: number;
  /** Of the local hub; undefined: as in azurite.json. */
  readonly partitions: number | undefined;
  readonly seed: number;
  /** Go on with the data of the last run instead of starting empty. */
  readonly keep: boolean;
}

export const demoHelp = `usage: npm start -- [options]

Runs the thermostat application on this machine: Azurite, a local Event Hubs, a generator of telemetry, and the
application, whose process is killed every few seconds. At the end an independent reader compares what was counted
with what was sent.

  --duration 60s      how long the generator sends: a number with ms, s, m or h
  --crash-every 10s   about how often the application's process is killed (SIGKILL)
  --no-crash          leave the application alone
  --rate 2000         events per second
  --devices 500       thermostats
  --partitions 4      partitions of the local hub (default: azurite.json)
  --seed 1            for the readings and the moments of the kills
  --keep              go on with the data of the last run instead of starting empty
  --help              this text

Ctrl-C ends the run early, in good order; a second Ctrl-C ends it at once.
Exit code: 0 when every event was counted exactly once, 1 when not, 2 for a wrong option.

Against Azure instead of this machine, set EVENTHUB_NAME, optionally EVENTHUB_CONSUMER_GROUP (default $Default), and
  EVENTHUB_CONNECTION_STRING, or EVENTHUB_NAMESPACE (<name>.servicebus.windows.net) to use DefaultAzureCredential, and
  AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT to use DefaultAzureCredential;
  AZURE_STORAGE_CONTAINER names the container (default: azurite.json).`;

/** Undefined: `--help` was asked for. @throws TidemarkError OPTION_INVALID */
export function parseDemoOptions(args: readonly string[]): DemoOptions | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  if (values['no-crash'] && values['crash-every'] !== undefined) {
    throw new TidemarkError('OPTION_INVALID', '--no-crash and --crash-every exclude each other. Leave one out.');
  }
  const crashEveryMs = parseDuration('--crash-every', values['crash-every'] ?? '10s');
  if (crashEveryMs < 2000) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `--crash-every is ${values['crash-every']}; accepted: 2s or longer, a start takes about one.`,
    );
  }
  return {
    durationMs: parseDuration('--duration', values.duration ?? '60s'),
    crashEveryMs: values['no-crash'] ? undefined : crashEveryMs,
    rate: parseCount('--rate', values.rate ?? '2000', 1, 100_000),
    devices: parseCount('--devices', values.devices ?? '500', 1, 100_000),
    partitions: values.partitions === undefined ? undefined : parseCount('--partitions', values.partitions, 1, 32),
    seed: parseCount('--seed', values.seed ?? '1', 0, 2 ** 32 - 1),
    keep: values.keep ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        duration: { type: 'string' },
        'crash-every': { type: 'string' },
        'no-crash': { type: 'boolean' },
        rate: { type: 'string' },
        devices: { type: 'string' },
        partitions: { type: 'string' },
        seed: { type: 'string' },
        keep: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (cause) {
    throw new TidemarkError('OPTION_INVALID', `${(cause as Error).message} See npm start -- --help.`, { cause });
  }
}

const unitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
const durationMaxMs = 7 * 24 * unitsMs.h;

/** `500ms`, `10s`, `2m`, `1.5h`. @throws TidemarkError OPTION_INVALID */
export function parseDuration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const ms = match ? Math.round(Number(match[1]) * unitsMs[match[2] as keyof typeof unitsMs]) : 0;
  if (ms < 1 || ms > durationMaxMs) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `${option} is "${text}"; accepted: a number with ms, s, m or h, such as 10s or 2m, up to 168h.`,
    );
  }
  return ms;
}

function parseCount(option: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `${option} is "${text}"; accepted: a whole number from ${min} to ${max}.`,
    );
  }
  return value;
}
