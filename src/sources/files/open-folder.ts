import type { ObjectStore } from '../../storage/object-store.ts';
import { openObjectStore, type StoreOptions } from '../../storage/open-store.ts';
import { formatBlobUrl, parseStoreUrl, type StoreLocation } from '../../storage/store-url.ts';
import type { FileFolder } from './file-folder.ts';
import { parseFolderPattern } from './folder-pattern.ts';
import { LocalFolder } from './local-folder.ts';
import { StoreFolder } from './store-folder.ts';

/** The folder a URL or path names; nothing is opened yet. @throws URL_INVALID */
export function locateFolder(url: string, options: StoreOptions): FileFolder {
  const location = parseStoreUrl(url);
  if (location.kind === 'file') return new LocalFolder(location.path);
  const { root, segments } = parseFolderPattern(location.prefix);
  return new StoreFolder(rootUrl(location, root), segments, () => openRoot(location, root, options));
}

type RemoteLocation = Exclude<StoreLocation, { readonly kind: 'file' }>;

function rootUrl(location: RemoteLocation, root: string): string {
  if (location.kind === 'memory') return `memory:${location.name}${root === '' ? '' : `/${root}`}`;
  return formatBlobUrl(location.endpoint ?? 'az:/', location.container, root);
}

function openRoot(location: RemoteLocation, root: string, options: StoreOptions): Promise<ObjectStore> {
  const sasToken = (location.kind === 'blob' ? location.sasToken : undefined) ?? options.sasToken;
  return openObjectStore(rootUrl(location, root), { ...options, sasToken });
}
