import type { Clock } from '../base/clock.ts';
import { SystemClock } from '../base/clock.ts';
import { TidemarkError } from '../base/errors.ts';
import { validateCommitId, validateObjectName, validatePrefix, validateRange } from './object-name.ts';
import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  HeadOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from './object-store.ts';
import { OperationCounters } from './operation-counters.ts';

interface StoredObject {
  readonly bytes: Uint8Array;
  readonly etag: string;
  readonly commitId: string;
  readonly modifiedMs: number;
}

/** The objects behind one `memory:` name. Several stores may be open on it, as several processes on one container. */
class MemorySpace {
  readonly #objects = new Map<string, StoredObject>();
  #lastEtag = 0;
  // Sorted when a list needs it; undefined after a name came or went.
  #names: readonly string[] | undefined;

  get(name: string): StoredObject | undefined {
    return this.#objects.get(name);
  }

  set(name: string, bytes: Uint8Array, commitId: string, modifiedMs: number): StoredObject {
    if (!this.#objects.has(name)) this.#names = undefined;
    this.#lastEtag += 1;
    // Not slice(): that of a Buffer shares its memory.
    const stored = { bytes: new Uint8Array(bytes), etag: String(this.#lastEtag), commitId, modifiedMs };
    this.#objects.set(name, stored);
    return stored;
  }

  delete(name: string): void {
    if (this.#objects.delete(name)) this.#names = undefined;
  }

  sortedNames(): readonly string[] {
    return (this.#names ??= [...this.#objects.keys()].sort());
  }
}

const spaces = new Map<string, MemorySpace>();

function openSpace(name: string): MemorySpace {
  let space = spaces.get(name);
  if (space === undefined) {
    space = new MemorySpace();
    spaces.set(name, space);
  }
  return space;
}

/** Forgets everything under `memory:<name>`. Stores that are open on it keep what they have; the name starts empty. */
export function dropMemoryStore(name: string): void {
  spaces.delete(name);
}

export interface MemoryStoreOptions {
  /** Stores with the same name share their objects; without one the store is alone. */
  readonly name?: string | undefined;
  /** Root within the space, without slashes at its ends. */
  readonly prefix?: string | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Objects in this process: for tests and simulations. Every operation takes effect at once, in the order of the calls.
 *
 * Owns nothing but its view: the objects live until {@link dropMemoryStore} or the end of the process.
 */
export class MemoryStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters = new OperationCounters();
  readonly #space: MemorySpace;
  readonly #root: string;
  readonly #clock: Clock;
  #closed = false;

  constructor(options: MemoryStoreOptions = {}) {
    const { name, prefix = '' } = options;
    this.#space = name === undefined ? new MemorySpace() : openSpace(name);
    this.#root = prefix === '' ? '' : `${prefix}/`;
    this.#clock = options.clock ?? new SystemClock();
    this.url = `memory:${name ?? ''}${prefix === '' ? '' : `/${prefix}`}`;
  }

  async get(name: string, range?: ByteRange): Promise<GetOutcome> {
    this.#check(name);
    validateRange(range);
    const stored = this.#space.get(this.#root + name);
    const bytes = stored?.bytes.slice(range?.offset ?? 0, range && range.offset + range.length);
    this.operations.add('get', 0, bytes?.length ?? 0);
    const serverTimeMs = this.#clock.now();
    if (stored === undefined || bytes === undefined) return { status: 'missing', serverTimeMs };
    return { status: 'found', bytes, etag: stored.etag, serverTimeMs };
  }

  async head(name: string): Promise<HeadOutcome> {
    this.#check(name);
    this.operations.add('head');
    const stored = this.#space.get(this.#root + name);
    const serverTimeMs = this.#clock.now();
    if (stored === undefined) return { status: 'missing', serverTimeMs };
    const { bytes, etag, commitId } = stored;
    return { status: 'found', sizeBytes: bytes.length, etag, commitId, serverTimeMs };
  }

  putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.compareAndSwap(name, bytes, undefined, commitId);
  }

  async compareAndSwap(
    name: string,
    bytes: Uint8Array,
    etag: string | undefined,
    commitId: string,
  ): Promise<PutOutcome> {
    this.#check(name);
    validateCommitId(commitId);
    this.operations.add('put', bytes.length);
    const current = this.#space.get(this.#root + name);
    const serverTimeMs = this.#clock.now();
    if (current?.etag !== etag) {
      if (current?.commitId !== commitId) return { status: 'lost', serverTimeMs };
      return { status: 'done', etag: current.etag, serverTimeMs, recognised: true };
    }
    const stored = this.#space.set(this.#root + name, bytes, commitId, serverTimeMs);
    return { status: 'done', etag: stored.etag, serverTimeMs, recognised: false };
  }

  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    this.#checkOpen();
    validatePrefix(prefix);
    this.operations.add('list');
    const from = this.#root + prefix;
    const afterName = after === undefined ? undefined : this.#root + after;
    // A snapshot of the names: what comes or goes during the walk may be missed or seen, as on a real store.
    const names = this.#space.sortedNames();
    for (let i = firstIndex(names, from, afterName); i < names.length; i++) {
      const name = names[i]!;
      if (!name.startsWith(from)) return;
      const stored = this.#space.get(name);
      if (stored === undefined) continue;
      const { bytes, modifiedMs } = stored;
      yield { name: name.slice(this.#root.length), sizeBytes: bytes.length, modifiedMs };
    }
  }

  async delete(names: readonly string[]): Promise<DeleteOutcome> {
    for (const name of names) this.#check(name);
    this.#checkOpen();
    if (names.length > 0) this.operations.add('delete');
    for (const name of names) this.#space.delete(this.#root + name);
    return { refused: [], serverTimeMs: this.#clock.now() };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(name: string): void {
    this.#checkOpen();
    validateObjectName(name);
  }

  #checkOpen(): void {
    if (this.#closed) throw new TidemarkError('CANCELLED', `The store ${this.url} is closed.`);
  }
}

/** Index of the first name that is at least `from` and greater than `after`. */
function firstIndex(names: readonly string[], from: string, after: string | undefined): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const name = names[middle]!;
    if (name < from || (after !== undefined && name <= after)) low = middle + 1;
    else high = middle;
  }
  return low;
}
