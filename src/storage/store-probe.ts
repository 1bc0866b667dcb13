import { TidemarkError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { ObjectStore, PutOutcome } from './object-store.ts';

/** What a checkpoint does with a store, and the letter of a SAS token that allows it. */
const permissions = {
  create: 'c',
  write: 'w',
  read: 'r',
  list: 'l',
  delete: 'd',
} as const;
type Permission = keyof typeof permissions;

const probeFolder = 'probe/';
// What a probe that was killed left behind. A younger object may be of one that is at work.
const leftoverAgeMs = 24 * 60 * 60 * 1000;
const leftoversMax = 100;
const sharedNames = 4;
const namesTried = 3;

const created = Buffer.from('created by the probe');
const replaced = Buffer.from('replaced by the probe');
const refused = Buffer.from('should have been refused');
const readRange = { offset: 3, length: 9 };

/**
 * Finds out with one small object whether a store does what a checkpoint is built on: that a taken name and an old
 * version are refused, that ranges are read as asked, and that nothing which the driver must do is forbidden. The object
 * is deleted at the end.
 *
 * Operations: 4 puts, 1 get, 1 list, 1 delete; on Azure also 2 heads that settle the two writes that must lose, and
 * 4 requests about the account. Five round trips, seven on Azure.
 *
 * @returns what the service says of itself that the user should know.
 * @throws STORE_UNSAFE; STORE_FORBIDDEN with all that is missing; what the store throws
 */
export async function probeStore(store: ObjectStore, random: Random): Promise<readonly string[]> {
  const probe = new Probe(store, random);
  const notices = await probe.run();
  if (probe.forbidden.size > 0) throw lacking(store, probe.forbidden);
  return notices;
}

class Probe {
  /** Permissions that turned out to be missing. */
  readonly forbidden = new Map<Permission, TidemarkError>();
  readonly #store: ObjectStore;
  readonly #random: Random;

  constructor(store: ObjectStore, random: Random) {
    this.#store = store;
    this.#random = random;
  }

  async run(): Promise<readonly string[]> {
    const { name, etag } = await this.#create();
    let leftovers: readonly string[] = [];
    let notices: readonly string[] = [];
    try {
      const replacedIt = await this.#tryConditions(name, etag);
      [leftovers, notices] = await Promise.all([
        this.#tryStale(name, etag, replacedIt).then(() => this.#tryList(name, etag)),
        etag === undefined ? [] : (this.#store.protections?.(name) ?? []),
      ]);
      await this.#tryRead(name, etag, replacedIt ? replaced : created);
    } catch (error) {
      await this.#store.delete([name]).catch(() => {});
      throw error;
    }
    const outcome = await this.#attempt('delete', () => this.#store.delete([name, ...leftovers]));
    if (outcome?.refused.includes(name)) {
      this.forbidden.set('delete', new TidemarkError('STORE_FORBIDDEN', `${this.#store.url} kept "${name}".`));
    }
    return notices;
  }

  /** `etag` undefined: creating is not permitted. */
  async #create(): Promise<{ readonly name: string; readonly etag: string | undefined }> {
    for (let attempt = 1; ; attempt++) {
      // Few names, because a folder keeps some versions of each. Another driver may use one now.
      const id = attempt <= namesTried ? String(Math.floor(this.#random.next() * sharedNames)) : this.#random.id();
      const name = probeFolder + id;
      const outcome = await this.#put('create', name, created, undefined);
      if (outcome?.status !== 'lost') return { name, etag: outcome?.etag };
      if (attempt > namesTried) throw unsafe(this.#store, 'it says that a name is taken which nobody has used');
    }
  }

  /** Whether the object was replaced. */
  async #tryConditions(name: string, etag: string | undefined): Promise<boolean> {
    if (etag === undefined) return false;
    const [again, swapped] = await Promise.all([
      // A token that may create but not write is refused here, because the name is taken.
      this.#put('write', name, refused, undefined),
      this.#put('write', name, replaced, etag),
    ]);
    if (again?.status === 'done') {
      throw unsafe(this.#store, 'it replaced an object although the write was to create a new one (If-None-Match)');
    }
    if (swapped?.status === 'lost') {
      throw unsafe(this.#store, 'it refused to replace an object that had not changed (If-Match)');
    }
    return swapped !== undefined;
  }

  async #tryStale(name: string, etag: string | undefined, replacedIt: boolean): Promise<void> {
    if (!replacedIt) return;
    const outcome = await this.#put('write', name, refused, etag);
    if (outcome?.status === 'done') {
      throw unsafe(this.#store, 'it replaced an object that had changed since it was read (If-Match)');
    }
  }

  /** What earlier probes left behind. */
  async #tryList(name: string, etag: string | undefined): Promise<readonly string[]> {
    const modified = await this.#attempt('list', async () => {
      const found = new Map<string, number>();
      for await (const info of this.#store.list(probeFolder)) found.set(info.name, info.modifiedMs);
      return found;
    });
    if (modified === undefined || etag === undefined) return [];
    const ownMs = modified.get(name);
    if (ownMs === undefined) throw unsafe(this.#store, 'it does not list an object that was written before');
    return [...modified]
      .filter(([, modifiedMs]) => modifiedMs < ownMs - leftoverAgeMs)
      .map(([leftover]) => leftover)
      .slice(0, leftoversMax);
  }

  async #tryRead(name: string, etag: string | undefined, content: Uint8Array): Promise<void> {
    const outcome = await this.#attempt('read', () => this.#store.get(name, readRange));
    if (outcome === undefined || etag === undefined) return;
    const expected = content.subarray(readRange.offset, readRange.offset + readRange.length);
    if (outcome.status === 'found' && Buffer.compare(outcome.bytes, expected) === 0) return;
    throw unsafe(this.#store, 'it does not give back what was written last, or not the range that was asked for');
  }

  async #put(
    permission: Permission,
    name: string,
    bytes: Uint8Array,
    etag: string | undefined,
  ): Promise<Exclude<PutOutcome, { readonly status: 'unknown' }> | undefined> {
    const outcome = await this.#attempt(permission, () =>
      this.#store.compareAndSwap(name, bytes, etag, this.#random.id()),
    );
    if (outcome?.status !== 'unknown') return outcome;
    throw new TidemarkError('STORE_UNAVAILABLE', `${this.#store.url} did not answer a write of the probe.`, {
      cause: outcome.cause,
    });
  }

  /** Undefined: not permitted, which is noted. */
  async #attempt<T>(permission: Permission, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof TidemarkError) || error.code !== 'STORE_FORBIDDEN') throw error;
      this.forbidden.set(permission, error);
      return undefined;
    }
  }
}

