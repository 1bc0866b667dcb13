import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, type FileHandle, readdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Clock, SystemClock } from '../base/clock.ts';
import { TidemarkError, toError } from '../base/errors.ts';
import { type Random, SystemRandom } from '../base/random.ts';
import { DurableFiles, type SyncFile } from './durable-files.ts';
import { type CurrentFile, FileVersions, isMissing, type SwapResult } from './file-versions.ts';
import { internalFolder, validateCommitId, validateObjectName, validatePrefix, validateRange } from './object-name.ts';
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
import type { FileLocation } from './store-url.ts';

export interface FileStoreOptions {
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** For tests of failing disks. */
  readonly syncFile?: SyncFile | undefined;
}

const etagPartBytes = 64 * 1024;
const statsUnderWayMax = 64;

/**
 * Opens a folder as a store. It is created by the first write.
 *
 * @throws TidemarkError URL_INVALID when the path is a file; STORE_FORBIDDEN
 */
export async function openFileStore(location: FileLocation, options: FileStoreOptions = {}): Promise<FileStore> {
  const store = new FileStore(location, options);
  await store.verify();
  return store;
}

/**
 * Objects as files in a folder: for a laptop or a disk that several processes share.
 *
 * Every object is created whole and durable (durable-files), every change is a new file (file-versions). The bytes of a
 * write hold its commit id, so an own write is recognised by comparing bytes; `head` knows no commit id.
 *
 * Differs from the flat stores: one name cannot be a folder of another (`a` and `a/b`), and a segment is limited to 255
 * bytes; both end in OPTION_INVALID. A `delete` and a `compareAndSwap` of one name at the same time may both succeed.
 */
