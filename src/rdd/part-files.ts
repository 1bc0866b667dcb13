import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openObjectStore, type StoreOptions } from '../storage/open-store.ts';
import type { RDD } from './rdd.ts';
import type { TaskContext } from './task.ts';

export interface SaveOptions extends StoreOptions {
  /** Removes the parts of an earlier save first. For a batch that may be saved again after a crash. Default false. */
  readonly overwrite?: boolean | undefined;
}

/** Turns the rows of one partition into the bytes of one object. */
export interface PartEncoder<T> {
  readonly push: (row: T) => void;
  finish(): Uint8Array;
}

export interface PartFolder {
  readonly store: ObjectStore;
  /** Within the store: empty, or ending with a slash. */
  readonly prefix: string;
}

const successName = '_SUCCESS';
const partForm = /^part-\d{5,}$/;
const sendsMax = 3;

export function partName(partition: number): string {
  return `part-${String(partition).padStart(5, '0')}`;
}

/** Writes an RDD below a URL: opens the store, makes room, writes the parts, closes the store. */
export async function saveAsParts<T>(
  rdd: RDD<T>,
  action: string,
  url: string,
  options: SaveOptions,
  createEncoder: (partition: number) => PartEncoder<T>,
): Promise<void> {
  const { overwrite = false, ...storeOptions } = options;
  const store = await openObjectStore(url, { random: rdd.context.random, ...storeOptions });
  try {
    const folder = { store, prefix: '' };
    await makeRoom(folder, action, overwrite);
    await writeParts(rdd, folder, createEncoder);
  } finally {
    await store.close();
  }
}

/** @throws OUTPUT_EXISTS when anything is there, unless it is to be overwritten: then only parts of a save are removed. */
async function makeRoom({ store }: PartFolder, action: string, overwrite: boolean): Promise<void> {
  const old: string[] = [];
  for await (const { name } of store.list('')) {
    if (!overwrite) {
      throw new TidemarkError(
        'OUTPUT_EXISTS',
        `${action}: ${store.url} is not empty (${name}). Save to another URL, delete what is there, or give overwrite: true.`,
        { context: { url: store.url, object: name } },
      );
    }
    if (name === successName || partForm.test(name)) old.push(name);
  }
  // First, so that a reader never sees it beside a part that is gone.
  if (old.includes(successName)) await remove(store, [successName]);
  if (old.length > 0) await remove(store, old);
}

/**
 * One object per partition, then `_SUCCESS`. The folder is empty or ours. A partition's bytes are held in memory while
 * they are written. When the job fails, the parts are removed again as far as possible.
 */
export async function writeParts<T>(
  rdd: RDD<T>,
  { store, prefix }: PartFolder,
  createEncoder: (partition: number) => PartEncoder<T>,
  runner: RDD<T>['context']['runner'] = rdd.context.runner,
): Promise<void> {
  const written = new Set<string>();
  try {
    await runner.run(rdd, async (partition, task) => {
      const name = prefix + partName(partition);
      // What an earlier try of this task left behind, perhaps with other rows.
      if (written.has(name)) await remove(store, [name]);
      const encoder = createEncoder(partition);
      await rdd.pipe(partition, task, encoder.push);
      written.add(name);
      await put(store, name, encoder.finish(), rdd.context.random.id()).catch((error) => {
        if (error instanceof TidemarkError && error.code === 'OUTPUT_EXISTS') written.delete(name);
        throw error;
      });
    });
    await put(store, prefix + successName, new Uint8Array(0), rdd.context.random.id());
  } catch (error) {
    // The first error counts. What cannot be removed now makes the next save refuse the folder.
    await store.delete([...written]).catch(() => {});
    throw error;
  }
}

/** Sends the same bytes again while the outcome is unknown. @throws OUTPUT_EXISTS for an object of another writer */
async function put(store: ObjectStore, name: string, bytes: Uint8Array, commitId: string): Promise<void> {
  let cause: unknown;
  for (let sends = 0; sends < sendsMax; sends++) {
    const outcome = await store.putIfAbsent(name, bytes, commitId);
    if (outcome.status === 'done') return;
    if (outcome.status === 'lost') {
      throw new TidemarkError('OUTPUT_EXISTS', `${name} in ${store.url} was written by somebody else meanwhile.`, {
        context: { url: store.url, object: name },
      });
    }
    cause = outcome.cause;
  }
  throw new TidemarkError('STORE_UNAVAILABLE', `Whether ${name} in ${store.url} was written could not be learned.`, {
    cause,
    context: { url: store.url, object: name },
  });
}

async function remove(store: ObjectStore, names: readonly string[]): Promise<void> {
  const { refused } = await store.delete(names);
  if (refused.length === 0) return;
  throw new TidemarkError(
    'STORE_FORBIDDEN',
    `${store.url} refused to delete ${refused[0]} to make room for new output.`,
    {
      context: { url: store.url, objects: refused },
    },
  );
}

/** A store that several tasks use at the same time: opened by the first, closed by the last. */
export class SharedStore {
  /** May hold a secret. */
  readonly #url: string;
  readonly #options: StoreOptions;
  #users = 0;
  #opened: Promise<ObjectStore> | undefined;

  constructor(url: string, options: StoreOptions) {
    this.#url = url;
    this.#options = options;
  }

  async use<R>(work: (store: ObjectStore) => Promise<R>): Promise<R> {
    this.#users++;
    const opened = (this.#opened ??= openObjectStore(this.#url, this.#options));
    try {
      return await work(await opened);
    } finally {
      if (--this.#users === 0) {
        this.#opened = undefined;
        await opened.then((store) => store.close()).catch(() => {});
      }
    }
  }
}

/** Reads objects as partitions: partition i is `names[i]`. */
export function readParts<T>(
  store: SharedStore,
  names: readonly string[],
  read: (store: ObjectStore, name: string, push: (row: T) => void) => Promise<void>,
): (partition: number, task: TaskContext, push: (row: T) => void) => Promise<void> {
  return (partition, _, push) => store.use((opened) => read(opened, names[partition]!, push));
}

/** The whole object. @throws SOURCE_NOT_FOUND */
export async function readObject(store: ObjectStore, name: string): Promise<Uint8Array> {
  const found = await store.get(name);
  if (found.status === 'missing') throw missingObject(store, name);
  return found.bytes;
}

export function missingObject(store: ObjectStore, name: string): TidemarkError {
  return new TidemarkError(
    'SOURCE_NOT_FOUND',
    `${name} in ${store.url} was there when the input was listed and is gone.`,
    {
      context: { url: store.url, object: name },
    },
  );
}
