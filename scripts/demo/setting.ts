import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ContainerClient } from '@azure/storage-blob';
import { TidemarkError } from '../../src/base/errors.ts';
import { lockDataFolder } from '../../src/testing/event-hubs-emulator/data-folder.ts';
import { type LocalSettings, readLocalSettings } from '../local-settings.ts';
import { projectRoot } from '../steps.ts';
import { Child } from './child.ts';
import type { DemoOptions } from './options.ts';
import type { DemoEnvironment, ServicesMessage } from './protocol.ts';

/** Where a run takes place: the services of this machine, or those of Azure. */
export interface DemoSetting {
  /** For a line on the screen. */
  readonly description: string;
  /** All but the starting positions, which the generator finds. */
  readonly env: Omit<DemoEnvironment, 'TIDEMARK_STARTING_SEQUENCE_NUMBERS'>;
  readonly container: ContainerClient;
  /** Prefix of the objects of the judged output. */
  readonly countsPrefix: string;
  readonly ledgerFile: string;
  /** Resolves when the services end by themselves, which they should not. */
  readonly lost: Promise<void>;
  close(): Promise<void>;
}

const startTimeoutMs = 60_000;

/** What this machine offers: the settings of its services, and a folder for the ledger. */
export interface LocalPlace {
  readonly settings: LocalSettings;
  readonly folder: string;
}

export function localPlace(): LocalPlace {
  return { settings: readLocalSettings(), folder: join(projectRoot, '.local', 'demo') };
}

export async function openSetting(
  options: DemoOptions,
  env: NodeJS.ProcessEnv,
  place: LocalPlace,
  now: number,
  onLine: (line: string) => void,
): Promise<DemoSetting> {
  return env.EVENTHUB_CONNECTION_STRING || env.EVENTHUB_NAMESPACE
    ? openAzure(options, env, place, now)
    : openLocal(options, place, onLine);
}

async function openLocal(
  options: DemoOptions,
  place: LocalPlace,
  onLine: (line: string) => void,
): Promise<DemoSetting> {
  const { folder, settings: file } = place;
  const [hub, ...others] = file.eventHubs.hubs;
  if (!hub) throw new TidemarkError('OPTION_INVALID', 'azurite.json: eventHubs.hubs is empty.');
  const hubs = [{ ...hub, partitionCount: options.partitions ?? hub.partitionCount }, ...others];
  const settings: LocalSettings = { storage: file.storage, eventHubs: { ...file.eventHubs, hubs } };
  const ledgerFile = join(folder, 'ledger.jsonl');
  // Before anything is emptied: another demo may be running on it.
  const unlock = lockDataFolder(folder);
  if (!options.keep) {
    for (const path of [file.storage.dataFolder, file.eventHubs.dataFolder, ledgerFile])
      rmSync(path, { recursive: true, force: true });
  }
  for (const path of [file.storage.dataFolder, file.eventHubs.dataFolder]) mkdirSync(path, { recursive: true });
  const services = new Child<ServicesMessage>({
    name: 'services process',
    script: 'scripts/demo/services-process.ts',
    args: [JSON.stringify(settings)],
    env: {},
    onMessage: (message) => {
      if (message.type === 'failed') onLine(`services: ${message.code}: ${message.message}`);
    },
    onLine: (line) => onLine(`services: ${line}`),
  });
  let closing = false;
  const close = async (): Promise<void> => {
    closing = true;
    void services.kill('SIGTERM');
    await services.endsWithin(15_000);
    unlock();
  };
  let ready: Extract<ServicesMessage, { type: 'ready' }>;
  let container: ContainerClient;
  try {
    ready = await services.next('ready', startTimeoutMs);
    container = new ContainerClient(ready.storageConnectionString, file.storage.container);
    await container.createIfNotExists();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    description:
      `Azurite at ${new URL(container.url).host}, Event Hubs emulator at ` +
      `${/sb:\/\/([^;/]+)/.exec(ready.eventHubsConnectionString)?.[1]} (${hub.name}, ${hubs[0]?.partitionCount} partitions)`,
    env: {
      EVENTHUB_CONNECTION_STRING: ready.eventHubsConnectionString,
      EVENTHUB_NAMESPACE: undefined,
      EVENTHUB_NAME: hub.name,
      EVENTHUB_CONSUMER_GROUP: hub.consumerGroups[0] ?? '$Default',
      AZURE_STORAGE_CONNECTION_STRING: ready.storageConnectionString,
      TIDEMARK_CHECKPOINT_URL: `az://${file.storage.container}/checkpoint`,
      TIDEMARK_OUTPUT_URL: `az://${file.storage.container}/output`,
    },
    container,
    countsPrefix: 'output/counts/',
    ledgerFile,
    lost: services.ended.then(() => (closing ? new Promise<void>(() => {}) : undefined)),
    close,
  };
}

/** A run on Azure writes below a folder of its own and reads only its own events. */
async function openAzure(
  options: DemoOptions,
  env: NodeJS.ProcessEnv,
  place: LocalPlace,
  now: number,
): Promise<DemoSetting> {
  if (options.keep || options.partitions !== undefined) {
    throw new TidemarkError(
      'OPTION_INVALID',
      '--keep and --partitions are for the local services. Leave them out, or unset EVENTHUB_CONNECTION_STRING and EVENTHUB_NAMESPACE.',
    );
  }
  if (!env.EVENTHUB_NAME)
    throw new TidemarkError('OPTION_INVALID', 'EVENTHUB_NAME is missing: the name of the event hub.');
  const name = env.AZURE_STORAGE_CONTAINER || place.settings.storage.container;
  const run = `demo-${new Date(now).toISOString().replace(/[:.]/g, '-')}`;
  const { container, url } = await openAzureContainer(env, name);
  await container.createIfNotExists();
  const ledgerFile = join(place.folder, `${run}.jsonl`);
  mkdirSync(dirname(ledgerFile), { recursive: true });
  return {
    description: `Azure: hub ${env.EVENTHUB_NAME}, ${container.url}/${run}`,
    env: {
      EVENTHUB_CONNECTION_STRING: env.EVENTHUB_CONNECTION_STRING,
      EVENTHUB_NAMESPACE: env.EVENTHUB_NAMESPACE,
      EVENTHUB_NAME: env.EVENTHUB_NAME,
      EVENTHUB_CONSUMER_GROUP: env.EVENTHUB_CONSUMER_GROUP || '$Default',
      AZURE_STORAGE_CONNECTION_STRING: env.AZURE_STORAGE_CONNECTION_STRING,
      TIDEMARK_CHECKPOINT_URL: `${url}/${run}/checkpoint`,
      TIDEMARK_OUTPUT_URL: `${url}/${run}/output`,
    },
    container,
    countsPrefix: `${run}/output/counts/`,
    ledgerFile,
    lost: new Promise<void>(() => {}),
    close: async () => {},
  };
}

async function openAzureContainer(
  env: NodeJS.ProcessEnv,
  name: string,
): Promise<{ container: ContainerClient; url: string }> {
  const { AZURE_STORAGE_CONNECTION_STRING: connectionString, AZURE_STORAGE_ACCOUNT: account } = env;
  if (connectionString) return { container: new ContainerClient(connectionString, name), url: `az://${name}` };
  if (account) {
    const { DefaultAzureCredential } = await import('@azure/identity');
    const url = `https://${account}.blob.core.windows.net/${name}`;
    return { container: new ContainerClient(url, new DefaultAzureCredential()), url };
  }
  throw new TidemarkError(
    'OPTION_INVALID',
    'AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT is missing: where the checkpoint and the results go.',
  );
}
