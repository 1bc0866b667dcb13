import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openAzureBlobStore } from '../../../src/storage/azure-blob-store.ts';
import type { ObjectStore, PutOutcome } from '../../../src/storage/object-store.ts';
import type { StoreRetryOptions } from '../../../src/storage/open-store.ts';
import { type BlobLocation, parseStoreUrl } from '../../../src/storage/store-url.ts';
import { useAzurite } from '../../support/azurite.ts';
import { type CuttingProxy, startCuttingProxy } from '../../support/cutting-proxy.ts';
import { collect, expectDone, id, text } from '../../support/object-store-suite.ts';

const azurite = useAzurite();

describe('AzureBlobStore behind a failing network', () => {
  let location: BlobLocation;
  let proxy: CuttingProxy;
  /** Past the proxy. */
  let direct: ObjectStore;
  let store: ObjectStore;

  const open = (retry: StoreRetryOptions = {}): Promise<ObjectStore> =>
    openAzureBlobStore(
      location,
      {
        connectionString: azurite.connectionString.replace(String(azurite.azurite.port), String(proxy.port)),
        retry: { attemptsMax: 4, delayMinMs: 1, delayMaxMs: 4, tryTimeoutMs: 5_000, ...retry },
      },
      2,
    );

  beforeEach(async () => {
    location = parseStoreUrl(`${azurite.newUrl()}/root`) as BlobLocation;
    proxy = await startCuttingProxy(azurite.azurite.port);
    direct = await openAzureBlobStore(location, {
      connectionString: azurite.connectionString,
      createContainer: true,
    });
    store = await open();
  });

  afterEach(async () => {
    await store.close();
    await direct.close();
    await proxy.close();
  });

  /** What the proxy saw while `work` ran. */
  async function watch<T>(work: () => Promise<T>): Promise<{ result: T; methods: string[] }> {
    const before = proxy.requests.length;
    const result = await work();
    return { result, methods: proxy.requests.slice(before).map(({ method }) => method) };
  }

  describe('an answer lost after the write was stored', () => {
    it('row 7: is recognised by putIfAbsent', async () => {
      proxy.script('cut-answer');
      const { result, methods } = await watch(() => store.putIfAbsent('log/1', text('one'), id(1)));
      expect(result).toMatchObject({ status: 'done', recognised: true });
      expect(methods).toEqual(['PUT', 'PUT', 'HEAD']);
      const found = await direct.get('log/1');
      expect(found).toMatchObject({ bytes: text('one'), etag: (result as { etag: string }).etag });
    });

    it('is recognised by compareAndSwap, and the tag it gives is good for the next one', async () => {
      const first = await expectDone(store.putIfAbsent('hint', text('1'), id(1)));
      proxy.script('cut-answer');
      const second = await expectDone(store.compareAndSwap('hint', text('2'), first.etag, id(2)));
      expect(second.recognised).toBe(true);
      const third = await expectDone(store.compareAndSwap('hint', text('3'), second.etag, id(3)));
      expect(third.recognised).toBe(false);
    });

    it('is recognised after several lost answers, of the read back too', async () => {
      proxy.script('cut-answer', 'drop', { status: 503 }, 'pass', 'cut-answer', { status: 500 });
      const { result, methods } = await watch(() => store.putIfAbsent('a', text('x'), id(1)));
      expect(result).toMatchObject({ status: 'done', recognised: true });
      expect(methods).toEqual(['PUT', 'PUT', 'PUT', 'PUT', 'HEAD', 'HEAD', 'HEAD']);
    });

    it('is recognised by a last look when every further try fails', async () => {
      let puts = 0;
      proxy.decide(({ method }) => (method !== 'PUT' ? 'pass' : puts++ === 0 ? 'cut-answer' : { status: 503 }));
      expect(await store.putIfAbsent('a', text('x'), id(1))).toMatchObject({ status: 'done', recognised: true });
    });
  });

  it('reports another writer as the winner, also after a try without an answer', async () => {
    await expectDone(direct.putIfAbsent('a', text('other'), id(1)));
    proxy.script('cut-answer');
    expect(await store.putIfAbsent('a', text('mine'), id(2))).toMatchObject({ status: 'lost' });
    proxy.decide(({ method }) => (method === 'PUT' ? { status: 503 } : 'pass'));
    expect(await store.putIfAbsent('a', text('mine'), id(3))).toMatchObject({ status: 'lost' });
  });

  it('row 27: stores a write whose first tries never arrived', async () => {
    proxy.script('drop', { status: 503 }, { status: 429, headers: { 'retry-after': '0' } });
    const { result, methods } = await watch(() => store.putIfAbsent('a', text('x'), id(1)));
    expect(result).toMatchObject({ status: 'done', recognised: false });
    expect(methods).toEqual(['PUT', 'PUT', 'PUT', 'PUT']);
    expect(store.operations.snapshot().put).toMatchObject({ requests: 4, bytesWritten: 4 });
  });

  it.each([408, 429, 500, 503])('row 27: tries a read again after HTTP %i', async (status) => {
    await expectDone(direct.putIfAbsent('a', text('x'), id(1)));
    proxy.script({ status }, { status });
    expect(await store.get('a')).toMatchObject({ bytes: text('x') });
    proxy.script({ status });
    expect(await store.head('a')).toMatchObject({ status: 'found' });
    proxy.script({ status });
    expect(await store.delete(['a'])).toMatchObject({ refused: [] });
    expect(await direct.head('a')).toMatchObject({ status: 'missing' });
  });

  it('lists on from where a page failed', async () => {
    for (let i = 0; i < 5; i++) await expectDone(direct.putIfAbsent(`a${i}`, text('x'), id(i)));
    proxy.script('pass', { status: 503 }, 'cut-body', 'pass', 'cut-answer');
    expect((await collect(store.list(''))).map(({ name }) => name)).toEqual(['a0', 'a1', 'a2', 'a3', 'a4']);
  });

  it('row 27: reads a body again that was cut in the middle', async () => {
    const bytes = new Uint8Array(200_000).fill(7);
    await expectDone(direct.putIfAbsent('a', bytes, id(1)));
    proxy.script('cut-body', 'cut-answer', 'cut-body');
    const { result, methods } = await watch(() => store.get('a'));
    expect(result.status === 'found' && Buffer.compare(result.bytes, bytes)).toBe(0);
    expect(methods).toEqual(['GET', 'GET', 'GET', 'GET']);
  });

  it('deletes a batch again whose answer was cut', async () => {
    const names = ['a', 'b', 'c'];
    for (const [i, name] of names.entries()) await expectDone(direct.putIfAbsent(name, text('x'), id(i)));
    proxy.script('cut-answer');
    expect(await store.delete(names)).toMatchObject({ refused: [] });
    expect(await collect(direct.list(''))).toEqual([]);
  });

  it('deletes one by one where the batch as such is refused', async () => {
    const names = ['a', 'b', 'c'];
    for (const [i, name] of names.entries()) await expectDone(direct.putIfAbsent(name, text('x'), id(i)));
    proxy.decide(({ url }) =>
      url.includes('comp=batch') ? { status: 403, headers: { 'x-ms-error-code': 'AuthorizationFailure' } } : 'pass',
    );
    const { result, methods } = await watch(() => store.delete(names));
    expect(result).toMatchObject({ refused: [] });
    expect(methods).toEqual(['POST', 'DELETE', 'DELETE', 'DELETE']);
    expect(await collect(direct.list(''))).toEqual([]);
  });

  describe('a store that never answers', () => {
    const impatient = { attemptsMax: 2, tryTimeoutMs: 60 };

    it('makes a write unknown, in bounded time', async () => {
      store = await open(impatient);
      proxy.decide(() => 'ignore');
      const outcome: PutOutcome = await store.putIfAbsent('a', text('x'), id(1));
      expect(outcome).toMatchObject({ status: 'unknown', cause: { code: 'STORE_UNAVAILABLE' } });
      proxy.decide(() => 'pass');
      // The same bytes again settle it.
      expect(await store.putIfAbsent('a', text('x'), id(1))).toMatchObject({ status: 'done' });
    });

    it('makes a swap unknown as long as the old version is there', async () => {
      const { etag } = await expectDone(direct.putIfAbsent('a', text('1'), id(1)));
      store = await open(impatient);
      proxy.decide(({ method }) => (method === 'PUT' ? 'ignore' : 'pass'));
      expect(await store.compareAndSwap('a', text('2'), etag, id(2))).toMatchObject({ status: 'unknown' });
    });

    it('makes a read an error', async () => {
      store = await open(impatient);
      proxy.decide(() => 'ignore');
      await expect(store.get('a')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', kind: 'unavailable' });
    });

    it('fails to open', async () => {
      proxy.decide(() => 'ignore');
      await expect(open(impatient)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    });

    it('lets go of a call when it is closed', async () => {
      store = await open({ tryTimeoutMs: 60_000 });
      proxy.decide(() => 'ignore');
      const reading = store.get('a');
      const writing = store.putIfAbsent('a', text('x'), id(1));
      while (proxy.requests.filter(({ method }) => method !== 'HEAD').length < 2) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      await store.close();
      await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(await writing).toMatchObject({ status: 'unknown' });
    });
  });

  it('says for sure that nothing was written when nobody listens', async () => {
    await proxy.close();
    await expect(store.putIfAbsent('a', text('x'), id(1))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    proxy = await startCuttingProxy(azurite.azurite.port);
  });
});
