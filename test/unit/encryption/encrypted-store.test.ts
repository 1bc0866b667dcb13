import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { SystemRandom } from '../../../src/base/random.ts';
import { EncryptedStore } from '../../../src/storage/encrypted-store.ts';
import { EncryptionKeys } from '../../../src/storage/encryption-keys.ts';
import { dropMemoryStore, MemoryStore } from '../../../src/storage/memory-store.ts';
import { openCheckpointStore } from '../../../src/storage/open-checkpoint-store.ts';
import { blockBytes, contentBytes, sealedBlockBytes } from '../../../src/storage/sealed-object.ts';
import { expectDone, id, objectStoreSuite, text } from '../../support/object-store-suite.ts';
import { errorOf } from '../engine/support.ts';
import { after, before, keyNew, keysBefore, rotated } from './keys.ts';

describe('an encrypted memory store', () => {
  objectStoreSuite(async () => {
    const name = `encrypted-${new SystemRandom().id()}`;
    return {
      open: () => openCheckpointStore(`memory:${name}/root`, { encryption: before }),
      listPage: 4,
      pages: false,
      overheadBytes: 104,
      keepsCommitId: true,
      close: async () => dropMemoryStore(name),
    };
  });
});

describe('an encrypted folder', () => {
  objectStoreSuite(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-encrypted-'));
    return {
      open: () => openCheckpointStore(join(folder, 'root'), { encryption: before }),
      listPage: 4,
      pages: false,
      overheadBytes: 104,
      keepsCommitId: false,
      close: () => rm(folder, { recursive: true }),
    };
  });
});

let inner: MemoryStore;
let store: EncryptedStore;
beforeEach(() => {
  inner = new MemoryStore();
  store = new EncryptedStore(inner, keysBefore);
});

async function stored(name: string): Promise<Buffer> {
  const outcome = await inner.get(name);
  if (outcome.status === 'missing') throw new Error(`There is no ${name}.`);
  return Buffer.from(outcome.bytes);
}

async function replace(name: string, bytes: Uint8Array): Promise<void> {
  await inner.delete([name]);
  await inner.putIfAbsent(name, bytes, id(99));
}

const damage = ['CHECKPOINT_CORRUPT', 'ENCRYPTION_KEY_MISSING', 'NOT_ENCRYPTED', 'CHECKPOINT_INCOMPATIBLE'];

describe('what an encrypted store writes', () => {
  it('does not show its content', async () => {
    await store.putIfAbsent('a', text('marker '.repeat(20_000)), id(1));
    expect((await stored('a')).includes('marker')).toBe(false);
  });

  it('is the same again for the same name, content and commit id, and differs in everything else', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const contents = ['same', 'same', 'same', 'other'];
    await store.putIfAbsent('a', text('same'), id(1));
    const again = new MemoryStore();
    const second = new EncryptedStore(again, new EncryptionKeys(before));
    await second.putIfAbsent('a', text('same'), id(1));
    expect(await again.get('a')).toMatchObject({ bytes: new Uint8Array(await stored('a')) });
    for (const [i, name] of names.entries()) {
      await store.putIfAbsent(name, text(contents[i]!), id(i < 2 ? 1 : i));
    }
    const salts = await Promise.all(names.map(async (name) => (await stored(name)).subarray(56, 88).toString('hex')));
    expect(new Set(salts).size).toBe(4);
  });

  it('has another salt for another content under the same commit id, so that no nonce is used twice', async () => {
    const first = new MemoryStore();
    const second = new MemoryStore();
    await new EncryptedStore(first, keysBefore).putIfAbsent('a', text('one'), id(1));
    await new EncryptedStore(second, keysBefore).putIfAbsent('a', text('two'), id(1));
    const [a, b] = await Promise.all([first.get('a'), second.get('a')]);
    if (a.status === 'missing' || b.status === 'missing') throw new Error('missing');
    expect(Buffer.compare(a.bytes.subarray(56, 88), b.bytes.subarray(56, 88))).not.toBe(0);
  });

  it('costs the operations of the store behind it, one for one', async () => {
    const plain = new MemoryStore();
    for (const target of [plain, store]) {
      const { etag } = await expectDone(target.putIfAbsent('a', randomBytes(3 * blockBytes), id(1)));
      await target.compareAndSwap('a', randomBytes(3 * blockBytes), etag, id(2));
      await target.get('a');
      await target.get('a', { offset: blockBytes + 5, length: 70_000 });
      await target.head('a');
      for await (const _ of target.list(''));
      await target.delete(['a']);
    }
    const requests = (of: MemoryStore | EncryptedStore) =>
      Object.entries(of.operations.snapshot()).map(([type, count]) => [type, count.requests]);
    expect(requests(store)).toEqual(requests(plain));
  });

  it('lets other work run while it encrypts and decrypts a large object', async () => {
    const bytes = new Uint8Array(24 * 1024 * 1024);
    let turns = 0;
    let running = true;
    const count = (): void => {
      turns += 1;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    await store.putIfAbsent('large', bytes, id(1));
    const whileWriting = turns;
    const found = await store.get('large');
    running = false;
    expect(whileWriting).toBeGreaterThanOrEqual(8);
    expect(turns - whileWriting).toBeGreaterThanOrEqual(4);
    expect(found.status === 'found' && Buffer.compare(found.bytes, bytes)).toBe(0);
  });
});

