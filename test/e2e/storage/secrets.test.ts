import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { EventHubProducerClient } from '@azure/event-hubs';
import {
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  type StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { Milliseconds } from '../../../src/base/time.ts';
import { runInspect } from '../../../src/cli/checkpoint-inspect.ts';
import { inspectCheckpoint } from '../../../src/inspect/inspect-checkpoint.ts';
import type { StreamingListener } from '../../../src/observe/streaming-listener.ts';
import { blobSink } from '../../../src/sinks/blob-sink.ts';
import type { CheckpointStorageOptions } from '../../../src/storage/open-checkpoint-store.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { useAzurite } from '../../support/azurite.ts';

const fixture = useAzurite();
const hubKey = randomBytes(32).toString('base64');
const wrongKey = randomBytes(64).toString('base64');
const wrongHubKey = randomBytes(32).toString('base64');
const sealKey = randomBytes(32).toString('base64');
const otherSealKey = randomBytes(32).toString('base64');
const token = `eyJ${randomBytes(40).toString('base64url')}`;
const forgedSignature = encodeURIComponent(randomBytes(32).toString('base64'));

let emulator: EventHubsEmulator;
let service: BlobServiceClient;
let container: string;
/** Everything that was printed, told or thrown. */
let seen: string[];
const secrets = new Set<string>();

beforeAll(async () => {
  emulator = await startEventHubsEmulator({ hubs: [{ name: 'hub', partitionCount: 1 }], sharedAccessKey: hubKey });
});
afterAll(() => emulator.stop());

beforeEach(async () => {
  seen = [];
  service = BlobServiceClient.fromConnectionString(fixture.connectionString);
  container = `secrets-${randomBytes(6).toString('hex')}`;
  await service.createContainer(container);
  secrets.clear();
  const accountKey = /AccountKey=([^;]+)/.exec(fixture.connectionString)![1]!;
  for (const secret of [hubKey, wrongKey, wrongHubKey, sealKey, otherSealKey, accountKey]) note(secret);
  for (const secret of [token, forgedSignature, decodeURIComponent(forgedSignature)]) secrets.add(secret);
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockImplementation((text) => seen.push(String(text)) > 0);
  }
  for (const method of ['log', 'error', 'warn'] as const) {
    vi.spyOn(console, method).mockImplementation((...texts) => void seen.push(texts.map(String).join(' ')));
  }
});
afterEach(() => vi.restoreAllMocks());

/** A key in the forms it could be shown in. */
function note(key: string): void {
  const bytes = Buffer.from(key, 'base64');
  const hex = bytes.toString('hex');
  for (const form of [key, encodeURIComponent(key), hex, bytes.toString('base64url')]) secrets.add(form);
  // As util.inspect shows a buffer, of which it shows 50 bytes.
  secrets.add(hex.slice(0, 40).replace(/(..)(?=.)/g, '$1 '));
}

function sasUrl(letters: string, expiresInMs = 3_600_000): string {
  const sas = generateBlobSASQueryParameters(
    {
      containerName: container,
      permissions: ContainerSASPermissions.parse(letters),
      expiresOn: new Date(Date.now() + expiresInMs),
    },
    service.credential as StorageSharedKeyCredential,
  );
  secrets.add(sas.signature!);
  secrets.add(encodeURIComponent(sas.signature!));
  return `${service.url.replace(/\/$/, '')}/${container}/stream?${sas}`;
}

function look(thing: unknown): void {
  const shown = { depth: Number.POSITIVE_INFINITY, maxStringLength: null, maxArrayLength: null };
  seen.push(inspect(thing, { ...shown, showHidden: true, getters: true }));
  for (let error = thing; error instanceof Error; error = error.cause) {
    seen.push(String(error.stack), error.message, JSON.stringify(error) ?? '');
  }
  if (thing instanceof Error) seen.push(...textsIn(thing));
}

/** All texts that can be reached from a value: loggers print more than util.inspect does. */
function textsIn(root: unknown): string[] {
  const texts: string[] = [];
  const met = new Set<unknown>();
  const waiting: unknown[] = [root];
  while (waiting.length > 0 && met.size < 100_000) {
    const value = waiting.pop();
    if (typeof value === 'string') texts.push(value);
    if (typeof value !== 'object' || value === null || met.has(value) || ArrayBuffer.isView(value)) continue;
    met.add(value);
    if (value instanceof Map || value instanceof Set) waiting.push(...value);
    for (const name of Reflect.ownKeys(value)) {
      const property = Object.getOwnPropertyDescriptor(value, name)!;
      if ('value' in property) waiting.push(property.value);
    }
  }
  return texts;
}

