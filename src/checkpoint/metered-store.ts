import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  HeadOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from '../storage/object-store.ts';
import type { OperationCounters } from '../storage/operation-counters.ts';
import { logPrefix, manifestPrefix, segmentPrefix, snapshotPrefix } from './object-names.ts';

/** Bytes of the log by what they are. */
export interface BytesByKind {
  readonly records: number;
  readonly segments: number;
  readonly manifests: number;
  readonly snapshots: number;
}

/** A store that counts what the log writes, by kind of object: each object once, however often its write was repeated. */
export class MeteredStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters;
  readonly #store: ObjectStore;
  readonly #bytes = { records: 0, segments: 0, manifests: 0, snapshots: 0 };

  constructor(store: ObjectStore) {
    this.#store = store;
    this.url = store.url;
    this.operations = store.operations;
  }

  /** So far. */
  get written(): BytesByKind {
    return { ...this.#bytes };
  }

  async putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    const outcome = await this.#store.putIfAbsent(name, bytes, commitId);
    const kind = kindOf(name);
    if (kind !== undefined && outcome.status === 'done') this.#bytes[kind] += bytes.length;
    return outcome;
  }

  get(name: string, range?: ByteRange): Promise<GetOutcome> {
    return this.#store.get(name, range);
  }

  head(name: string): Promise<HeadOutcome> {
    return this.#store.head(name);
  }

  compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string): Promise<PutOutcome> {
    return this.#store.compareAndSwap(name, bytes, etag, commitId);
  }

  list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    return this.#store.list(prefix, after);
  }

  delete(names: readonly string[]): Promise<DeleteOutcome> {
    return this.#store.delete(names);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

function kindOf(name: string): keyof BytesByKind | undefined {
  if (name.startsWith(logPrefix)) return 'records';
  if (name.startsWith(segmentPrefix)) return 'segments';
  if (name.startsWith(manifestPrefix)) return 'manifests';
  return name.startsWith(snapshotPrefix) ? 'snapshots' : undefined;
}
