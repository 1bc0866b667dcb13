import type { Clock } from '../../base/clock.ts';
import { TidemarkError, toError } from '../../base/errors.ts';
import { positiveInteger, requireKnownOptions } from '../../base/options.ts';
import { Duration } from '../../base/time.ts';
import { type StoreOptions, storeOptionNames } from '../../storage/open-store.ts';
import { durationMs } from '../receiver/receiver-options.ts';
import type { PushChunk, Source, SourcePlan, SourceReading, SourceStart } from '../source.ts';
import type { FileFolder, FileInfo, ListedFile } from './file-folder.ts';
import { type FileFormat, type FileReader, readerFormat, recordFormat, textFormat } from './file-formats.ts';
import { lookBackMs, newFiles, rememberMs } from './new-files.ts';
import { locateFolder } from './open-folder.ts';

/** Which files, and how to get in (as for every store). */
export interface FileStreamOptions extends StoreOptions {
  /** Which files are read. Default: those whose name does not begin with a dot. */
  readonly filter?: ((file: FileInfo) => boolean) | undefined;
  /** Files from before the first start are left out. Default true; false takes those of the remembered time. */
  readonly newFilesOnly?: boolean | undefined;
  /** How late a file may appear after the time it carries. Default 60 s. */
  readonly minRememberDuration?: Duration | undefined;
  /** A batch chooses so many files at most, the oldest; the next ones take the others. Default 10,000. */
  readonly filesPerBatchMax?: number | undefined;
  /** A file that is gone before its batch has read it: `fail` the batch with DATA_LOSS, or `skip` it with a warning. Default `fail`. */
  readonly onDataLoss?: 'fail' | 'skip' | undefined;
}

export interface FileReadOptions<T> extends FileStreamOptions {
  /** Rows of a file, from all its bytes. Default: its lines. */
  readonly read?: FileReader<T> | undefined;
}

const optionNames = [
  'filter',
  'newFilesOnly',
  'minRememberDuration',
  'filesPerBatchMax',
  'onDataLoss',
  ...storeOptionNames,
] as const satisfies readonly (keyof FileStreamOptions)[];

const describedFilesMax = 100;
const chunkBytes = 8 * 1024 * 1024;

/** Lines of the text files that appear in a folder. @throws OPTION_INVALID, URL_INVALID */
export function textFileSource(url: string, options: FileStreamOptions = {}): Source<string> {
  return new FileSource(url, options, textFormat);
}

/** Rows that `read` makes of the files that appear in a folder. @throws OPTION_INVALID, URL_INVALID */
export function fileSource<T = string>(url: string, options: FileReadOptions<T> = {}): Source<T> {
  const { read, ...rest } = options;
  return new FileSource<T>(
    url,
    rest,
    read === undefined ? (textFormat as FileFormat<unknown> as FileFormat<T>) : readerFormat(read),
  );
}

/** Records of a fixed length from the files that appear in a folder. @throws OPTION_INVALID, URL_INVALID */
export function binaryRecordsSource(
  url: string,
  recordLength: number,
  options: FileStreamOptions = {},
): Source<Uint8Array> {
  return new FileSource(url, options, recordFormat(positiveInteger('recordLength', recordLength)));
}

/** What is durable after every batch. */
interface FilePosition {
  readonly initialThresholdMs: number;
  /** Every file up to this time was chosen or refused. */
  readonly listedMs: number;
  /** Files chosen lately, by batch time, so that none is chosen twice. */
  readonly recent: readonly (readonly [timeMs: number, keys: readonly string[]])[];
}

interface PlannedFile {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/**
 * Files that appear in a folder, each in exactly one batch: the one of its modification time, or, when it shows up later,
 * the next one within the remembered time.
 *
 * The chosen files are the plan, so a replay reads exactly them, and what has been chosen is part of the position. A
 * folder that cannot be listed gives an empty batch and a warning; the next batch that can looks back to the last good
 * listing. Source: Spark's `FileInputDStream`. Differs: an outage longer than the remembered time loses nothing, and a
 * file that was changed after it was chosen is an error instead of other rows.
 */
class FileSource<T> implements Source<T> {
  readonly kind = 'file';
  readonly identity: Readonly<Record<string, string>>;
  readonly #folder: FileFolder;
  readonly #format: FileFormat<T>;
  readonly #filter: (file: FileInfo) => boolean;
  readonly #newFilesOnly: boolean;
  readonly #minRememberMs: number;
  readonly #filesMax: number;
  readonly #skipsLost: boolean;
  #clock: Clock | undefined;
  #warn: (text: string) => void = () => {};
  #rememberMs = 0;
  #position: FilePosition = { initialThresholdMs: 0, listedMs: 0, recent: [] };
  #isFailing = false;
  #isStopped = false;

