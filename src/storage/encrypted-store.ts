import type { EncryptionKeys } from './encryption-keys.ts';
import { validateRange } from './object-name.ts';
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
import {
  blockBytes,
  contentBytes,
  damaged,
  headBytes,
  openBlocks,
  sealedBlockBytes,
  sealedKeyId,
  sealObject,
} from './sealed-object.ts';

/**
 * A store whose objects are encrypted: content under AES-256-GCM (sealed-object), names in the clear.
 *
 * Every operation is one operation of the store behind it, whose counters it shows: bytes are those that go over the
 * wire. Sizes are those of the content. Owns the store behind it: `close` closes it.
 *
 * An object stands under its name relative to this store's root, and can be read only under that name. It does not
 * prevent what a store can do with whole objects of one name: keep an old version, or delete it.
 */
export class EncryptedStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters;
  readonly #store: ObjectStore;
  readonly #keys: EncryptionKeys;

  constructor(store: ObjectStore, keys: EncryptionKeys) {
    this.#store = store;
    this.#keys = keys;
    this.url = store.url;
    this.operations = store.operations;
  }

  /** @throws also CHECKPOINT_CORRUPT, ENCRYPTION_KEY_MISSING, NOT_ENCRYPTED */
  async get(name: string, range?: ByteRange): Promise<GetOutcome> {
    validateRange(range);
    if (range !== undefined) return this.#getRange(name, range);
    const outcome = await this.#store.get(name);
    if (outcome.status === 'missing') return outcome;
    const { content, isEnd } = await openBlocks(this.#keys, name, 0, outcome.bytes);
    if (!isEnd) throw damaged(name, 'it was cut');
    return { ...outcome, bytes: content };
  }

  /** New objects are encrypted with it. */
  get currentKeyId(): string {
    return this.#keys.current.id;
  }

  /** Id of the key that an object needs, whether it is among those given or not; undefined: there is none, or no object. */
  async keyIdOf(name: string): Promise<string | undefined> {
    const outcome = await this.#store.get(name, { offset: 0, length: headBytes });
    return outcome.status === 'missing' ? undefined : sealedKeyId(outcome.bytes);
  }

  async head(name: string): Promise<HeadOutcome> {
    const outcome = await this.#store.head(name);
    if (outcome.status === 'missing') return outcome;
    return { ...outcome, sizeBytes: contentBytes(outcome.sizeBytes) };
  }

  async putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.#store.putIfAbsent(name, await sealObject(this.#keys.current, name, commitId, bytes), commitId);
  }

  async compareAndSwap(
    name: string,
    bytes: Uint8Array,
    etag: string | undefined,
    commitId: string,
  ): Promise<PutOutcome> {
    const sealed = await sealObject(this.#keys.current, name, commitId, bytes);
    return this.#store.compareAndSwap(name, sealed, etag, commitId);
  }

  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    for await (const info of this.#store.list(prefix, after)) {
      yield { ...info, sizeBytes: contentBytes(info.sizeBytes) };
    }
  }

  delete(names: readonly string[]): Promise<DeleteOutcome> {
    return this.#store.delete(names);
  }

  async protections(name: string): Promise<readonly string[]> {
    return (await this.#store.protections?.(name)) ?? [];
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async #getRange(name: string, { offset, length }: ByteRange): Promise<GetOutcome> {
    const first = Math.floor(offset / blockBytes);
    const last = Math.floor((offset + Math.max(1, length) - 1) / blockBytes);
    const sealedLength = Math.min((last - first + 1) * sealedBlockBytes, Number.MAX_SAFE_INTEGER);
    const sealedOffset = Math.min(first * sealedBlockBytes, Number.MAX_SAFE_INTEGER);
    const outcome = await this.#store.get(name, { offset: sealedOffset, length: sealedLength });
    if (outcome.status === 'missing') return outcome;
    const wanted = outcome.bytes.length === 0 ? await this.#emptyAfterEnd(name, first) : outcome.bytes;
    const { content, isEnd } = await openBlocks(this.#keys, name, first, wanted);
    if (!isEnd && wanted.length > 0 && wanted.length < sealedLength) {
      throw damaged(name, `it was cut after block ${first + Math.floor(wanted.length / sealedBlockBytes) - 1}`);
    }
    const from = offset - first * blockBytes;
    return { ...outcome, bytes: content.subarray(from, from + length) };
  }

  /** A range after the end has no bytes that could prove it: the block that should be the last one does. */
  async #emptyAfterEnd(name: string, first: number): Promise<Uint8Array> {
    const found = await this.#store.head(name);
    const sizeBytes = found.status === 'found' ? found.sizeBytes : 0;
    const index = Math.max(0, Math.ceil(sizeBytes / sealedBlockBytes) - 1);
    const outcome = await this.#store.get(name, { offset: index * sealedBlockBytes, length: sealedBlockBytes });
    const bytes = outcome.status === 'found' ? outcome.bytes : new Uint8Array(0);
    const { isEnd } = await openBlocks(this.#keys, name, index, bytes);
    if (!isEnd) throw damaged(name, `it was cut before block ${first}`);
    return new Uint8Array(0);
  }
}
