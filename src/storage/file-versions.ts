import { type FileHandle, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { DurableFiles } from './durable-files.ts';
import { internalFolder } from './object-name.ts';

/** Versions that stay on disk behind the newest one. */
const keptVersions = 16;
/** A reader starts again when a writer removes the file it was about to open; nothing swaps that fast for long. */
const readAttemptsMax = 100;

const live = Uint8Array.of(1);
const deleted = Uint8Array.of(0);

/** The object as it is now. `handle` must be closed; it stays readable whatever writers do. */
export interface CurrentFile {
  /** 0: the plain file, or nothing was ever there. */
  readonly version: number;
  readonly file: { readonly handle: FileHandle; readonly headerBytes: number } | undefined;
}

export type SwapResult = 'done' | 'lost' | 'unsure';

/**
 * Objects that change, as a chain of files that do not.
 *
 * An object is created as a plain file under its own name: that is version 0. A swap creates version k + 1 with the
 * same link() that refuses a taken name, in `versions/<name>/`: whoever links it has swapped version k, everyone else
 * has lost. The highest version is the object. There is no lock, so a crash at any point blocks nobody, and it works
 * between machines wherever link() is atomic.
 *
 * Invariants
 *   V1. The highest version of an object is never removed; a deleted object is a version that says so.
 *   V2. Version k is removed only when version k + 16 exists. So a writer that finds less than that above its own
 *       version knows that nobody had held its number before, and that it has swapped; with more it cannot know.
 */
export class FileVersions {
  readonly #root: string;
  readonly #files: DurableFiles;

  constructor(root: string, files: DurableFiles) {
    this.#root = root;
    this.#files = files;
  }

  async openCurrent(name: string): Promise<CurrentFile> {
    for (let attempt = 0; attempt < readAttemptsMax; attempt++) {
      const version = (await this.#list(name)).at(-1) ?? 0;
      if (version > 0) {
        const handle = await openFile(this.#pathOf(name, version));
        if (handle === undefined) continue;
        if (await isDeleted(handle)) {
          await handle.close();
          return { version, file: undefined };
        }
        return { version, file: { handle, headerBytes: live.length } };
      }
      const handle = await this.openPlain(name);
      if (handle !== undefined) return { version, file: { handle, headerBytes: 0 } };
      // Not there, unless the first swap came between the two looks.
      if ((await this.#list(name)).length === 0) return { version, file: undefined };
    }
    throw new Error(`"${name}" changed in each of ${readAttemptsMax} attempts to read it`);
  }

  /** Version 0, also if there are newer ones. The caller closes it. */
  openPlain(name: string): Promise<FileHandle | undefined> {
    return openFile(join(this.#root, name));
  }

  /** Replaces version `version` by these bytes; undefined: by nothing. */
  async swap(name: string, version: number, bytes: Uint8Array | undefined): Promise<SwapResult> {
    const next = version + 1;
    const result = await this.#files.create(this.#pathOf(name, next), bytes === undefined ? [deleted] : [live, bytes]);
    if (result !== 'created') return result === 'taken' ? 'lost' : 'unsure';
    return this.#confirm(name, next);
  }

  /** Creates an object that never existed, as a plain file. */
  async createPlain(name: string, bytes: Uint8Array): Promise<SwapResult> {
    const result = await this.#files.create(join(this.#root, name), [bytes]);
    if (result !== 'created') return result === 'taken' ? 'lost' : 'unsure';
    return this.#confirm(name, 0);
  }

  /** Names with versions, deleted or not. */
  async *names(folder = ''): AsyncIterable<string> {
    const path = join(this.#root, internalFolder, 'versions', folder);
    for (const entry of await readFolder(path)) {
      if (entry === internalFolder) yield folder;
      else yield* this.names(folder === '' ? entry : `${folder}/${entry}`);
    }
  }

  /** V2: are we the first that ever held this version? Then the older ones may go. */
  async #confirm(name: string, mine: number): Promise<SwapResult> {
    const versions = await this.#list(name);
    const highest = versions.at(-1) ?? 0;
    if (highest >= mine + keptVersions) return 'unsure';
    if (mine < keptVersions) return 'done';
    for (const version of versions) {
      if (version > mine - keptVersions) break;
      await unlink(this.#pathOf(name, version)).catch(() => undefined);
    }
    await unlink(join(this.#root, name)).catch(() => undefined);
    return 'done';
  }

  /** Ascending. */
  async #list(name: string): Promise<number[]> {
    const names = await readFolder(join(this.#root, internalFolder, 'versions', name, internalFolder));
    return names.map(Number).sort((a, b) => a - b);
  }

  #pathOf(name: string, version: number): string {
    const file = String(version).padStart(20, '0');
    return join(this.#root, internalFolder, 'versions', name, internalFolder, file);
  }
}

async function isDeleted(handle: FileHandle): Promise<boolean> {
  const header = new Uint8Array(1);
  await handle.read(header, 0, 1, 0);
  return header[0] === deleted[0];
}

/** Undefined when there is no such file; a folder is no file. */
async function openFile(path: string): Promise<FileHandle | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  return undefined;
}

async function readFolder(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

export function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR';
}