const listener: StreamingListener = new Proxy(
  {},
  {
    get:
      () =>
      (...events: unknown[]) =>
        events.forEach(look),
  },
);

interface Program {
  readonly connectionString?: string;
  readonly outputUrl?: string;
  readonly namespace?: string;
  /** A folder that is read as text, copied as text, and used for checkpoints of RDDs. */
  readonly filesUrl?: string;
  readonly fail?: boolean;
  readonly batches?: number;
}

/** Runs a program on a checkpoint for some batches or to its failure; keeps all it shows. */
async function run(url: string, options: CheckpointStorageOptions, program: Program = {}): Promise<string | undefined> {
  const { connectionString = emulator.connectionString, batches = 2 } = program;
  let context: StreamingContext | undefined;
  try {
    context = await StreamingContext.getOrCreate(
      url,
      () => {
        const ssc = new StreamingContext({ appName: 'secrets', batchInterval: Milliseconds(100), taskAttemptsMax: 1 });
        const rows = ssc.eventHubStream({
          ...(program.namespace === undefined ? { connectionString } : { fullyQualifiedNamespace: program.namespace }),
          eventHubName: 'hub',
          startingPosition: 'earliest',
          uid: 'in',
        });
        rows
          .map((event) => {
            if (program.fail) throw new Error('the function fails');
            return ['all', event.body] as const;
          })
          .updateStateByKey((values, n: number | undefined) => (n ?? 0) + values.length, { uid: 'state' })
          .print();
        if (program.outputUrl !== undefined) {
          rows.map(({ body }) => body).saveTo(blobSink({ url: program.outputUrl, format: 'jsonl' }), { uid: 'out' });
        }
        if (program.filesUrl !== undefined) {
          const { filesUrl } = program;
          ssc.rdds.setCheckpointDir(filesUrl.replace('/in?', '/rdds?'));
          const lines = ssc.textFileStream(filesUrl, { uid: 'lines' });
          lines.saveAsTextFiles(filesUrl.replace('/in?', '/copied?'), 'txt', { uid: 'copied' });
          lines.foreachRDD(async (rdd) => {
            rdd.checkpoint();
            look(rdd);
            look(await rdd.count());
            look(rdd.getCheckpointFile());
            look(rdd.toDebugString());
          });
        }
        return ssc;
      },
      { retry: { attemptsMax: 1, tryTimeoutMs: 3000 }, env: {}, ...options },
    );
    context.addStreamingListener(listener);
    let left = batches;
    const done = new Promise<void>((resolve) => {
      context!.addStreamingListener({ onBatchCompleted: () => --left <= 0 && resolve() });
    });
    await context.start();
    look(context);
    await Promise.race([done, context.awaitTermination()]);
    await context.stop();
    await context.awaitTermination();
    return undefined;
  } catch (error) {
    look(error);
    await context?.stop();
    return (error as { code?: string }).code ?? String(error);
  }
}

function expectNoSecret(): void {
  expect(seen.length).toBeGreaterThan(0);
  const all = seen.join('\n');
  for (const secret of secrets) expect(all.includes(secret), `${secret.slice(0, 8)}... is shown`).toBe(false);
}

it('a stream that runs shows and stores no credential', async () => {
  const producer = new EventHubProducerClient(emulator.connectionString, 'hub');
  await producer.sendBatch([{ body: { n: 1 } }, { body: { n: 2 } }], { partitionId: '0' });
  await producer.close();
  const encryption = { current: 'key', keys: { key: sealKey } };
  const url = sasUrl('rcwdl');
  const outputUrl = url.replace('/stream?', '/out?');
  const filesUrl = url.replace('/stream?', '/in?');
  const input = await openObjectStore(filesUrl);
  await input.putIfAbsent('a.txt', Buffer.from('a\nb\n'), randomBytes(16).toString('hex'));
  await input.close();
  for (const options of [{}, { encryption }]) {
    const at = options.encryption === undefined ? url : url.replace('/stream?', '/sealed?');
    expect(await run(at, options, { outputUrl, filesUrl, batches: 3 })).toBeUndefined();
    look(await inspectCheckpoint(at, { storage: options }));
  }
  await runInspect([url, '--json']);
  await runInspect([url]);
  await runInspect([`az://${container}/stream`, '--connection-string', fixture.connectionString]);
  let objects = 0;
  for (const root of ['stream', 'sealed', 'out', 'rdds', '']) {
    const store = await openObjectStore(`az://${container}${root === '' ? '' : `/${root}`}`, {
      connectionString: fixture.connectionString,
    });
    for await (const { name } of store.list('')) {
      const outcome = await store.get(name);
      if (outcome.status === 'missing') continue;
      objects += 1;
      seen.push(name, Buffer.from(outcome.bytes).toString('latin1'), inspect(await store.head(name)));
    }
    look(store);
    await store.close();
  }
  expect(objects).toBeGreaterThan(10);
  expectNoSecret();
});

