import { inspect } from 'node:util';
import {
  ContainerClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { beforeAll, describe, expect, it } from 'vitest';
import { openObjectStore, type StoreOptions } from '../../../src/storage/open-store.ts';
import { useAzurite } from '../../support/azurite.ts';
import { collect, expectDone, id, text } from '../../support/object-store-suite.ts';

const azurite = useAzurite();
const account = 'devstoreaccount1';
const hour = 3_600_000;

describe('openObjectStore on Azurite', () => {
  const container = 'access-tests';
  let url: string;
  let accountKey: string;
  let admin: ContainerClient;

  beforeAll(async () => {
    accountKey = /AccountKey=([^;]+)/.exec(azurite.connectionString)![1]!;
    const endpoint = `http://127.0.0.1:${azurite.azurite.port}/${account}`;
    url = `${endpoint}/${container}/root`;
    admin = new ContainerClient(`${endpoint}/${container}`, new StorageSharedKeyCredential(account, accountKey));
    await admin.create();
  });

  const sas = (permissions: string, forMs = hour): string =>
    generateBlobSASQueryParameters(
      {
        containerName: container,
        permissions: ContainerSASPermissions.parse(permissions),
        expiresOn: new Date(Date.now() + forMs),
      },
      new StorageSharedKeyCredential(account, accountKey),
    ).toString();

  const open = (options: StoreOptions, at = url) => openObjectStore(at, { env: {}, ...options });

  it.each([
    ['a connection string', () => ({ connectionString: azurite.connectionString })],
    ['an account key', () => ({ accountKey })],
    ['a SAS token', () => ({ sasToken: sas('rwdlc') })],
    ['a SAS token with its question mark', () => ({ sasToken: `?${sas('rwdlc')}` })],
    [
      'a connection string in the environment',
      () => ({ env: { AZURE_STORAGE_CONNECTION_STRING: azurite.connectionString } }),
    ],
  ])('gets in with %s', async (_name, options) => {
    const store = await open(options());
    expect(store.url).toBe(url);
    const names = ['in/1', 'in/2', 'in/3'];
    for (const [i, name] of names.entries()) await expectDone(store.putIfAbsent(name, text('x'), id(i)));
    expect(await collect(store.list('in/'))).toHaveLength(3);
    expect(await store.delete(names)).toMatchObject({ refused: [] });
    expect(await collect(store.list(''))).toEqual([]);
    await store.close();
  });

  it('gets in with a SAS token in the URL and never shows it', async () => {
    const store = await open({}, `${url}?${sas('rwdlc')}`);
    expect(store.url).toBe(url);
    expect(inspect(store, { depth: 2, showHidden: false })).not.toContain('sig=');
  });

  it('answers az: from the connection string', async () => {
    const store = await open({ connectionString: azurite.connectionString }, `az://${container}/root`);
    expect(store.url).toBe(url);
  });

  it('creates the container only when told to', async () => {
    const { connectionString } = azurite;
    const missing = azurite.newUrl();
    await expect(open({ connectionString }, missing)).rejects.toMatchObject({
      code: 'CONTAINER_MISSING',
      message: expect.stringContaining('createContainer: true'),
    });
    await open({ connectionString, createContainer: true }, missing);
    await open({ connectionString, createContainer: true }, missing);
  });

  it('asks one question to open', async () => {
    const store = await open({ accountKey });
    expect(store.operations.total()).toBe(1);
  });

  describe('refuses', () => {
    const refusals: readonly (readonly [string, string, () => StoreOptions])[] = [
      ['a wrong key', 'CREDENTIALS_INVALID', () => ({ accountKey: Buffer.from('wrong').toString('base64') })],
      ['an expired SAS token', 'CREDENTIALS_INVALID', () => ({ sasToken: sas('rwdlc', -hour) })],
      ['a forged SAS token', 'CREDENTIALS_INVALID', () => ({ sasToken: sas('r').replace('sp=r', 'sp=rwdlc') })],
      ['a SAS token without a signature', 'CREDENTIALS_INVALID', () => ({ sasToken: 'sv=1&sp=r' })],
      ['a broken connection string', 'CREDENTIALS_INVALID', () => ({ connectionString: `AccountKey=${accountKey}` })],
      ['two credentials', 'OPTION_INVALID', () => ({ accountKey, sasToken: sas('r') })],
      [
        'a connection string of another account',
        'OPTION_INVALID',
        () => ({
          connectionString: azurite.connectionString.replaceAll(account, 'someoneelse'),
        }),
      ],
      ['an option it does not know', 'OPTION_INVALID', () => ({ acountKey: accountKey }) as StoreOptions],
      ['a retry option it does not know', 'OPTION_INVALID', () => ({ accountKey, retry: { max: 1 } as object })],
      ['no attempts', 'OPTION_INVALID', () => ({ accountKey, retry: { attemptsMax: 0 } })],
    ];

    it.each(refusals)('%s, and shows no secret', async (_name, code, options) => {
      const given = options();
      const error = await open(given).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ code });
      // Everything a logger could print of it.
      const shown = inspect(error, { depth: 10, showHidden: true });
      expect(shown).not.toContain(accountKey);
      expect(shown).not.toMatch(/sig=(?!\))[^*]/);
    });

    it('az: without an account', async () => {
      await expect(open({}, 'az://data/x')).rejects.toMatchObject({
        code: 'CREDENTIALS_INVALID',
        message: expect.stringContaining('AZURE_STORAGE_CONNECTION_STRING'),
      });
    });

    it('to go on once its signal is aborted', async () => {
      await expect(open({ accountKey, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' });
    });
  });

  it('names the missing permission of a token that only reads, and deletes nothing with it', async () => {
    const writer = await open({ accountKey });
    await expectDone(writer.putIfAbsent('kept', text('x'), id(1)));
    const reader = await open({ sasToken: sas('r') });
    expect(await reader.get('kept')).toMatchObject({ bytes: text('x') });
    await expect(reader.putIfAbsent('new', text('x'), id(2))).rejects.toMatchObject({
      code: 'STORE_FORBIDDEN',
      message: expect.stringContaining('Storage Blob Data Contributor'),
    });
    await expect(collect(reader.list(''))).rejects.toMatchObject({ code: 'STORE_FORBIDDEN' });
    expect(await reader.delete(['kept'])).toMatchObject({ refused: ['kept'] });
    expect(await reader.delete(['kept', 'new'])).toMatchObject({ refused: ['kept', 'new'] });
    await writer.delete(['kept']);
  });

  it('sees no folder markers of accounts with a hierarchical namespace', async () => {
    const marker = admin.getBlockBlobClient('root/folder');
    await marker.upload('', 0, { metadata: { hdi_isfolder: 'true' } });
    const store = await open({ accountKey });
    await expectDone(store.putIfAbsent('folder/a', text('x'), id(1)));
    expect((await collect(store.list(''))).map(({ name }) => name)).toEqual(['folder/a']);
    expect(await store.get('folder')).toMatchObject({ status: 'missing' });
    expect(await store.head('folder')).toMatchObject({ status: 'missing' });
    await store.delete(['folder/a']);
    await marker.delete();
  });

  it('does not take a lease on an object for a lost race', async () => {
    const store = await open({ accountKey });
    const { etag } = await expectDone(store.putIfAbsent('leased', text('1'), id(1)));
    const lease = admin.getBlockBlobClient('root/leased').getBlobLeaseClient();
    await lease.acquireLease(-1);
    await expect(store.compareAndSwap('leased', text('2'), etag, id(2))).rejects.toMatchObject({
      code: 'STORE_FORBIDDEN',
      message: expect.stringContaining('lease'),
    });
    expect(await store.delete(['leased'])).toMatchObject({ refused: ['leased'] });
    expect(await store.delete(['leased', 'none'])).toMatchObject({ refused: ['leased'] });
    await lease.releaseLease();
    await store.delete(['leased']);
  });

  it('deletes 256 objects with one request', async () => {
    const store = await open({ accountKey });
    const names = Array.from({ length: 257 }, (_, i) => `many/${i}`);
    for (let i = 0; i < names.length; i += 32) {
      const part = names.slice(i, i + 32);
      await Promise.all(part.map((name, n) => expectDone(store.putIfAbsent(name, text('x'), id(i + n)))));
    }
    const before = store.operations.snapshot().delete.requests;
    expect(await store.delete(names)).toMatchObject({ refused: [] });
    expect(store.operations.snapshot().delete.requests - before).toBe(2);
    expect(await collect(store.list('many/'))).toEqual([]);
  });
});
