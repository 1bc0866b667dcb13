import type { FileInfo } from './file-folder.ts';

/** What decides which files are new for a batch. Source: Spark's `FileInputDStream`. */
export interface NewFileRule {
  readonly batchTimeMs: number;
  /** Files up to this time are never new: the start of the stream with `newFilesOnly`, else 0. */
  readonly initialThresholdMs: number;
  /** How far back a batch looks. */
  readonly rememberMs: number;
  /** Up to here every file was chosen or refused: after an outage a batch looks back to it, however long ago it was. */
  readonly listedMs: number;
  readonly isRecent: (file: FileInfo) => boolean;
  readonly filter: (file: FileInfo) => boolean;
}

/** A file is new when it passes the filter, is newer than the threshold and not newer than the batch, and was not chosen lately. */
export function newFiles<F extends FileInfo>(files: readonly F[], rule: NewFileRule): F[] {
  const { batchTimeMs, initialThresholdMs, isRecent, filter } = rule;
  const thresholdMs = Math.max(initialThresholdMs, lookBackMs(rule));
  return files.filter(
    (file) => file.modifiedMs > thresholdMs && file.modifiedMs <= batchTimeMs && !isRecent(file) && filter(file),
  );
}

export function lookBackMs({
  batchTimeMs,
  rememberMs,
  listedMs,
}: Pick<NewFileRule, 'batchTimeMs' | 'rememberMs' | 'listedMs'>): number {
  return Math.min(batchTimeMs - rememberMs, listedMs);
}

/** A whole number of batches, at least as long as asked for. */
export function rememberMs(minRememberMs: number, batchIntervalMs: number): number {
  return Math.ceil(minRememberMs / batchIntervalMs) * batchIntervalMs;
}