export class FileStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters = new OperationCounters();
  readonly #root: string;
  readonly #clock: Clock;
  readonly #files: DurableFiles;
  readonly #versions: FileVersions;
  #closed = false;

  constructor(location: FileLocation, options: FileStoreOptions = {}) {
    this.url = location.url;
    this.#root = location.path;
    this.#clock = options.clock ?? new SystemClock();
    const temporary = join(this.#root, internalFolder, 'temporary');
    this.#files = new DurableFiles(temporary, options.random ?? new SystemRandom(), options.syncFile);
    this.#versions = new FileVersions(this.#root, this.#files);
  }

  async verify(): Promise<void> {
    await this.#translating('', async () => {
      const found = await stat(this.#root).catch((error) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (found === undefined) return;
      if (!found.isDirectory()) {
        throw new TidemarkError('URL_INVALID', `${this.url} is a file; a store needs a folder.`);
      }
      await access(this.#root, constants.R_OK | constants.X_OK);
      await this.#files.sweep(this.#clock.now());
    });
  }

  async get(name: string, range?: ByteRange): Promise<GetOutcome> {
    this.#check(name);
    validateRange(range);
    return this.#withCurrent(name, async ({ version, file }) => {
      const serverTimeMs = this.#clock.now();
      if (file === undefined) {
        this.operations.add('get');
        return { status: 'missing', serverTimeMs };
      }
      const sizeBytes = (await file.handle.stat()).size - file.headerBytes;
      const offset = Math.min(range?.offset ?? 0, sizeBytes);
      const length = Math.min(range?.length ?? sizeBytes, sizeBytes - offset);
      const bytes = await readExactly(file.handle, file.headerBytes + offset, length);
      this.operations.add('get', 0, bytes.length);
      return { status: 'found', bytes, etag: await etagOf(version, file.handle), serverTimeMs };
    });
  }

  async head(name: string): Promise<HeadOutcome> {
    this.#check(name);
    this.operations.add('head');
    return this.#withCurrent(name, async ({ version, file }) => {
      const serverTimeMs = this.#clock.now();
      if (file === undefined) return { status: 'missing', serverTimeMs };
      const sizeBytes = (await file.handle.stat()).size - file.headerBytes;
      const etag = await etagOf(version, file.handle);
      return { status: 'found', sizeBytes, etag, commitId: undefined, serverTimeMs };
    });
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
    const before = await this.#withCurrent(name, async ({ version, file }) => ({
      version,
      etag: file && (await etagOf(version, file.handle)),
    }));
    if (before.etag !== etag) return this.#recognise(name, bytes);
    return this.#translating(name, async () => {
      if (etag === undefined && before.version === 0) {
        const result = await this.#versions.createPlain(name, bytes);
        // Its tag holds the time of the file, so it is read back; whoever swapped it since left the file in place.
        const written = result === 'done' ? await this.#versions.openPlain(name) : undefined;
        const tag = written && (await etagOf(0, written).finally(() => written.close()));
        return this.#outcomeOf(result, name, bytes, tag);
      }
      const result = await this.#versions.swap(name, before.version, bytes);
      return this.#outcomeOf(result, name, bytes, `v${before.version + 1}`);
    });
  }

  async *list(prefix: string, after = ''): AsyncIterable<ObjectInfo> {
    this.#checkOpen();
    validatePrefix(prefix);
    this.operations.add('list');
    const versioned: string[] = [];
    for await (const name of this.#versions.names()) {
      if (name.startsWith(prefix) && name > after) versioned.push(name);
    }
    versioned.sort();
    let next = 0;
    for await (const plain of this.#walk('', prefix, after)) {
      for (; next < versioned.length && versioned[next]! < plain.name; next++) yield* this.#describe(versioned[next]!);
      if (versioned[next] !== plain.name) yield plain;
    }
    for (; next < versioned.length; next++) yield* this.#describe(versioned[next]!);
  }

  async delete(names: readonly string[]): Promise<DeleteOutcome> {
    for (const name of names) this.#check(name);
    this.#checkOpen();
    if (names.length > 0) this.operations.add('delete');
    const refused: string[] = [];
    const folders = new Set<string>();
    for (const name of names) {
      try {
        if (await this.#remove(name)) folders.add(dirname(join(this.#root, name)));
      } catch (error) {
        const { code } = toError(error) as NodeJS.ErrnoException;
        if (code !== 'EACCES' && code !== 'EPERM') throw this.#translate(name, error);
        refused.push(name);
      }
    }
    for (const folder of folders) await this.#translating('', () => this.#files.syncRemovals(folder));
    return { refused, serverTimeMs: this.#clock.now() };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** True when a plain file was removed. */
  async #remove(name: string): Promise<boolean> {
    for (;;) {
      const { version, file } = await this.#versions.openCurrent(name);
      await file?.handle.close();
      if (file === undefined) return false;
      if (version > 0) {
        // Another writer may swap first; then its object is the one to delete.
        if ((await this.#versions.swap(name, version, undefined)) !== 'lost') return false;
        continue;
      }
      await unlink(join(this.#root, name)).catch((error) => {
        if (!isMissing(error)) throw error;
      });
      return true;
    }
  }

  async #outcomeOf(result: SwapResult, name: string, bytes: Uint8Array, etag: string | undefined): Promise<PutOutcome> {
    if (result === 'lost') return this.#recognise(name, bytes);
    if (result === 'unsure' || etag === undefined) {
      return { status: 'unknown', cause: new Error(`the write of "${name}" may not have been kept`) };
    }
    return { status: 'done', etag, serverTimeMs: this.#clock.now(), recognised: false };
  }

  /** Someone was first. Was it us, in an attempt whose answer did not arrive? */
  async #recognise(name: string, bytes: Uint8Array): Promise<PutOutcome> {
    return this.#withCurrent(name, async ({ version, file }) => {
      const serverTimeMs = this.#clock.now();
      if (file === undefined) {
        const found = await stat(join(this.#root, name)).catch(() => undefined);
        if (version === 0 && found?.isDirectory()) {
          throw new TidemarkError('OPTION_INVALID', `The name "${name}" is a folder of other objects in ${this.url}.`);
        }
        return { status: 'lost', serverTimeMs };
      }
      const sizeBytes = (await file.handle.stat()).size - file.headerBytes;
      if (sizeBytes !== bytes.length) return { status: 'lost', serverTimeMs };
      const there = await readExactly(file.handle, file.headerBytes, sizeBytes);
      if (Buffer.compare(there, bytes) !== 0) return { status: 'lost', serverTimeMs };
      return { status: 'done', etag: await etagOf(version, file.handle), serverTimeMs, recognised: true };
    });
  }

  /** Plain files under `folder` (ending in a slash, or empty), in order of their full names. */
  async *#walk(folder: string, prefix: string, after: string): AsyncIterable<ObjectInfo> {
    const entries = await this.#translating(folder, () =>
      readdir(join(this.#root, folder), { withFileTypes: true }).catch((error) => {
        if (isMissing(error)) return [];
        throw error;
      }),
    );
    // With its slash a folder sorts where the names in it belong: "a-b" is before "a/b".
    const names = entries
      .filter((entry) => entry.name !== internalFolder && (entry.isFile() || entry.isDirectory()))
      .map((entry) => folder + entry.name + (entry.isDirectory() ? '/' : ''))
      .filter((name) => (name.endsWith('/') ? mayHold(name, prefix, after) : name.startsWith(prefix) && name > after))
      .sort();
    for (let i = 0; i < names.length; ) {
      if (names[i]!.endsWith('/')) {
        yield* this.#walk(names[i++]!, prefix, after);
        continue;
      }
      const files: string[] = [];
      while (i < names.length && files.length < statsUnderWayMax && !names[i]!.endsWith('/')) files.push(names[i++]!);
      const found = await Promise.all(files.map((name) => stat(join(this.#root, name)).catch(() => undefined)));
      for (const [index, name] of files.entries()) {
        const file = found[index];
        if (file !== undefined) yield { name, sizeBytes: file.size, modifiedMs: Math.floor(file.mtimeMs) };
      }
    }
  }

  async *#describe(name: string): AsyncIterable<ObjectInfo> {
    const info = await this.#withCurrent(name, async ({ file }) => {
      if (file === undefined) return undefined;
      const { size, mtimeMs } = await file.handle.stat();
      return { name, sizeBytes: size - file.headerBytes, modifiedMs: Math.floor(mtimeMs) };
    });
    if (info !== undefined) yield info;
  }

  async #withCurrent<T>(name: string, use: (current: CurrentFile) => Promise<T>): Promise<T> {
    return this.#translating(name, async () => {
      const current = await this.#versions.openCurrent(name);
      try {
        return await use(current);
      } finally {
        await current.file?.handle.close();
      }
    });
  }

  async #translating<T>(name: string, operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      throw this.#translate(name, error);
    }
  }

  #translate(name: string, thrown: unknown): TidemarkError {
    if (thrown instanceof TidemarkError) return thrown;
    const cause = toError(thrown);
    const { code } = cause as NodeJS.ErrnoException;
    const where = name === '' ? this.url : `"${name}" in ${this.url}`;
    const options = { cause, context: { name, code } };
    switch (code) {
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        return new TidemarkError('STORE_FORBIDDEN', `No permission for ${where} (${code}).`, options);
      case 'ENAMETOOLONG':
        return new TidemarkError('OPTION_INVALID', `The name is too long for the file system: ${where}.`, options);
      case 'ENOTDIR':
      case 'EISDIR':
      case 'EEXIST':
        return new TidemarkError('OPTION_INVALID', `A segment of the name is an object itself: ${where}.`, options);
      default:
        return new TidemarkError('STORE_UNAVAILABLE', `${where} failed: ${code ?? cause.message}.`, options);
    }
  }

  #check(name: string): void {
    this.#checkOpen();
    validateObjectName(name);
  }

  #checkOpen(): void {
    if (this.#closed) throw new TidemarkError('CANCELLED', `The store ${this.url} is closed.`);
    this.#files.throwIfBroken();
  }
}

