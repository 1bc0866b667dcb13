import { setTimeout } from 'node:timers/promises';
import type { Random } from '../src/base/random.ts';
import { ForwardingStore } from '../src/storage/forwarding-store.ts';
import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  HeadOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from '../src/storage/object-store.ts';

/** A store that takes a time between two bounds for every answer, whatever it is asked. */
export class DistantStore extends ForwardingStore {
  readonly #random: Random;
  readonly #leastMs: number;
  readonly #mostMs: number;

  constructor(store: ObjectStore, random: Random, leastMs: number, mostMs: number) {
    super(store);
    this.#random = random;
    this.#leastMs = leastMs;
    this.#mostMs = mostMs;
  }

  override get(name: string, range?: ByteRange): Promise<GetOutcome> {
    return this.#later(() => this.store.get(name, range));
  }

  override head(name: string): Promise<HeadOutcome> {
    return this.#later(() => this.store.head(name));
  }

  override putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.#later(() => this.store.putIfAbsent(name, bytes, commitId));
  }

  override compareAndSwap(
    name: string,
    bytes: Uint8Array,
    etag: string | undefined,
    commitId: string,
  ): Promise<PutOutcome> {
    return this.#later(() => this.store.compareAndSwap(name, bytes, etag, commitId));
  }

  override async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    await this.#answered();
    yield* this.store.list(prefix, after);
  }

  override delete(names: readonly string[]): Promise<DeleteOutcome> {
    return this.#later(() => this.store.delete(names));
  }

  async #later<T>(run: () => Promise<T>): Promise<T> {
    await this.#answered();
    return run();
  }

  #answered(): Promise<void> {
    return setTimeout(this.#leastMs + this.#random.next() * (this.#mostMs - this.#leastMs));
  }
}
