import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import { findInputFiles } from './input-files.ts';
import { missingObject, type PartEncoder, readObject, readParts, type SaveOptions, saveAsParts } from './part-files.ts';
import type { RDD } from './rdd.ts';
import type { RddContext } from './rdd-context.ts';
import { rowText } from './row-text.ts';

/** Text is turned into bytes, and read, in parts of about this size: no string grows with the partition. */
const partCharacters = 1024 * 1024;
const readBytes = 4 * 1024 * 1024;
const lineCharactersMax = 64 * 1024 * 1024;

export function saveAsTextFile<T>(rdd: RDD<T>, url: string, options: SaveOptions): Promise<void> {
  return saveAsParts(rdd, 'saveAsTextFile', url, options, (partition) => lineEncoder(partition));
}

function lineEncoder(partition: number): PartEncoder<unknown> {
  const parts: Buffer[] = [];
  let text = '';
  let index = 0;
  return {
    push: (row) => {
      if (row === null || row === undefined) throw noText(row, partition, index);
      index++;
      text += `${rowText(row)}\n`;
      if (text.length < partCharacters) return;
      parts.push(Buffer.from(text));
      text = '';
    },
    finish: () => {
      parts.push(Buffer.from(text));
      return Buffer.concat(parts);
    },
  };
}

function noText(row: null | undefined, partition: number, index: number): TidemarkError {
  return new TidemarkError(
    'VALUE_UNSUPPORTED',
    `saveAsTextFile: row ${index} of partition ${partition} is ${row}; map it to text or filter it out first.`,
    { context: { partition, row: index } },
  );
}

/** One partition per object, one row per line. */
export async function textFile(context: RddContext, url: string, options: StoreOptions): Promise<RDD<string>> {
  const { store, names } = await findInputFiles('textFile', url, options);
  return context.rdd<string>({
    name: 'textFile',
    numPartitions: names.length,
    dependencies: [],
    pipe: readParts(store, names, readLines),
  });
}

/** Lines end with a line feed, a carriage return, or both; the last one also with the object. */
async function readLines(store: ObjectStore, name: string, push: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  let etag: string | undefined;
  for (let offset = 0; ; offset += readBytes) {
    const found = await store.get(name, { offset, length: readBytes });
    if (found.status === 'missing') throw missingObject(store, name);
    etag ??= found.etag;
    if (found.etag !== etag) {
      // Another try reads it from the start.
      throw new TidemarkError('SOURCE_UNAVAILABLE', `${name} in ${store.url} was changed while it was read.`);
    }
    const isLast = found.bytes.length < readBytes;
    const text = rest + decoder.decode(found.bytes, { stream: !isLast });
    // A carriage return at the end may be half of a pair.
    const isCut = !isLast && text.endsWith('\r');
    const lines = (isCut ? text.slice(0, -1) : text).split(text.includes('\r') ? /\r\n|\n|\r/ : '\n');
    rest = lines.pop()! + (isCut ? '\r' : '');
    for (let i = 0; i < lines.length; i++) push(lines[i]!);
    if (rest.length > lineCharactersMax) {
      throw new TidemarkError(
        'LIMIT_EXCEEDED',
        `A line of ${name} in ${store.url} is longer than ${lineCharactersMax} characters.`,
      );
    }
    if (isLast) break;
  }
  if (rest !== '') push(rest);
}

/** One row per object: its name and all of its text. Neighbours share partitions. */
export async function wholeTextFiles(
  context: RddContext,
  url: string,
  numPartitions: number,
  options: StoreOptions,
): Promise<RDD<[string, string]>> {
  const files = await wholeFiles(context, 'wholeTextFiles', url, numPartitions, options);
  return files.mapValues((bytes) => new TextDecoder().decode(bytes));
}

/** One row per object: its name and its bytes. Neighbours share partitions. */
export async function wholeFiles(
  context: RddContext,
  what: string,
  url: string,
  numPartitions: number,
  options: StoreOptions,
): Promise<RDD<[string, Uint8Array]>> {
  const { store, names } = await findInputFiles(what, url, options);
  const read = async (opened: ObjectStore, name: string, push: (row: [string, Uint8Array]) => void): Promise<void> =>
    push([`${opened.url}/${name}`, await readObject(opened, name)]);
  const files = context.rdd<[string, Uint8Array]>({
    name: what,
    numPartitions: names.length,
    dependencies: [],
    pipe: readParts(store, names, read),
  });
  return files.coalesce(numPartitions);
}
