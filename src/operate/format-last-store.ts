import { formatName } from '../checkpoint/object-names.ts';
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

/**
 * A new root whose `format` comes last. Records without a format are never taken for a stream, so a program that starts on
 * what a crash has left is refused, and does not begin anew without the state that was to be there.
 *
 * Whoever makes the stream sees the format at once. Not closed by this: the store behind it belongs to someone else.
 */
export class FormatLastStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters;
  readonly #store: ObjectStore;
  #held: { readonly bytes: Uint8Array; readonly commitId: string } | undefined;

  constructor(store: ObjectStore) {
    this.#store = store;
    this.url = store.url;
    this.operations = store.operations;
  }

  /** All else is there: writes the format. */
  async finish(): Promise<PutOutcome> {
    const { bytes, commitId } = this.#held!;
    return this.#store.putIfAbsent(formatName, bytes, commitId);
  }

  async get(name: string, range?: ByteRange): Promise<GetOutcome> {
    const outcome = await this.#store.get(name, range);
    if (name !== formatName || this.#held === undefined || outcome.status === 'found') return outcome;
    return { status: 'found', bytes: this.#held.bytes, etag: '', serverTimeMs: outcome.serverTimeMs };
  }

  async putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    if (name !== formatName) return this.#store.putIfAbsent(name, bytes, commitId);
    const { status, serverTimeMs } = await this.#store.head(name);
    if (status === 'found') return { status: 'lost', serverTimeMs };
    this.#held = { bytes, commitId };
    return { status: 'done', etag: '', serverTimeMs, recognised: false };
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

  async close(): Promise<void> {}
}
