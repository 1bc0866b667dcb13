import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openObjectStore, type StoreOptions } from '../storage/open-store.ts';
import {
  type OutputName,
  outputFolder,
  parseOutputName,
  parseRewindName,
  type RewindMark,
  rewindPrefix,
} from './blob-layout.ts';
import { decodeLines } from './line-format.ts';

/** The output of one batch. */
export interface BlobOutputBatch<T> {
  readonly batchTimeMs: number;
  readonly generation: number;
  readonly rows: readonly T[];
}

/**
 * Reads what a blob sink has published for the output `uid`, in order of batch time: committed batches only, each whole
 * and once. After a rewind the older generation ends at the point the stream went back to.
 *
 * Knows the layout and nothing of the checkpoint, so it also serves to check the engine. Rows are what JSON gives back,
 * or strings for format text; the type is the caller's claim.
 */
export async function* readBlobOutputBatches<T = unknown>(
  url: string,
  uid: string,
  options: StoreOptions = {},
): AsyncIterable<BlobOutputBatch<T>> {
  const store = await openObjectStore(url, options);
  try {
    const read = async (name: string, output: OutputName): Promise<BlobOutputBatch<T>> => {
      const found = await store.get(name);
      if (found.status === 'missing') {
        throw new TidemarkError('STORE_UNAVAILABLE', `${store.url}: "${name}" was removed while it was read.`);
      }
      const { batchTimeMs, generation, format } = output;
      return { batchTimeMs, generation, rows: decodeLines(format, found.bytes) as T[] };
    };
    const marks = await readMarks(store, uid);
    const isAbandoned = ({ batchTimeMs, generation }: OutputName): boolean =>
      marks.some((mark) => mark.generation > generation && mark.batchTimeMs < batchTimeMs);
    // Names sort by time, then generation: the last of a time is the one that counts.
    let last: { readonly name: string; readonly output: OutputName } | undefined;
    for await (const { name } of store.list(`${outputFolder(uid)}/`)) {
      const output = parseOutputName(uid, name);
      if (output === undefined || isAbandoned(output)) continue;
      if (last !== undefined && last.output.batchTimeMs !== output.batchTimeMs) yield read(last.name, last.output);
      last = { name, output };
    }
    if (last !== undefined) yield read(last.name, last.output);
  } finally {
    await store.close();
  }
}

async function readMarks(store: ObjectStore, uid: string): Promise<readonly RewindMark[]> {
  const marks: RewindMark[] = [];
  for await (const { name } of store.list(rewindPrefix(uid))) {
    const mark = parseRewindName(uid, name);
    if (mark !== undefined) marks.push(mark);
  }
  return marks;
}

/** The rows of {@link readBlobOutputBatches}, one after the other. */
export async function* readBlobOutput<T = unknown>(
  url: string,
  uid: string,
  options: StoreOptions = {},
): AsyncIterable<T> {
  for await (const { rows } of readBlobOutputBatches<T>(url, uid, options)) yield* rows;
}
