import { basename, dirname } from 'node:path';
import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openObjectStore, type StoreOptions } from '../storage/open-store.ts';
import { parseStoreUrl } from '../storage/store-url.ts';
import { SharedStore } from './part-files.ts';

/** Objects to read: names within a store, ascending. */
export interface InputFiles {
  readonly store: SharedStore;
  readonly names: readonly string[];
}

/**
 * What a URL names: the objects directly in a folder, except those whose name begins with `_` or `.`, or one object.
 * @throws SOURCE_NOT_FOUND when nothing is there
 */
export async function findInputFiles(what: string, url: string, options: StoreOptions): Promise<InputFiles> {
  const folder = await withStore(url, options, async (store) => {
    const names: string[] = [];
    let isEmpty = true;
    for await (const { name } of store.list('')) {
      isEmpty = false;
      if (!name.includes('/') && !/^[_.]/.test(name)) names.push(name);
    }
    return isEmpty ? undefined : names;
  });
  if (folder !== undefined) return { store: new SharedStore(url, options), names: folder };
  const single = splitUrl(url);
  if (single !== undefined) {
    const found = await withStore(single.folder, options, async (store) => {
      const { status } = await store.head(single.name);
      return status === 'found' ? [single.name] : undefined;
    });
    if (found !== undefined) return { store: new SharedStore(single.folder, options), names: found };
  }
  throw new TidemarkError('SOURCE_NOT_FOUND', `${what}: there is nothing at ${parseStoreUrl(url).url}.`);
}

async function withStore<R>(
  url: string,
  options: StoreOptions,
  work: (store: ObjectStore) => Promise<R>,
): Promise<R | undefined> {
  let store: ObjectStore;
  try {
    store = await openObjectStore(url, options);
  } catch (error) {
    // A path that is a file: the caller looks for it in the folder above.
    if (error instanceof TidemarkError && error.code === 'URL_INVALID' && parseStoreUrl(url).kind === 'file') return;
    throw error;
  }
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The last segment as an object, the rest as a store; undefined when the URL is a store with nothing behind it. */
function splitUrl(url: string): { readonly folder: string; readonly name: string } | undefined {
  const location = parseStoreUrl(url);
  if (location.kind === 'file') return { folder: dirname(location.path), name: basename(location.path) };
  if (location.prefix === '') return undefined;
  const name = location.prefix.slice(location.prefix.lastIndexOf('/') + 1);
  const [, folder, query] = /^(.*?)\/[^/?]+\/*(\?.*)?$/s.exec(url) ?? [];
  return folder === undefined ? undefined : { folder: folder + (query ?? ''), name };
}
