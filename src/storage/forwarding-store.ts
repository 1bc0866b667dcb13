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

/** Hands every operation to another store: for stores that differ from it in a few. */
export abstract class ForwardingStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters;
  protected readonly store: ObjectStore;

  constructor(store: ObjectStore) {
    this.store = store;
    this.url = store.url;
    this.operations = store.operations;
  }

  get(name: string, range?: ByteRange): Promise<GetOutcome> {
    return this.store.get(name, range);
  }

  head(name: string): Promise<HeadOutcome> {
    return this.store.head(name);
  }

  putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.store.putIfAbsent(name, bytes, commitId);
  }

  compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string): Promise<PutOutcome> {
    return this.store.compareAndSwap(name, bytes, etag, commitId);
  }

  list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    return this.store.list(prefix, after);
  }

  delete(names: readonly string[]): Promise<DeleteOutcome> {
    return this.store.delete(names);
  }

  close(): Promise<void> {
    return this.store.close();
  }
}
