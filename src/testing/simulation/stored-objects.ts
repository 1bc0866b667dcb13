export interface StoredObject {
  readonly bytes: Uint8Array;
  readonly etag: string;
  readonly commitId: string;
  readonly modifiedMs: number;
}

/** Sees every change of the objects as it happens. */
export interface StoreObserver {
  written(name: string, bytes: Uint8Array): void;
  deleted(name: string, names: readonly string[]): void;
}

/** The objects of a simulated store. Every change takes effect at once; who asked for it, and when, is not known here. */
export class StoredObjects {
  readonly #objects = new Map<string, StoredObject>();
  readonly #observer: StoreObserver;
  #etags = 0;
  #names: readonly string[] | undefined;

  constructor(observer: StoreObserver) {
    this.#observer = observer;
  }

  get(name: string): StoredObject | undefined {
    return this.#objects.get(name);
  }

  /** Undefined: another object is there. */
  put(
    name: string,
    bytes: Uint8Array,
    etag: string | undefined,
    commitId: string,
    nowMs: number,
  ): { readonly object: StoredObject; readonly recognised: boolean } | undefined {
    const current = this.#objects.get(name);
    if (current?.etag !== etag) {
      return current?.commitId === commitId ? { object: current, recognised: true } : undefined;
    }
    if (current === undefined) this.#names = undefined;
    this.#etags += 1;
    const object = { bytes, etag: String(this.#etags), commitId, modifiedMs: nowMs };
    this.#objects.set(name, object);
    this.#observer.written(name, bytes);
    return { object, recognised: false };
  }

  delete(names: readonly string[]): void {
    for (const name of names) {
      if (!this.#objects.delete(name)) continue;
      this.#names = undefined;
      this.#observer.deleted(name, names);
    }
  }

  /** Up to `count` names with the prefix, in order, after `after`. */
  list(prefix: string, after: string | undefined, count: number): readonly string[] {
    this.#names ??= [...this.#objects.keys()].sort();
    const found: string[] = [];
    for (const name of this.#names) {
      if (!name.startsWith(prefix) || (after !== undefined && name <= after)) continue;
      found.push(name);
      if (found.length === count) break;
    }
    return found;
  }

  names(): readonly string[] {
    return [...this.#objects.keys()].sort();
  }
}
