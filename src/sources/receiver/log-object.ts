import { ByteReader } from '../../base/byte-reader.ts';
import { ByteWriter } from '../../base/byte-writer.ts';
import { crc32, sha256 } from '../../base/checksum.ts';
import { TidemarkError } from '../../base/errors.ts';

/**
 * One object of a receiver's log: the blocks of one group commit, or the fence of a driver. Byte table: docs/receivers.md.
 *
 * The header alone tells where each block lies, the trailer protects all of it, and every block has a checksum of its
 * own, because a batch reads a range of the object. Decoding damaged bytes is CHECKPOINT_CORRUPT, never other rows.
 */
export interface LogObject {
  readonly slot: number;
  readonly epoch: number;
  readonly kind: 'fence' | 'blocks';
  /** In the order they were stored. */
  readonly blocks: readonly BlockRange[];
  /** All blocks as one range; undefined for a fence. */
  readonly whole: BlockRange | undefined;
}

/** Blocks next to each other in one object: what a plan records. */
export interface BlockRange {
  readonly slot: number;
  readonly offset: number;
  readonly length: number;
  readonly records: number;
  /** CRC-32 of the bytes of the range. */
  readonly crc: number;
}

export interface BlockBytes {
  /** The rows, as the value codec encodes an array. */
  readonly payload: Uint8Array;
  readonly records: number;
}

export interface LogObjectOwner {
  readonly slot: number;
  readonly epoch: number;
  /** 32 hexadecimal digits. */
  readonly commitId: string;
}

const magic = 0x4c524d54; // "TMRL"
const version = 1;
const kinds = ['fence', 'blocks'] as const;
const commitIdBytes = 16;
const trailerBytes = 32;

const namePrefix = 'log/';
const nameForm = /^log\/(\d{20})$/;

export { namePrefix as logObjectPrefix };

export function logObjectName(slot: number): string {
  return namePrefix + String(slot).padStart(20, '0');
}

/** Undefined: not a name of ours. */
export function parseLogObjectName(name: string): number | undefined {
  const match = nameForm.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** Without blocks it is a fence. */
export function encodeLogObject(
  owner: LogObjectOwner,
  blocks: readonly BlockBytes[],
): { readonly bytes: Uint8Array; readonly object: LogObject } {
  const framed = blocks.map(frame);
  const kind = blocks.length === 0 ? 'fence' : 'blocks';
  const writer = new ByteWriter(framed.reduce((sum, { bytes }) => sum + bytes.length, 128 + 16 * blocks.length));
  writer.u32le(magic);
  writer.u8(version);
  writer.u8(kinds.indexOf(kind));
  writer.varint(owner.slot);
  writer.varint(owner.epoch);
  writer.raw(Buffer.from(owner.commitId, 'hex'));
  writer.varint(framed.length);
  for (const { bytes, records, crc } of framed) {
    writer.varint(bytes.length);
    writer.varint(records);
    writer.u32le(crc);
  }
  writer.u32le(crc32(writer.view()));
  const start = writer.length;
  for (const { bytes } of framed) writer.raw(bytes);
  writer.raw(sha256(writer.view()));
  const wholeCrc = framed.reduce((crc, { bytes }) => crc32(bytes, crc), 0);
  return { bytes: writer.finish(), object: locate(owner, kind, framed.map(toEntry), start, wholeCrc) };
}

/** @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPATIBLE */
export function decodeLogObject(name: string, slot: number, bytes: Uint8Array): LogObject {
  const reader = new ByteReader(bytes);
  try {
    if (reader.u32le() !== magic) throw reader.corrupt('it does not begin with TMRL');
    const found = reader.u8();
    if (found !== version) throw otherVersion(name, found);
    const kind = kinds[reader.u8()];
    if (kind === undefined) throw reader.corrupt('its kind is not known');
    const owner = { slot: reader.varint(), epoch: reader.varint() };
    if (owner.slot !== slot) throw reader.corrupt(`it was written as slot ${owner.slot}`);
    reader.raw(commitIdBytes);
    const count = reader.varint();
    if (count > reader.remaining) throw reader.corrupt('it names more blocks than it can hold');
    const entries: BlockEntry[] = [];
    for (let i = 0; i < count; i++) {
      entries.push({ length: reader.varint(), records: reader.varint(), crc: reader.u32le() });
    }
    const headerCrc = crc32(bytes.subarray(0, reader.offset));
    if (reader.u32le() !== headerCrc) throw reader.corrupt('the checksum of its header does not fit');
    const start = reader.offset;
    for (const { length, crc } of entries) {
      if (crc32(reader.raw(length)) !== crc) throw reader.corrupt('the checksum of a block does not fit');
    }
    const end = reader.offset;
    const body = bytes.subarray(0, end);
    if (Buffer.compare(reader.raw(trailerBytes), sha256(body)) !== 0) throw reader.corrupt('its digest does not fit');
    reader.end();
    return locate(owner, kind, entries, start, crc32(bytes.subarray(start, end)));
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'CHECKPOINT_CORRUPT') throw damaged(name, error);
    throw error;
  }
}

/** The payloads in the bytes of a range, in order. @throws CHECKPOINT_CORRUPT */
export function payloadsOf(name: string, range: BlockRange, bytes: Uint8Array): Uint8Array[] {
  if (bytes.length !== range.length || crc32(bytes) !== range.crc) {
    throw damaged(name, new Error(`bytes ${range.offset} to ${range.offset + range.length} have another checksum`));
  }
  const reader = new ByteReader(bytes);
  const payloads: Uint8Array[] = [];
  while (reader.remaining > 0) payloads.push(reader.raw(reader.u32le()));
  return payloads;
}

interface BlockEntry {
  readonly length: number;
  readonly records: number;
  readonly crc: number;
}

/** With its length in front, so that several blocks in one range can be told apart. */
function frame({ payload, records }: BlockBytes): { bytes: Uint8Array; records: number; crc: number } {
  const bytes = new Uint8Array(payload.length + 4);
  new DataView(bytes.buffer).setUint32(0, payload.length, true);
  bytes.set(payload, 4);
  return { bytes, records, crc: crc32(bytes) };
}

function toEntry({ bytes, records, crc }: { bytes: Uint8Array; records: number; crc: number }): BlockEntry {
  return { length: bytes.length, records, crc };
}

function locate(
  { slot, epoch }: { readonly slot: number; readonly epoch: number },
  kind: LogObject['kind'],
  entries: readonly BlockEntry[],
  start: number,
  wholeCrc: number,
): LogObject {
  let offset = start;
  const blocks = entries.map(({ length, records, crc }): BlockRange => {
    const block = { slot, offset, length, records, crc };
    offset += length;
    return block;
  });
  const records = blocks.reduce((sum, block) => sum + block.records, 0);
  const whole = kind === 'fence' ? undefined : { slot, offset: start, length: offset - start, records, crc: wholeCrc };
  return { slot, epoch, kind, blocks, whole };
}

function damaged(name: string, cause: Error): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_CORRUPT',
    `"${name}" of a receiver's log is damaged: ${cause.message} Restore the object; nothing was changed.`,
    { cause, context: { object: name } },
  );
}

function otherVersion(name: string, found: number): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_INCOMPATIBLE',
    `"${name}" of a receiver's log has format version ${found}; this release reads version ${version}.`,
    { context: { object: name } },
  );
}
