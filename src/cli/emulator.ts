import { parseArgs } from 'node:util';
import { TidemarkError, toError } from '../base/errors.ts';
import {
  type EmulatedHubOptions,
  type EventHubsEmulator,
  readEmulatorConfig,
  startEventHubsEmulator,
} from '../testing/event-hubs-emulator.ts';

const defaultPort = 5672;
const defaultHubs: readonly EmulatedHubOptions[] = [{ name: 'eh1', partitionCount: 4, consumerGroups: ['cg1'] }];

const help = `tidemark emulator: a local Event Hubs for development and tests

Usage: tidemark emulator [options]

Options
  --port <number>    port to listen on, 0 for any free one (default ${defaultPort})
  --host <address>   address to listen on (default 127.0.0.1)
  --config <file>    hubs, as in the Config.json of Microsoft's Event Hubs emulator
                     (default: one hub 'eh1' with 4 partitions and the consumer group 'cg1')
  --data <folder>    keep events in this folder; they are there again after a restart (default: in memory)
  --help             this text

Stops on Ctrl-C and SIGTERM.`;

/** The verb `tidemark emulator`: runs until a signal stops it. @throws TidemarkError when it cannot start */
export async function runEmulator(args: readonly string[]): Promise<void> {
  const options = parseOptions(args);
  if (options === undefined) {
    console.log(help);
    return;
  }
  const hubs = options.config === undefined ? defaultHubs : readEmulatorConfig(options.config);
  const emulator = await startEventHubsEmulator({
    hubs,
    port: options.port,
    host: options.host,
    dataFolder: options.data,
    log: (line) => console.error(line),
  });
  const stopped = nextSignal();
  console.log(describe(emulator, hubs, options.data));
  console.log(`${await stopped}: stopping`);
  await emulator.stop();
}

interface Options {
  readonly port: number;
  readonly host: string | undefined;
  readonly config: string | undefined;
  readonly data: string | undefined;
}

function parseOptions(args: readonly string[]): Options | undefined {
  let values: { port?: string; host?: string; config?: string; data?: string; help?: boolean };
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        config: { type: 'string' },
        data: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (cause) {
    throw new TidemarkError('OPTION_INVALID', `${toError(cause).message}\nSee tidemark emulator --help.`, { cause });
  }
  if (values.help) return undefined;
  if (values.port !== undefined && !/^\d{1,5}$/.test(values.port)) {
    throw new TidemarkError('OPTION_INVALID', `--port is ${values.port}: a number from 0 to 65535 is needed.`);
  }
  const port = values.port === undefined ? defaultPort : Number(values.port);
  return { port, host: values.host, config: values.config, data: values.data };
}

function describe(emulator: EventHubsEmulator, hubs: readonly EmulatedHubOptions[], data: string | undefined): string {
  const rows = hubs.map((hub) => [
    hub.name,
    String(hub.partitionCount ?? 4),
    ['$Default', ...(hub.consumerGroups ?? [])].join(', '),
  ]);
  return [
    `Event Hubs emulator on ${emulator.host}:${emulator.port}, events ${data === undefined ? 'in memory' : `in ${data}`}`,
    '',
    ...formatTable([['hub', 'partitions', 'consumer groups'], ...rows]),
    '',
    `connection string: ${emulator.connectionString}`,
  ].join('\n');
}

function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}

/** A second signal while stopping ends the process in the usual way. */
function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    const stop = (signal: string): void => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
      resolve(signal);
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  });
}
