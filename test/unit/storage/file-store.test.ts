import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFileStore } from '../../../src/storage/file-store.ts';
import { parseStoreUrl } from '../../../src/storage/store-url.ts';
import { collect, expectDone, id, objectStoreSuite, text } from '../../support/object-store-suite.ts';

const newFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'tidemark-file-store-'));
const locate = (path: string) => parseStoreUrl(path) as Parameters<typeof openFileStore>[0];

describe('FileStore', () => {
  objectStoreSuite(async () => {
    const folder = await newFolder();
    return {
      open: () => openFileStore(locate(join(folder, 'deep', 'root'))),
      listPage: 4,
      pages: false,
      keepsCommitId: false,
      close: () => rm(folder, { recursive: true }),
    };
  });

  describe('on disk', () => {
    let folder: string;
    beforeEach(async () => {
      folder = await newFolder();
    });
    afterEach(() => rm(folder, { recursive: true }));

    it('stores an object as a plain file of the same bytes', async () => {
      const store = await openFileStore(locate(folder));
      await expectDone(store.putIfAbsent('out/a.jsonl', text('{}\n'), id(1)));
      expect(await readFile(join(folder, 'out', 'a.jsonl'), 'utf8')).toBe('{}\n');
    });

    it('row 29: leaves no temporary file behind and shows none of another writer', async () => {
      const store = await openFileStore(locate(folder));
      await expectDone(store.putIfAbsent('a', text('x'), id(1)));
      const temporary = join(folder, '.tidemark-store', 'temporary');
      expect(await readdir(temporary)).toEqual([]);
      await writeFile(join(temporary, 'half-written'), 'x');
      expect(await collect(store.list(''))).toMatchObject([{ name: 'a', sizeBytes: 1 }]);
      await expect(store.get('.tidemark-store/temporary/half-written')).rejects.toMatchObject({
        code: 'OPTION_INVALID',
      });
    });

    it('removes the temporary files of a process that died a day ago, and no younger ones', async () => {
      const first = await openFileStore(locate(folder));
      await expectDone(first.putIfAbsent('a', text('x'), id(1)));
      const temporary = join(folder, '.tidemark-store', 'temporary');
      await writeFile(join(temporary, 'orphan'), 'x');
      await openFileStore(locate(folder));
      expect(await readdir(temporary)).toEqual(['orphan']);
      const tomorrow = { now: () => Date.now() + 25 * 3_600_000, waitUntil: async () => undefined };
      await openFileStore(locate(folder), { clock: tomorrow });
      expect(await readdir(temporary)).toEqual([]);
    });

    it('keeps a bounded number of old versions of an object that changes', async () => {
      const store = await openFileStore(locate(folder));
      let { etag } = await expectDone(store.putIfAbsent('hint', text('0'), id(0)));
      for (let i = 1; i <= 40; i++)
        ({ etag } = await expectDone(store.compareAndSwap('hint', text(`${i}`), etag, id(i))));
      const versions = await readdir(join(folder, '.tidemark-store', 'versions', 'hint', '.tidemark-store'));
      expect(versions).toHaveLength(16);
      expect(await (await openFileStore(locate(folder))).get('hint')).toMatchObject({ bytes: text('40'), etag });
    });

    it('does not take its version number for its own when old numbers were freed while it slept', async () => {
      // A writer that read version 1 sleeps through 40 swaps; version 2 is free again when it wakes.
      const store = await openFileStore(locate(folder));
      let { etag } = await expectDone(store.putIfAbsent('hint', text('0'), id(0)));
      for (let i = 1; i <= 40; i++)
        ({ etag } = await expectDone(store.compareAndSwap('hint', text(`${i}`), etag, id(i))));
      const { FileVersions } = await import('../../../src/storage/file-versions.ts');
      const { DurableFiles } = await import('../../../src/storage/durable-files.ts');
      const { SystemRandom } = await import('../../../src/base/random.ts');
      const files = new DurableFiles(join(folder, '.tidemark-store', 'temporary'), new SystemRandom());
      expect(await new FileVersions(folder, files).swap('hint', 1, text('late'))).toBe('unsure');
      expect(await store.get('hint')).toMatchObject({ bytes: text('40'), etag });
    });

    it('refuses a name that is a folder of other objects, or the other way round', async () => {
      const store = await openFileStore(locate(folder));
      await expectDone(store.putIfAbsent('a/b', text('x'), id(1)));
      await expect(store.putIfAbsent('a', text('x'), id(2))).rejects.toMatchObject({ code: 'OPTION_INVALID' });
      await expect(store.putIfAbsent('a/b/c', text('x'), id(3))).rejects.toMatchObject({ code: 'OPTION_INVALID' });
      await expect(store.putIfAbsent('x'.repeat(300), text('x'), id(4))).rejects.toMatchObject({
        code: 'OPTION_INVALID',
        message: expect.stringContaining('too long'),
      });
      expect(await store.get('a')).toMatchObject({ status: 'missing' });
    });

    it('refuses a root that is a file', async () => {
      await writeFile(join(folder, 'file'), 'x');
      await expect(openFileStore(locate(join(folder, 'file')))).rejects.toMatchObject({ code: 'URL_INVALID' });
    });

    it('row 29: creates nothing when a file cannot be synced, and takes no more calls', async () => {
      const store = await openFileStore(locate(folder), { syncFile: failFor((path) => path.includes('temporary')) });
      await expect(store.putIfAbsent('a', text('x'), id(1))).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        message: expect.stringContaining('fsync'),
      });
      await expect(store.get('a')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      expect(await (await openFileStore(locate(folder))).get('a')).toMatchObject({ status: 'missing' });
    });

    it('row 29: does not know the outcome when only the folder cannot be synced', async () => {
      await expectDone((await openFileStore(locate(folder))).putIfAbsent('log/0', text('x'), id(0)));
      const store = await openFileStore(locate(folder), { syncFile: failFor((path) => path.endsWith('log')) });
      expect(await store.putIfAbsent('log/1', text('x'), id(1))).toMatchObject({ status: 'unknown' });
      await expect(store.putIfAbsent('log/2', text('x'), id(2))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    });
  });
});

function failFor(matches: (path: string) => boolean): (handle: unknown, path: string) => Promise<void> {
  return async (_handle, path) => {
    if (matches(path)) throw Object.assign(new Error('i/o error'), { code: 'EIO' });
  };
}
