import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileFolder, ListedFile } from './file-folder.ts';
import { type FolderPattern, parseFolderPattern } from './folder-pattern.ts';

const statsUnderWayMax = 64;

/** A folder of this machine, or several that a pattern chooses. */
export class LocalFolder implements FileFolder {
  readonly url: string;
  readonly resolutionMs = 1;
  readonly #pattern: FolderPattern;

  /** `path`: absolute, with slashes. */
  constructor(path: string) {
    this.url = path;
    this.#pattern = parseFolderPattern(path);
  }

  async list(): Promise<ListedFile[]> {
    const { root, segments } = this.#pattern;
    let folders = [''];
    for (const segment of segments) folders = await this.#below(folders, segment);
    const keys: string[] = [];
    for (const folder of folders) {
      const entries = await readdir(join(root || '/', folder), { withFileTypes: true });
      for (const entry of entries) {
        if (entry.isFile() || entry.isSymbolicLink()) keys.push(folder === '' ? entry.name : `${folder}/${entry.name}`);
      }
    }
    keys.sort();
    const files: ListedFile[] = [];
    for (let from = 0; from < keys.length; from += statsUnderWayMax) {
      const some = await Promise.all(keys.slice(from, from + statsUnderWayMax).map((key) => this.#describe(key)));
      for (const file of some) if (file !== undefined) files.push(file);
    }
    return files;
  }

  pathOf(key: string): string {
    return `${this.#pattern.root}/${key}`;
  }

  async read(key: string, offset: number, length: number): Promise<Uint8Array | undefined> {
    const handle = await open(this.pathOf(key)).catch(unlessMissing);
    if (handle === undefined) return undefined;
    try {
      const bytes = new Uint8Array(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await handle.close();
    }
  }

  async close(): Promise<void> {}

  async #below(folders: readonly string[], segment: RegExp): Promise<string[]> {
    const found: string[] = [];
    for (const folder of folders) {
      const entries = await readdir(join(this.#pattern.root || '/', folder), { withFileTypes: true }).catch((error) => {
        // Chosen a moment ago and gone since; the root itself must be there.
        if (folder === '' || error.code !== 'ENOENT') throw error;
        return [];
      });
      for (const { name } of entries.filter((entry) => entry.isDirectory() && segment.test(entry.name))) {
        found.push(folder === '' ? name : `${folder}/${name}`);
      }
    }
    return found.sort();
  }

  async #describe(key: string): Promise<ListedFile | undefined> {
    const path = this.pathOf(key);
    const found = await stat(path).catch(unlessMissing);
    if (found === undefined || !found.isFile()) return undefined;
    const name = key.slice(key.lastIndexOf('/') + 1);
    // utimes() may set a time a nanosecond short of the millisecond that was meant.
    return { key, name, path, sizeBytes: found.size, modifiedMs: Math.floor(found.mtimeMs + 0.001) };
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}
