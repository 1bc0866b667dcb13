import { ByteReader } from '../base/byte-reader.ts';
import { ByteWriter } from '../base/byte-writer.ts';
import { crc32 } from '../base/checksum.ts';
import { decodeValue, encodeValue } from '../base/value-codec.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { StoreOptions } from '../storage/open-store.ts';
import { findInputFiles } from './input-files.ts';
import { type PartEncoder, readObject, readParts, type SaveOptions, saveAsParts } from './part-files.ts';
import type { RDD } from './rdd.ts';
import type { RddContext } from './rdd-context.ts';

/**
 * Rows as stored values. An object is: `TMRO`, version (u8), then groups of rows, then an empty group and the number of
 * all rows (varint). A group is its number of rows (varint), the CRC-32 of its bytes (u32), and an encoded array with its
 * length before it. An object that was cut has no end, one that was damaged does not fit its sums.
 */
const magic = 'TMRO';
const version = 1;
const groupRows = 64;
// One group of large rows: events of an event hub have 1 MiB at most.
const groupBytesMax = 256 * 1024 * 1024;

export function saveAsObjectFile<T>(rdd: RDD<T>, url: string, options: SaveOptions): Promise<void> {
  return saveAsParts(rdd, 'saveAsObjectFile', url, options, rowEncoder);
}

export function rowEncoder<T>(): PartEncoder<T> {
  const writer = new ByteWriter();
  writer.raw(Buffer.from(magic));
  writer.u8(version);
  let group: T[] = [];
  let total = 0;
  const flush = (): void => {
    const bytes = encodeValue(group, { bytesMax: groupBytesMax });
    writer.varint(group.length);
    writer.u32le(crc32(bytes));
    writer.bytes(bytes);
    total += group.length;
    group = [];
  };
  return {
    push: (row) => {
      if (group.push(row) === groupRows) flush();
    },
    finish: () => {
      if (group.length > 0) flush();
      writer.varint(0);
      writer.varint(total);
      return writer.finish();
    },
  };
}

/** @throws CHECKPOINT_CORRUPT */
export async function readRows<T>(store: ObjectStore, name: string, push: (row: T) => void): Promise<void> {
  const reader = new ByteReader(await readObject(store, name));
  if (Buffer.from(reader.raw(magic.length)).toString('latin1') !== magic || reader.u8() !== version) {
    throw reader.corrupt(`${name} in ${store.url} is no object file of version ${version}`);
  }
  let total = 0;
  for (let rows = reader.varint(); rows > 0; rows = reader.varint()) {
    const sum = reader.u32le();
    const bytes = reader.bytes();
    if (crc32(bytes) !== sum) throw reader.corrupt(`a group of rows of ${name} in ${store.url} does not fit its sum`);
    const group = decodeValue(bytes) as T[];
    if (group.length !== rows) throw reader.corrupt(`a group of rows of ${name} in ${store.url} has another length`);
    for (let i = 0; i < rows; i++) push(group[i]!);
    total += rows;
  }
  if (reader.varint() !== total) throw reader.corrupt(`${name} in ${store.url} does not have the rows it should`);
  reader.end();
}

/** What saveAsObjectFile wrote, one partition per object. */
export async function objectFile<T>(context: RddContext, url: string, options: StoreOptions): Promise<RDD<T>> {
  const { store, names } = await findInputFiles('objectFile', url, options);
  return context.rdd<T>({
    name: 'objectFile',
    numPartitions: names.length,
    dependencies: [],
    pipe: readParts<T>(store, names, readRows),
  });
}
