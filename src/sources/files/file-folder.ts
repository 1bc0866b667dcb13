/** A file that a file stream may read. */
export interface FileInfo {
  /** Last part of its path. */
  readonly name: string;
  /** As a person would write it: a path, or a URL. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** A file as a folder lists it. `key` finds it again: relative to the folder, with slashes. */
export interface ListedFile extends FileInfo {
  readonly key: string;
}

/** Where files appear: a local folder, or the objects of a store below a URL. */
export interface FileFolder {
  /** For messages, without secrets. */
  readonly url: string;
  /** Times of files are known to so many milliseconds. */
  readonly resolutionMs: number;

  /** Files directly in the folder, in order of their keys. @throws when there is no such folder, or it cannot be listed. */
  list(): Promise<ListedFile[]>;
  pathOf(key: string): string;
  /** Bytes of the file; undefined when it is gone. Fewer than asked for when it ends before. */
  read(key: string, offset: number, length: number): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
}