  constructor(url: string, options: FileStreamOptions, format: FileFormat<T>) {
    requireKnownOptions('A file stream', options, optionNames);
    const {
      filter = isVisible,
      newFilesOnly = true,
      minRememberDuration,
      filesPerBatchMax,
      onDataLoss = 'fail',
      ...store
    } = options;
    if (onDataLoss !== 'fail' && onDataLoss !== 'skip') {
      throw new TidemarkError('OPTION_INVALID', `onDataLoss is '${String(onDataLoss)}'; give 'fail' or 'skip'.`);
    }
    this.#folder = locateFolder(url, store);
    this.identity = { folder: this.#folder.url };
    this.#format = format;
    this.#filter = filter;
    this.#newFilesOnly = newFilesOnly;
    this.#minRememberMs = durationMs('minRememberDuration', minRememberDuration ?? new Duration(60_000), 1);
    this.#filesMax = positiveInteger('filesPerBatchMax', filesPerBatchMax ?? 10_000);
    this.#skipsLost = onDataLoss === 'skip';
  }

  async start({ position, clock, warn, batchIntervalMs }: SourceStart): Promise<void> {
    this.#clock = clock;
    this.#warn = warn;
    this.#rememberMs = rememberMs(this.#minRememberMs, batchIntervalMs);
    this.#position = (position as FilePosition | undefined) ?? (await this.#firstPosition(clock.now()));
  }

  /** A plan names the files, and each thread opens the folder for itself. */
  async startReading({ clock, warn }: SourceReading): Promise<void> {
    this.#clock = clock;
    this.#warn = warn;
  }

  position(): FilePosition {
    return this.#position;
  }

  async plan(batchTimeMs: number): Promise<SourcePlan> {
    const files = await this.#list();
    if (files === undefined) return { partitions: [], position: this.#position, records: 0 };
    const { initialThresholdMs, listedMs, recent } = this.#position;
    const known = new Set(recent.flatMap(([, keys]) => keys));
    const chosen = newFiles(files, {
      batchTimeMs,
      initialThresholdMs,
      rememberMs: this.#rememberMs,
      listedMs,
      isRecent: (file) => known.has((file as ListedFile).key),
      filter: this.#filter,
    });
    const left = chosen.length > this.#filesMax ? chosen.sort(byTime).splice(this.#filesMax) : [];
    chosen.sort(byKey);
    this.#position = this.#after(batchTimeMs, chosen, left[0]);
    const partitions = chosen.map(({ key, sizeBytes, modifiedMs }): PlannedFile => ({ key, sizeBytes, modifiedMs }));
    return { partitions, position: this.#position, records: 0 };
  }

  adopt(plan: SourcePlan): void {
    this.#position = plan.position as FilePosition;
  }

  async read(plan: SourcePlan, partition: number, push: PushChunk<T>): Promise<void> {
    const planned = plan.partitions[partition] as PlannedFile;
    const path = this.#folder.pathOf(planned.key);
    const file = { ...planned, path, name: planned.key.slice(planned.key.lastIndexOf('/') + 1) };
    try {
      await this.#format(this.#chunks(file), file, push);
    } catch (error) {
      if (!(error instanceof TidemarkError && error.code === 'DATA_LOSS' && this.#skipsLost)) throw error;
      this.#warn(`${error.message} It is left out, as onDataLoss: 'skip' says.`);
    }
  }

  /** The files, the first ones of many. */
  describePlan({ partitions }: SourcePlan): string {
    const paths = partitions.slice(0, describedFilesMax).map((file) => this.#folder.pathOf((file as PlannedFile).key));
    const more = partitions.length - paths.length;
    return [...paths, ...(more > 0 ? [`and ${more} more`] : [])].join('\n');
  }

  committed(): void {}

  /** How many records a file holds is not known before it is read. */
  backlog(): number {
    return 0;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#folder.close();
  }

  /**
   * Where the times of files are coarse, a file that appears just after the start may carry a time from before. So the
   * threshold is a little earlier, and the files that are there by now are known.
   */
  async #firstPosition(nowMs: number): Promise<FilePosition> {
    const { resolutionMs } = this.#folder;
    const position = { initialThresholdMs: this.#newFilesOnly ? nowMs : 0, listedMs: nowMs, recent: [] };
    // Also tells wrong credentials before the stream begins.
    const files = await this.#list();
    if (!this.#newFilesOnly || resolutionMs === 1) return position;
    const initialThresholdMs = Math.floor(nowMs / resolutionMs) * resolutionMs - 1;
    const there = (files ?? []).filter(({ modifiedMs }) => modifiedMs > initialThresholdMs).map(({ key }) => key);
    return { initialThresholdMs, listedMs: nowMs, recent: there.length === 0 ? [] : [[nowMs, there]] };
  }

  #after(batchTimeMs: number, chosen: readonly ListedFile[], firstLeft: ListedFile | undefined): FilePosition {
    const { initialThresholdMs, recent } = this.#position;
    const nowMs = this.#clock?.now() ?? batchTimeMs;
    // A plan made ahead of its time has not seen what comes until then.
    const listedMs = Math.min(batchTimeMs, nowMs, (firstLeft?.modifiedMs ?? Number.POSITIVE_INFINITY) - 1);
    const forgetMs = lookBackMs({ batchTimeMs, rememberMs: this.#rememberMs, listedMs });
    const kept = recent.filter(([timeMs]) => timeMs >= forgetMs);
    const keys = chosen.map(({ key }) => key);
    return { initialThresholdMs, listedMs, recent: keys.length === 0 ? kept : [...kept, [batchTimeMs, keys]] };
  }

  /** Undefined: it cannot be listed now. @throws what waiting does not cure */
  async #list(): Promise<ListedFile[] | undefined> {
    try {
      const files = await this.#folder.list();
      if (this.#isFailing) this.#warn(`${this.#folder.url} can be listed again.`);
      this.#isFailing = false;
      return files;
    } catch (thrown) {
      const error = toError(thrown);
      if (!isPassing(error)) throw error;
      if (!this.#isFailing) {
        this.#warn(`${this.#folder.url} cannot be listed, so batches have no files until it can: ${error.message}`);
      }
      this.#isFailing = true;
      return undefined;
    }
  }

  /** All bytes of a file. One more is asked for than there should be, to see whether it has grown. */
  async *#chunks(file: FileInfo & PlannedFile): AsyncIterable<Uint8Array> {
    const { key, path, sizeBytes } = file;
    for (let offset = 0; ; offset += chunkBytes) {
      if (this.#isStopped) throw new TidemarkError('CANCELLED', `Reading ${path} was stopped.`);
      const length = Math.min(chunkBytes, sizeBytes - offset);
      const isLast = offset + length === sizeBytes;
      const bytes = await this.#folder.read(key, offset, isLast ? length + 1 : length);
      if (bytes === undefined) throw gone(path);
      if (bytes.length !== length) throw changed(path, sizeBytes, offset + bytes.length);
      if (length > 0) yield bytes;
      if (isLast) return;
    }
  }
}

function isVisible({ name }: FileInfo): boolean {
  return !name.startsWith('.');
}

function byTime(a: ListedFile, b: ListedFile): number {
  return a.modifiedMs - b.modifiedMs || byKey(a, b);
}

function byKey(a: ListedFile, b: ListedFile): number {
  return a.key < b.key ? -1 : 1;
}

/** Wrong names and credentials are told at once; a folder or a container may still be made. */
function isPassing(error: Error): boolean {
  if (!(error instanceof TidemarkError)) return true;
  return error.kind === 'unavailable' || error.code === 'CONTAINER_MISSING';
}

function gone(path: string): TidemarkError {
  return new TidemarkError(
    'DATA_LOSS',
    `${path} was chosen for a batch and is gone. Restore it, or set onDataLoss: 'skip' to go on without it.`,
    { context: { path } },
  );
}

function changed(path: string, before: number, now: number): TidemarkError {
  return new TidemarkError(
    'INPUT_CHANGED',
    `${path} had ${before} bytes when it was chosen for a batch, and has ${now > before ? `at least ${now}` : now} now. ` +
      'Restore it as it was; write files under another name (beginning with a dot) and rename them when they are complete.',
    { context: { path, before, now } },
  );
}
