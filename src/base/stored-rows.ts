import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { TidemarkError } from './errors.ts';
import { finish, type Steps } from './turns.ts';
import { encodeValue, readValue, writeValue } from './value-codec.ts';

/**
 * The rows of one output in one batch, as they are stored in a record or its segments:
 * version (u8, 1), generation (varint), number of partitions (varint), then per partition groups of rows, each a varint
 * count and an encoded array with its length before it; a count of 0 ends the partition. Rows of a group share their shape.
 * Checksums are those of the record and of the parts of segments.
 */
const version = 1;
const groupRows = 64;
// A group of large rows; one row alone is bounded by the value codec.
const groupBytesMax = 1024 * 1024 * 1024;

export interface StoredRows {
  readonly generation: number;
  readonly partitions: readonly (readonly unknown[])[];
}

/** @throws VALUE_UNSUPPORTED, LIMIT_EXCEEDED naming the row */
export function* encodeRowSteps(generation: number, partitions: readonly (readonly unknown[])[]): Steps<Uint8Array> {
  const writer = new ByteWriter(4096);
  writer.u8(version);
  writer.varint(generation);
  writer.varint(partitions.length);
  for (const [partition, rows] of partitions.entries()) {
    for (let at = 0; at < rows.length; at += groupRows) {
      const group = rows.slice(at, at + groupRows);
      writer.varint(group.length);
      try {
        writeValue(writer, group, { bytesMax: groupBytesMax });
      } catch (error) {
        throw rowRefused(error, group, partition, at);
      }
      yield;
    }
    writer.varint(0);
  }
  // The writer is nobody else's: no copy is needed.
  return writer.view();
}

/** `encodeRowSteps` at once. */
export function encodeRows(generation: number, partitions: readonly (readonly unknown[])[]): Uint8Array {
  return finish(encodeRowSteps(generation, partitions));
}

/** `decodeRowSteps` at once. */
export function decodeRows(bytes: Uint8Array): StoredRows {
  return finish(decodeRowSteps(bytes));
}

/** @throws CHECKPOINT_CORRUPT */
export function* decodeRowSteps(bytes: Uint8Array): Steps<StoredRows> {
  const reader = new ByteReader(bytes);
  const found = reader.u8();
  if (found !== version) throw reader.corrupt(`rows of an output have version ${found}, not ${version}`);
  const generation = reader.varint();
  const partitions: unknown[][] = [];
  for (let count = reader.varint(); partitions.length < count; ) {
    const rows: unknown[] = [];
    for (let size = reader.varint(); size > 0; size = reader.varint()) {
      const group = readValue(reader);
      // Made-up bytes can hold a list of nothing that is very long.
      if (size > groupRows || !Array.isArray(group) || group.length !== size)
        throw reader.corrupt('a group of rows has another length');
      for (const row of group) rows.push(row);
      yield;
    }
    partitions.push(rows);
  }
  reader.end();
  return { generation, partitions };
}

/** The error of the row that can't be stored, found by trying them one by one. */
function rowRefused(error: unknown, group: readonly unknown[], partition: number, start: number): unknown {
  for (const [index, row] of group.entries()) {
    try {
      encodeValue(row);
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) return cause;
      const place = `Row ${start + index} of partition ${partition} cannot be stored`;
      return new TidemarkError(cause.code, `${place}: ${cause.message} Map rows to plain data first.`, {
        cause,
        context: { partition, row: start + index },
      });
    }
  }
  return error;
}
