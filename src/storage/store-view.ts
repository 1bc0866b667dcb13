import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  HeadOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from './object-store.ts';
import type { OperationCounters } from './operation-counters.ts';

/**
 * The part of a store below a folder, as a store of its own: whoever holds it can touch nothing else.
 * Its operations count in the store behind it, which it does not own: `close` does nothing.
 */
export class StoreView implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters;
  readonly #store: ObjectStore;
  readonly #root: string;

  /** `folder`: an object name, without a slash at its end. */
  constructor(store: ObjectStore, folder: string) {
    this.#store = store;
    this.#root = `${folder}/`;
    this.url = `${store.url.replace(/\/+$/, '')}/${folder}`;
    this.operations = store.operations;
  }

  get(name: string, range?: ByteRange): Promise<GetOutcome> {
    return this.#store.get(this.#root + name, range);
  }

  head(name: string): Promise<HeadOutcome> {
    return this.#store.head(this.#root + name);
  }

  putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.#store.putIfAbsent(this.#root + name, bytes, commitId);
  }

  compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string): Promise<PutOutcome> {
    return this.#store.compareAndSwap(this.#root + name, bytes, etag, commitId);
  }

  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    const afterName = after === undefined ? undefined : this.#root + after;
    for await (const info of this.#store.list(this.#root + prefix, afterName)) {
      yield { ...info, name: info.name.slice(this.#root.length) };
    }
  }

  async delete(names: readonly string[]): Promise<DeleteOutcome> {
    const { refused, serverTimeMs } = await this.#store.delete(names.map((name) => this.#root + name));
    return { refused: refused.map((name) => name.slice(this.#root.length)), serverTimeMs };
  }

  async close(): Promise<void> {}
}
