import { TidemarkError } from '../base/errors.ts';
import { requireKnownOptions } from '../base/options.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import { rowEncoder } from '../rdd/object-file.ts';
import { type StoreOptions, storeOptionNames } from '../storage/open-store.ts';
import { parseStoreUrl } from '../storage/store-url.ts';
import { BlobSink } from './blob-sink.ts';
import { encodeLines } from './line-format.ts';
import type { StagedSink } from './sink.ts';

interface FilePlace {
  readonly prefix: string;
  readonly suffix: string | undefined;
}

/**
 * One file per batch that has rows, exactly once, under the names Spark gives: see {@link batchFileName}. `text`: a row per
 * line; `objects`: an object file, which `RddContext.objectFile` reads.
 *
 * @throws OPTION_INVALID, URL_INVALID
 */
export function prefixFilesSink(
  format: 'text' | 'objects',
  place: FilePlace,
  options: StoreOptions,
): StagedSink<unknown> {
  const method = format === 'text' ? 'saveAsTextFiles' : 'saveAsObjectFiles';
  requireKnownOptions(method, options, storeOptionNames);
  const { url, name } = splitPrefix(method, place.prefix);
  return new BlobSink(
    { url, ...options },
    {
      kind: `${format}-files`,
      description: `${parseStoreUrl(url).url}/${batchFileName(name, place.suffix, '<ms>')}`,
      // Another generation is another content for the same batch time.
      name: (_uid, { batchTimeMs, generation }) =>
        batchFileName(name, place.suffix, generation === 0 ? batchTimeMs : `${batchTimeMs}-g${generation}`),
      encode: format === 'text' ? (partitions) => encodeLines('text', partitions) : encodeObjects,
    },
  );
}

/** Spark's rule: `prefix-<ms>[.suffix]`, `<ms>[.suffix]` without a prefix. */
export function batchFileName(
  prefix: string | null | undefined,
  suffix: string | null | undefined,
  time: number | string,
): string {
  const start = prefix ? `${prefix}-${time}` : `${time}`;
  return suffix ? `${start}.${suffix}` : start;
}

function* encodeObjects(partitions: readonly (readonly unknown[])[]): Steps<Uint8Array> {
  if (partitions.every((rows) => rows.length === 0)) return new Uint8Array(0);
  const encoder = rowEncoder<unknown>();
  let count = 0;
  for (const rows of partitions) {
    for (let i = 0; i < rows.length; i++) {
      encoder.push(rows[i]);
      if (++count % keysPerStep === 0) yield;
    }
  }
  return encoder.finish();
}

/** The folder a store is opened on, and how names in it begin. */
function splitPrefix(method: string, prefix: string): { readonly url: string; readonly name: string } {
  if (typeof prefix !== 'string' || prefix === '') {
    throw new TidemarkError(
      'OPTION_INVALID',
      `${method}: give a storage URL or path to write to, not ${String(prefix)}.`,
    );
  }
  // A SAS token belongs to the folder, and must not end up in the names. Without a scheme it is refused as no path.
  const isUrl = prefix.includes('://');
  if (!isUrl) parseStoreUrl(prefix);
  const queryAt = isUrl ? prefix.indexOf('?') : -1;
  const path = queryAt === -1 ? prefix : prefix.slice(0, queryAt);
  const end = path.lastIndexOf('/');
  if (end === -1 && path.includes(':')) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `${method}(${path}): the last part of the URL, after a slash, begins the names.`,
    );
  }
  if (end === -1) return { url: '.', name: path };
  return { url: `${path.slice(0, end) || '/'}${prefix.slice(path.length)}`, name: path.slice(end + 1) };
}