describe('what an encrypted store reads', () => {
  const sizes = [0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 2 * blockBytes, 2 * blockBytes + 77];

  it.each(sizes)('is what was written, whole and by range, for %i bytes', async (size) => {
    const bytes = randomBytes(size);
    await store.putIfAbsent('a', bytes, id(1));
    expect((await stored('a')).length).toBe(size + Math.max(1, Math.ceil(size / blockBytes)) * 104);
    const whole = await store.get('a');
    expect(whole.status === 'found' && Buffer.compare(whole.bytes, bytes)).toBe(0);
    expect(await store.head('a')).toMatchObject({ sizeBytes: size });
    const edges = [0, 1, blockBytes - 1, blockBytes, blockBytes + 1, size - 1, size, size + 1, 5 * blockBytes];
    for (const offset of edges.filter((edge) => edge >= 0)) {
      for (const length of [0, 1, 100, blockBytes, 2 * blockBytes + 1, Number.MAX_SAFE_INTEGER]) {
        const outcome = await store.get('a', { offset, length });
        const expected = bytes.subarray(offset, offset + length);
        expect(outcome.status === 'found' && Buffer.compare(outcome.bytes, expected), `${offset}+${length}`).toBe(0);
      }
    }
  });

  it('has the size that its stored size says, for every size', () => {
    fc.assert(
      fc.property(fc.nat(10 * blockBytes), (size) => {
        const sealed = size + Math.max(1, Math.ceil(size / blockBytes)) * (sealedBlockBytes - blockBytes);
        expect(contentBytes(sealed)).toBe(size);
      }),
    );
  });

  it('is a named error after any flipped bit of a small object', async () => {
    await store.putIfAbsent('a', text('some content'), id(1));
    const bytes = await stored('a');
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1 << (at % 8);
      await replace('a', changed);
      const error = await errorOf(store.get('a'));
      expect(damage, `at ${at}: ${error.message}`).toContain(error.code);
      expect(error.message).toContain('"a"');
    }
  });

  it('is a named error wherever it was cut', async () => {
    await store.putIfAbsent('a', randomBytes(2 * blockBytes + 50), id(1));
    const bytes = await stored('a');
    const cuts = [0, 1, 87, 88, 103, 104, 105, sealedBlockBytes, sealedBlockBytes + 50, 2 * sealedBlockBytes];
    for (const length of [...cuts, bytes.length - 1]) {
      await replace('a', bytes.subarray(0, length));
      expect(damage).toContain((await errorOf(store.get('a'))).code);
      // Also by a range that goes on where the object was cut, or lies behind it.
      for (const offset of [0, 2 * blockBytes, 2 * blockBytes + 49, 3 * blockBytes]) {
        const error = await errorOf(store.get('a', { offset, length: 3 * blockBytes }));
        expect(damage, `cut to ${length}, range from ${offset}`).toContain(error.code);
      }
    }
  });

  it('is a named error when blocks were swapped, repeated, left out or added', async () => {
    await store.putIfAbsent('a', randomBytes(3 * blockBytes + 50), id(1));
    const bytes = await stored('a');
    const block = (i: number): Buffer => bytes.subarray(i * sealedBlockBytes, (i + 1) * sealedBlockBytes);
    const arrangements = [[1, 0, 2, 3], [0, 0, 1, 2, 3], [0, 2, 3], [0, 1, 2], [0, 1, 2, 3, 3], [3]];
    for (const arrangement of arrangements) {
      await replace('a', Buffer.concat(arrangement.map(block)));
      expect((await errorOf(store.get('a'))).code, arrangement.join()).toBe('CHECKPOINT_CORRUPT');
    }
  });

  it('is a named error under another name, and when blocks of two versions are mixed', async () => {
    const version = async (commit: number, fill: number): Promise<Buffer> => {
      await inner.delete(['a']);
      await store.putIfAbsent('a', Buffer.alloc(2 * blockBytes, fill), id(commit));
      return stored('a');
    };
    const one = await version(1, 1);
    const two = await version(2, 2);
    await replace('b', one);
    expect((await errorOf(store.get('b'))).message).toMatch(/belongs to another object/);
    await replace('a', Buffer.concat([one.subarray(0, sealedBlockBytes), two.subarray(sealedBlockBytes)]));
    expect((await errorOf(store.get('a'))).message).toMatch(/of another version/);
  });

  it('is a named error for arbitrary bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, marked) => {
        const content = marked ? Buffer.concat([Buffer.from('TIDESEAL'), bytes]) : bytes;
        await replace('a', content);
        expect(damage).toContain((await errorOf(store.get('a'))).code);
        expect(await errorOf(store.get('a', { offset: 5, length: 5 }))).toBeInstanceOf(TidemarkError);
      }),
    );
  });
});

