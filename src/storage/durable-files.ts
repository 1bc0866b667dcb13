import { type FileHandle, link, mkdir, open, readdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TidemarkError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';

const orphanAgeMs = 24 * 60 * 60 * 1000;

/** Asks the disk to keep what was written. Passed in so that tests can make it fail. */
export type SyncFile = (handle: FileHandle, path: string) => Promise<void>;

export const syncFile: SyncFile = (handle) => handle.sync();

/**
 * Creates files that are complete and durable from the moment their name exists, or not at all.
 *
 * Steps: write a temporary file, fsync it, link it to the final name (the kernel refuses a taken one), fsync the folder,
 * remove the temporary name. A crash leaves at most a temporary file, which no reader looks at.
 *
 * After a failed fsync the kernel may have dropped what it could not write, and a second fsync would report success: so
 * any failure is final for this object, and every later call fails with it.
 */
export class DurableFiles {
  readonly #temporaryFolder: string;
  readonly #random: Random;
  readonly #sync: SyncFile;
  #broken: TidemarkError | undefined;

  constructor(temporaryFolder: string, random: Random, sync: SyncFile = syncFile) {
    this.#temporaryFolder = temporaryFolder;
    this.#random = random;
    this.#sync = sync;
  }

  throwIfBroken(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }

  /**
   * `taken`: the name existed. `unsure`: the file is there, but the folder could not be synced, so it may be gone after
   * a power failure.
   *
   * @throws the error of the file system when nothing was created
   */
  async create(path: string, parts: readonly Uint8Array[]): Promise<'created' | 'taken' | 'unsure'> {
    this.throwIfBroken();
    const temporary = join(this.#temporaryFolder, this.#random.id());
    await this.#writeTemporary(temporary, parts);
    try {
      if (!(await this.#link(temporary, path))) return 'taken';
    } finally {
      // Only a second name of the content; if it stays, the sweep finds it.
      await unlink(temporary).catch(() => undefined);
    }
    try {
      await this.#syncFolder(dirname(path));
    } catch {
      return 'unsure';
    }
    return 'created';
  }

  /** Makes removals in a folder durable. */
  async syncRemovals(folder: string): Promise<void> {
    await this.#syncFolder(folder);
  }

  /** Removes what a process that died long ago left behind. */
  async sweep(nowMs: number): Promise<void> {
    for (const name of await readdir(this.#temporaryFolder).catch(() => [])) {
      const path = join(this.#temporaryFolder, name);
      const found = await stat(path).catch(() => undefined);
      if (found !== undefined && nowMs - found.mtimeMs > orphanAgeMs) await unlink(path).catch(() => undefined);
    }
  }

  async #writeTemporary(path: string, parts: readonly Uint8Array[]): Promise<void> {
    const handle = await orAfterMkdir(
      () => open(path, 'wx'),
      () => this.#makeFolder(this.#temporaryFolder),
    );
    try {
      for (const part of parts) await writeAll(handle, part);
      await this.#guarded(() => this.#sync(handle, path), path);
    } catch (error) {
      await unlink(path).catch(() => undefined);
      throw error;
    } finally {
      await handle.close();
    }
  }

  async #link(temporary: string, path: string): Promise<boolean> {
    try {
      await orAfterMkdir(
        () => link(temporary, path),
        () => this.#makeFolder(dirname(path)),
      );
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }

  /** A new folder is an entry in its parent: that must be durable too, up to the first that existed. */
  async #makeFolder(folder: string): Promise<void> {
    const first = await mkdir(folder, { recursive: true });
    if (first === undefined) return;
    for (let created = folder; created.length >= first.length; created = dirname(created)) {
      await this.#syncFolder(dirname(created));
    }
  }

  async #syncFolder(folder: string): Promise<void> {
    // Windows cannot open a folder for this; its file system journals names by itself.
    if (process.platform === 'win32') return;
    const handle = await open(folder, 'r');
    try {
      await this.#guarded(() => this.#sync(handle, folder), folder);
    } finally {
      await handle.close();
    }
  }

  async #guarded(sync: () => Promise<void>, path: string): Promise<void> {
    try {
      await sync();
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      this.#broken = new TidemarkError(
        'STORE_UNAVAILABLE',
        `The disk failed to keep ${path} (fsync: ${code}). This store takes no more calls; check the disk and start again.`,
        { cause, context: { path } },
      );
      throw this.#broken;
    }
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    offset += (await handle.write(bytes, offset)).bytesWritten;
  }
}

async function orAfterMkdir<T>(operation: () => Promise<T>, makeFolder: () => Promise<void>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await makeFolder();
  return operation();
}
