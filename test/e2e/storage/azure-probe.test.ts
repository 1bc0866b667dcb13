import {
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  type StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { beforeEach, describe, expect, it } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { SystemRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import { openCheckpointStore } from '../../../src/storage/open-checkpoint-store.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { probeStore } from '../../../src/storage/store-probe.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { useAzurite } from '../../support/azurite.ts';
import { collect } from '../../support/object-store-suite.ts';

const fixture = useAzurite();
const random = new SystemRandom();
let service: BlobServiceClient;
let container: string;

beforeEach(async () => {
  service = BlobServiceClient.fromConnectionString(fixture.connectionString);
  container = `probe-${random.id()}`;
  await service.createContainer(container);
});

/** URL of the container with a token that allows only these letters. */
function urlWith(letters: string): string {
  const sas = generateBlobSASQueryParameters(
    {
      containerName: container,
      permissions: ContainerSASPermissions.parse(letters),
      expiresOn: new Date(Date.now() + 3_600_000),
    },
    service.credential as StorageSharedKeyCredential,
  );
  return `${service.url.replace(/\/$/, '')}/${container}/stream?${sas}`;
}

async function failure(promise: Promise<unknown>): Promise<TidemarkError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof TidemarkError) return error;
  throw new Error(`Not a TidemarkError: ${String(error)}`);
}

describe('the probe on Azurite', () => {
  it('accepts it with a token of the letters rcwdl, with exactly these requests, and leaves nothing', async () => {
    const store = await openObjectStore(urlWith('rcwdl'));
    const before = store.operations.snapshot();
    await probeStore(store, random);
    const after = store.operations.snapshot();
    const sent = Object.entries(after).map(([type, count]) => [
      type,
      count.requests - before[type as keyof typeof before].requests,
    ]);
    expect(Object.fromEntries(sent)).toEqual({ get: 1, head: 6, put: 4, list: 1, delete: 1 });
    expect(await collect(store.list(''))).toEqual([]);
    await store.close();
  });

  it.each([
    ['rcwd', ['list']],
    ['rcwl', ['delete']],
    ['rl', ['create', 'delete']],
    ['rcdl', ['write']],
    ['r', ['create', 'list', 'delete']],
  ])('says with a token of the letters %s that %s is missing, and not the token', async (letters, missing) => {
    const url = urlWith(letters);
    const store = await openObjectStore(url);
    const error = await failure(probeStore(store, random));
    await store.close();
    expect(error.code).toBe('STORE_FORBIDDEN');
    expect([...(error.context as { missing: string[] }).missing].sort()).toEqual([...missing].sort());
    for (const permission of missing) expect(error.message).toContain(`${permission} (SAS letter ${permission[0]}`);
    expect(error.message).toContain(`/${container}/stream`);
    expect(error.message).not.toContain('sig=');
  });

  it('is not reached without the right to read, which is named', async () => {
    const error = await failure(openObjectStore(urlWith('cwdl')));
    expect(error.code).toBe('STORE_FORBIDDEN');
    expect(error.message).toContain('Reading is not permitted (SAS letter r).');
  });

  it('tells of soft delete when the credentials may ask for it', async () => {
    await service.setProperties({ deleteRetentionPolicy: { enabled: true, days: 3 } });
    try {
      const options = { connectionString: fixture.connectionString };
      const store = await openObjectStore(`az://${container}/stream`, options);
      expect((await probeStore(store, random)).join()).toContain('for 3 days');
      await store.close();
      const narrow = await openObjectStore(urlWith('rcwdl'));
      expect(await probeStore(narrow, random)).toEqual([]);
      await narrow.close();
    } finally {
      await service.setProperties({ deleteRetentionPolicy: { enabled: false } });
    }
  });

  it('stops a start before anything is written, and names all that is missing', async () => {
    const warnings: string[] = [];
    const create = (): StreamingContext => {
      const ssc = new StreamingContext({
        appName: 'probe',
        batchInterval: Seconds(1),
        environment: { warn: (warning) => warnings.push(warning) },
      });
      ssc.constantStream([1]).foreachRDD(() => {});
      return ssc;
    };
    const context = await StreamingContext.getOrCreate(urlWith('rcwl'), create);
    const error = await failure(context.start());
    expect(error.message).toContain('delete (SAS letter d)');
    const store = await openCheckpointStore(urlWith('rcwdl'));
    expect((await collect(store.list(''))).filter(({ name }) => !name.startsWith('probe/'))).toEqual([]);
    await store.close();
    expect((await failure(StreamingContext.getOrCreate(urlWith('rcw'), create))).message).toContain(
      'list (SAS letter l), delete (SAS letter d)',
    );

    const allowed = await StreamingContext.getOrCreate(urlWith('rcwdl'), create);
    await allowed.start();
    await allowed.stop();
    const again = await StreamingContext.getOrCreate(urlWith('rcwdl'), create);
    await again.start();
    await again.stop();
    expect(warnings).toEqual([]);
  });
});