/** Can a name in `folder` start with `prefix` and be after `after`? */
function mayHold(folder: string, prefix: string, after: string): boolean {
  if (!folder.startsWith(prefix) && !prefix.startsWith(folder)) return false;
  return folder > after || after.startsWith(folder);
}

/**
 * A version is its own tag. A plain file is tagged by its size, time, beginning and end: cheap for a range of a large
 * file, and the commit id stands at the beginning of what we write.
 */
async function etagOf(version: number, handle: FileHandle): Promise<string> {
  if (version > 0) return `v${version}`;
  const { size, mtimeNs } = await handle.stat({ bigint: true });
  const sizeBytes = Number(size);
  const hash = createHash('sha256').update(`${size} ${mtimeNs} `);
  hash.update(await readExactly(handle, 0, Math.min(sizeBytes, etagPartBytes)));
  const tail = Math.max(etagPartBytes, sizeBytes - etagPartBytes);
  if (tail < sizeBytes) hash.update(await readExactly(handle, tail, sizeBytes - tail));
  return `p${hash.digest('hex').slice(0, 32)}`;
}

async function readExactly(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let read = 0; read < length; ) {
    const { bytesRead } = await handle.read(bytes, read, length - read, position + read);
    if (bytesRead === 0) throw new Error(`the file ended after ${read} of ${length} bytes`);
    read += bytesRead;
  }
  return bytes;
}
