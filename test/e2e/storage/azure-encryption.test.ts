import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { openCheckpointStore } from '../../../src/storage/open-checkpoint-store.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { useAzurite } from '../../support/azurite.ts';
import { collect, expectDone, id, text } from '../../support/object-store-suite.ts';
import { after, before, rotated } from '../../unit/encryption/keys.ts';
import { errorOf } from '../../unit/engine/support.ts';

const fixture = useAzurite();

it('an encrypted checkpoint on Azurite: conditions, ranges, sizes, own writes, rotation, and no content in the clear', async () => {
  const url = fixture.newUrl();
  const { connectionString } = fixture;
  const store = await openCheckpointStore(url, { connectionString, createContainer: true, encryption: before });
  const large = randomBytes(200_000);
  const { etag } = await expectDone(store.putIfAbsent('a/large', large, id(1)));
  // What is sent again is the same, so it is recognised; another writer's is not.
  expect(await store.putIfAbsent('a/large', large, id(1))).toMatchObject({ status: 'done', recognised: true, etag });
  expect(await store.putIfAbsent('a/large', large, id(2))).toMatchObject({ status: 'lost' });
  const middle = await store.get('a/large', { offset: 65_000, length: 70_000 });
  expect(middle.status === 'found' && Buffer.compare(middle.bytes, large.subarray(65_000, 135_000))).toBe(0);
  expect(await collect(store.list('a/'))).toMatchObject([{ name: 'a/large', sizeBytes: 200_000 }]);
  const swapped = await expectDone(store.compareAndSwap('a/large', text('marker'), etag, id(3)));
  expect(await store.compareAndSwap('a/large', text('late'), etag, id(4))).toMatchObject({ status: 'lost' });
  await store.close();

  const raw = await openObjectStore(url, { connectionString });
  const found = await raw.get('a/large');
  expect(found).toMatchObject({ status: 'found', etag: swapped.etag });
  expect(found.status === 'found' && Buffer.from(found.bytes).includes('marker')).toBe(false);
  await raw.close();

  const now = await openCheckpointStore(url, { connectionString, encryption: rotated });
  expect(await now.get('a/large')).toMatchObject({ bytes: text('marker') });
  await expectDone(now.compareAndSwap('a/large', text('anew'), swapped.etag, id(5)));
  await expectDone(now.putIfAbsent('b', new Uint8Array(0), id(6)));
  await now.close();
  const later = await openCheckpointStore(url, { connectionString, encryption: after });
  expect(await later.get('a/large')).toMatchObject({ bytes: text('anew') });
  expect(await later.get('b', { offset: 3, length: 3 })).toMatchObject({ bytes: new Uint8Array(0) });
  await later.close();
  const wrong = await openCheckpointStore(url, { connectionString, encryption: before });
  expect((await errorOf(wrong.get('b'))).code).toBe('ENCRYPTION_KEY_MISSING');
  await wrong.close();
});