function unsafe(store: ObjectStore, what: string): TidemarkError {
  return new TidemarkError(
    'STORE_UNSAFE',
    `${store.url} cannot hold a checkpoint: ${what}. Two drivers could overwrite each other's batches there. Use Azure Blob Storage itself, without a proxy or gateway that drops conditional headers, or a local disk.`,
    { context: { url: store.url } },
  );
}

function lacking(store: ObjectStore, forbidden: ReadonlyMap<Permission, TidemarkError>): TidemarkError {
  const missing = [...forbidden.keys()];
  const [cause] = forbidden.values();
  const isFolder = store.url.startsWith('file:');
  const list = missing.map((permission) => {
    return isFolder ? permission : `${permission} (SAS letter ${permissions[permission]})`;
  });
  const advice = isFolder
    ? 'Give the user of this process read and write access to the folder and what is in it.'
    : `Grant the role Storage Blob Data Contributor on the container, or use a SAS token with all of sp=${Object.values(permissions).sort().join('')}. If the credentials allow it, a legal hold, an immutability policy or the network rules of the account may forbid it.`;
  return new TidemarkError(
    'STORE_FORBIDDEN',
    `A checkpoint at ${store.url} is not permitted to: ${list.join(', ')}. ${advice}`,
    { cause, context: { url: store.url, missing } },
  );
}
