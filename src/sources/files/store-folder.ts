import type { ObjectStore } from '../../storage/object-store.ts';
import type { FileFolder, ListedFile } from './file-folder.ts';

/**
 * Objects of a store, as files: those directly in the folder the store is opened on, or in the folders below it that a
 * pattern chooses. Everything below is listed, page by page. The store is opened when it is first needed and, while it
 * cannot be, again at the next listing.
 */
export class StoreFolder implements FileFolder {
  readonly url: string;
  /** Blob storage tells whole seconds. */
  readonly resolutionMs = 1000;
  readonly #openStore: () => Promise<ObjectStore>;
  readonly #segments: readonly RegExp[];
  #store: Promise<ObjectStore> | undefined;

  constructor(url: string, segments: readonly RegExp[], openStore: () => Promise<ObjectStore>) {
    this.url = url;
    this.#segments = segments;
    this.#openStore = openStore;
  }

  async list(): Promise<ListedFile[]> {
    const store = await this.#opened();
    const files: ListedFile[] = [];
    for await (const { name: key, sizeBytes, modifiedMs } of store.list('')) {
      const parts = key.split('/');
      const isChosen =
        parts.length === this.#segments.length + 1 && this.#segments.every((form, i) => form.test(parts[i]!));
      if (isChosen) files.push({ key, name: parts.at(-1)!, path: this.pathOf(key), sizeBytes, modifiedMs });
    }
    return files;
  }

  pathOf(key: string): string {
    return `${this.url}/${key}`;
  }

  async read(key: string, offset: number, length: number): Promise<Uint8Array | undefined> {
    const found = await (await this.#opened()).get(key, { offset, length });
    return found.status === 'found' ? found.bytes : undefined;
  }

  async close(): Promise<void> {
    const store = await this.#store?.catch(() => undefined);
    await store?.close();
  }

  /** @throws what opening the store throws */
  async #opened(): Promise<ObjectStore> {
    this.#store ??= this.#openStore();
    try {
      return await this.#store;
    } catch (error) {
      this.#store = undefined;
      throw error;
    }
  }
}