describe('a rotated key', () => {
  it('reads what was written with the old one and writes with the new one', async () => {
    await store.putIfAbsent('old', text('old'), id(1));
    const now = new EncryptedStore(inner, new EncryptionKeys(rotated));
    await now.putIfAbsent('new', text('new'), id(2));
    expect(await now.get('old')).toMatchObject({ bytes: text('old') });
    const later = new EncryptedStore(inner, new EncryptionKeys(after));
    expect(await later.get('new')).toMatchObject({ bytes: text('new') });
    const error = await errorOf(later.get('old'));
    expect(error.code).toBe('ENCRYPTION_KEY_MISSING');
    expect(error.message).toContain('the key "key-2025", and the keys given are "key-2026"');
    expect(error.context).toMatchObject({ keyId: 'key-2025' });
  });

  it('is told from damage when other bytes are given under its id', async () => {
    await store.putIfAbsent('a', text('a'), id(1));
    const wrong = new EncryptedStore(inner, new EncryptionKeys({ current: 'key-2025', keys: { 'key-2025': keyNew } }));
    const error = await errorOf(wrong.get('a'));
    expect(error.code).toBe('ENCRYPTION_KEY_MISSING');
    expect(error.message).toContain('the key given under this id is another one');
  });
});

it('refuses what is not encrypted', async () => {
  await inner.putIfAbsent('a', text('in the clear'), id(1));
  const error = await errorOf(store.get('a'));
  expect(error.code).toBe('NOT_ENCRYPTED');
  expect(error.message).toContain('open it without keys, or export it to a new place with keys');
});
