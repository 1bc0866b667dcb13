import { TidemarkError } from '../../base/errors.ts';
import { LineSplitter } from '../sockets/lines.ts';
import type { PushChunk } from '../source.ts';
import type { FileInfo } from './file-folder.ts';

/** Makes rows of a file, whose bytes come in chunks. */
export type FileFormat<T> = (chunks: AsyncIterable<Uint8Array>, file: FileInfo, push: PushChunk<T>) => Promise<void>;

/** What a program makes of a whole file. */
export type FileReader<T> = (
  bytes: Uint8Array,
  file: FileInfo,
) => Iterable<T> | AsyncIterable<T> | Promise<Iterable<T> | AsyncIterable<T>>;

/** A file for a {@link FileReader} may be so large. */
export const wholeFileBytesMax: number = 256 * 1024 * 1024;
const pushedRowsMax = 1024;
// Decoded at a time: lines that are made long before they are taken outlive the young generation.
const decodedBytes = 64 * 1024;

/** Lines of UTF-8. */
export const textFormat: FileFormat<string> = async (chunks, _file, push) => {
  const splitter = new LineSplitter();
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += decodedBytes) {
      await push(splitter.push(chunk.subarray(at, at + decodedBytes)));
    }
  }
  await push(splitter.end());
};

/** Records of a fixed length. @throws INPUT_MALFORMED when the last one is cut. */
export function recordFormat(recordBytes: number): FileFormat<Uint8Array> {
  return async (chunks, file, push) => {
    let rest: Uint8Array = new Uint8Array(0);
    for await (const chunk of chunks) {
      const bytes: Uint8Array = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const whole = bytes.length - (bytes.length % recordBytes);
      const records: Uint8Array[] = [];
      for (let at = 0; at < whole; at += recordBytes)
        records.push(new Uint8Array(bytes.subarray(at, at + recordBytes)));
      await push(records);
      rest = bytes.subarray(whole);
    }
    if (rest.length === 0) return;
    throw new TidemarkError(
      'INPUT_MALFORMED',
      `${file.path} has ${file.sizeBytes} bytes, which is no multiple of the record length of ${recordBytes}.`,
      { context: { path: file.path } },
    );
  };
}

/** @throws LIMIT_EXCEEDED */
export function readerFormat<T>(read: FileReader<T>): FileFormat<T> {
  return async (chunks, file, push) => {
    if (file.sizeBytes > wholeFileBytesMax) {
      throw new TidemarkError(
        'LIMIT_EXCEEDED',
        `${file.path} has ${file.sizeBytes} bytes; a reading function gets at most ${wholeFileBytesMax}. Write smaller files, or lines of text.`,
        { context: { path: file.path } },
      );
    }
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    let rows: T[] = [];
    for await (const row of await read(parts.length === 1 ? parts[0]! : Buffer.concat(parts), file)) {
      rows.push(row);
      if (rows.length < pushedRowsMax) continue;
      await push(rows);
      rows = [];
    }
    await push(rows);
  };
}