it('failures show no credential, also in their causes', async () => {
  const encryption = { current: 'key', keys: { key: sealKey } };
  const other = { current: 'key', keys: { key: otherSealKey } };
  const url = sasUrl('rcwdl');
  expect(await run(url, { encryption })).toBeUndefined();
  const plain = `${service.url.replace(/\/$/, '')}/${container}/stream`;
  const missing = plain.replace(container, `${container}-none`);
  const account = 'AccountName=devstoreaccount1';
  const endpoint = `BlobEndpoint=http://127.0.0.1:${fixture.azurite.port}/devstoreaccount1`;
  const connection = `DefaultEndpointsProtocol=http;${account};AccountKey=${wrongKey};${endpoint}`;
  const signed = `sv=2022-11-02&sr=c&sp=rcwdl&se=2099-01-01T00%3A00%3A00Z&sig=${forgedSignature}`;
  const hub = emulator.connectionString;
  const codes = [
    await run(url, { encryption: other }),
    await run(url, {}),
    await run(url, { encryption: { current: 'key', keys: { key: `${sealKey}x` } } }),
    await run(sasUrl('r').replace('/stream?', '/new?'), {}),
    await run(sasUrl('rcwdl', -60_000), {}),
    await run(plain, { accountKey: wrongKey }),
    await run(plain, { connectionString: connection }),
    await run(plain, { connectionString: `AccountKey=${wrongKey}` }),
    await run(plain, { connectionString: connection, accountKey: wrongKey }),
    await run(`${plain}?${signed}`, {}),
    await run(plain, { sasToken: signed }),
    await run(`${plain}?${signed}&x=%zz`, {}),
    await run(`https://user:${encodeURIComponent(wrongKey)}@127.0.0.1/x/y`, {}),
    await run(missing, { connectionString: fixture.connectionString }),
    await run(`https://nothere${randomBytes(4).toString('hex')}.blob.core.windows.net/data/x?${signed}`, {}),
    await run(`http://127.0.0.1:9/devstoreaccount1/data/x?${signed}`, {}),
    await run(plain, { credential: { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3e6 }) } }),
    await run(url.replace('/stream?', '/a?'), {}, { connectionString: hub.replace(hubKey, wrongHubKey) }),
    await run(url.replace('/stream?', '/b?'), {}, { connectionString: hub.replace('Endpoint', 'Endpont') }),
    await run(url.replace('/stream?', '/c?'), {}, { outputUrl: `${missing}?${signed}` }),
    await run(url.replace('/stream?', '/e?'), {}, { namespace: hub }),
    await run(url.replace('/stream?', '/f?'), {}, { filesUrl: `${missing}/in?${signed}` }),
    await run(url.replace('/stream?', '/g?'), {}, { filesUrl: `${container}/in?${signed}` }),
    await run(fixture.connectionString, {}),
    await run(url.replace('http://', ''), {}),
    await run(plain, { encryption: { current: sealKey, keys: { key: sealKey } } }),
    await run(plain, { encryption: { current: 'key', keys: { [sealKey]: 'key' } } }),
  ];
  const producer = new EventHubProducerClient(emulator.connectionString, 'hub');
  const failing = run(url.replace('/stream?', '/d?'), {}, { fail: true, batches: 50 });
  await producer.sendBatch([{ body: 1 }], { partitionId: '0' });
  await producer.close();
  codes.push(await failing);
  expect(codes).toEqual([
    ...['ENCRYPTION_KEY_MISSING', 'ENCRYPTION_KEY_MISSING', 'OPTION_INVALID', 'STORE_FORBIDDEN'],
    ...Array.from({ length: 4 }, () => 'CREDENTIALS_INVALID'),
    'OPTION_INVALID',
    ...Array.from({ length: 3 }, () => 'CREDENTIALS_INVALID'),
    ...['URL_INVALID', 'CONTAINER_MISSING', 'STORE_UNAVAILABLE', 'STORE_UNAVAILABLE', 'STORE_UNAVAILABLE'],
    ...['CREDENTIALS_INVALID', 'OPTION_INVALID', 'CREDENTIALS_INVALID'],
    ...['OPTION_INVALID', 'CREDENTIALS_INVALID', 'URL_INVALID', 'URL_INVALID', 'URL_INVALID'],
    ...['OPTION_INVALID', 'OPTION_INVALID', 'TASK_FAILED'],
  ]);
  expectNoSecret();
}, 120_000);
