import { crc32, sha256 } from '../base/checksum.ts';
import { invariant } from '../base/errors.ts';
import { keyMissing, sealedKeyId } from '../storage/sealed-object.ts';
import { corrupt, incompatible } from './corruption.ts';

/**
 * The envelope of every structured object of a checkpoint: fixed header, tagged sections, SHA-256 trailer.
 * Byte tables: docs/formats/checkpoint.md. All numbers are little-endian.
 *
 * Invariants
 *   F1. Every byte is covered by the trailer; the header also by its own CRC, each section also by its own, so that
 *       an error can name the part and a header can be trusted before the body is there.
 *   F2. The header layout (112 bytes) is the same in all versions: a reader can always tell "damaged" from "too new".
 *   F3. A section with an unknown tag is skipped unless it is flagged critical.
 */
export const formatVersion = 1;
/** The oldest reader that understands what this version writes. */
export const minimumReaderVersion = 1;

export const frameKinds = {
  format: 1,
  fence: 2,
  batch: 3,
  plan: 4,
  drain: 5,
  manifest: 6,
  hint: 7,
  floor: 8,
  pin: 9,
  unpin: 10,
  rewind: 11,
  seed: 12,
  request: 13,
} as const;
export type FrameKind = keyof typeof frameKinds;

export interface FrameHeader {
  readonly kind: FrameKind;
  readonly slot: number;
  readonly epoch: number;
  /** 32 hexadecimal digits: which process wrote it. */
  readonly driverId: string;
  /** 32 hexadecimal digits, fresh per content: tells one's own write from another's after a lost answer. */
  readonly commitId: string;
  /** Hash of the frame before it in the chain; of nothing: zeros. */
  readonly previousHash: string;
}

export interface FrameSection {
  readonly tag: number;
  readonly critical: boolean;
  /** Written one after the other. */
  readonly chunks: readonly Uint8Array[];
}

export interface EncodedFrame {
  readonly bytes: Uint8Array;
  /** The trailer in hexadecimal: SHA-256 of all bytes before it. It is the frame's identity in chain and references. */
  readonly hash: string;
}

export interface DecodedFrame {
  readonly header: FrameHeader;
  readonly hash: string;
  /** By tag, only those the caller knows. Views of the input. */
  readonly sections: ReadonlyMap<number, Uint8Array>;
}

const magic = Buffer.from('TIDEMARK', 'latin1');
const headerBytes = 112;
const headerCrcOffset = 108;
const sectionHeaderBytes = 12;
const trailerBytes = 32;
const criticalFlag = 1;

export const zeroHash: string = '0'.repeat(64);

const kindByNumber: ReadonlyMap<number, FrameKind> = new Map(
  Object.entries(frameKinds).map(([kind, number]) => [number, kind as FrameKind]),
);

export function encodeFrame(header: FrameHeader, sections: readonly FrameSection[]): EncodedFrame {
  const bodyBytes = sections.reduce((sum, section) => sum + sectionHeaderBytes + contentBytes(section), 0);
  const frame = Buffer.alloc(headerBytes + bodyBytes + trailerBytes);
  magic.copy(frame, 0);
  frame.writeUInt16LE(formatVersion, 8);
  frame.writeUInt16LE(minimumReaderVersion, 10);
  frame.writeUInt16LE(frameKinds[header.kind], 12);
  frame.writeUInt16LE(sections.length, 14);
  frame.writeBigUInt64LE(BigInt(header.slot), 16);
  frame.writeBigUInt64LE(BigInt(header.epoch), 24);
  writeHex(frame, header.driverId, 32, 16);
  writeHex(frame, header.commitId, 48, 16);
  writeHex(frame, header.previousHash, 64, 32);
  frame.writeBigUInt64LE(BigInt(bodyBytes), 96);
  frame.writeUInt32LE(crc32(frame.subarray(0, headerCrcOffset)), headerCrcOffset);

  let at = headerBytes;
  for (const section of sections) {
    const start = at;
    const length = contentBytes(section);
    frame.writeUInt16LE(section.tag, at);
    frame.writeUInt16LE(section.critical ? criticalFlag : 0, at + 2);
    frame.writeUInt32LE(length, at + 4);
    at += sectionHeaderBytes;
    for (const chunk of section.chunks) {
      frame.set(chunk, at);
      at += chunk.length;
    }
    frame.writeUInt32LE(sectionCrc(frame, start, length), start + 8);
  }
  const trailer = sha256(frame.subarray(0, at));
  frame.set(trailer, at);
  return { bytes: frame, hash: Buffer.from(trailer).toString('hex') };
}

/**
 * @param name of the object, for messages.
 * @param knownTags sections the caller understands.
 * @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPATIBLE; ENCRYPTION_KEY_MISSING when the store was opened without keys
 */
export function decodeFrame(name: string, bytes: Uint8Array, knownTags: ReadonlySet<number>): DecodedFrame {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (frame.length < headerBytes + trailerBytes) throw corrupt(name, `it has only ${frame.length} bytes, it was cut`);
  const keyId = sealedKeyId(frame);
  if (keyId !== undefined) throw keyMissing(name, keyId, 'no keys were given');
  if (!frame.subarray(0, 8).equals(magic)) throw corrupt(name, 'it does not start with the magic of Tidemark');
  if (crc32(frame.subarray(0, headerCrcOffset)) !== frame.readUInt32LE(headerCrcOffset)) {
    throw corrupt(name, 'the checksum of its header does not match');
  }
  const version = frame.readUInt16LE(8);
  const readerVersion = frame.readUInt16LE(10);
  if (readerVersion > formatVersion) {
    throw incompatible(name, `it has format version ${version} and needs a reader of version ${readerVersion}`);
  }
  const bodyBytes = safeNumber(name, frame, 96);
  const expectedBytes = headerBytes + bodyBytes + trailerBytes;
  if (frame.length !== expectedBytes) {
    throw corrupt(name, `it has ${frame.length} bytes where its header says ${expectedBytes}`);
  }
  const trailerAt = frame.length - trailerBytes;
  const trailer = frame.subarray(trailerAt);
  const sections = decodeSections(name, frame, trailerAt, knownTags);
  if (!trailer.equals(sha256(frame.subarray(0, trailerAt)))) {
    throw corrupt(name, 'its SHA-256 does not match its content');
  }
  const kind = kindByNumber.get(frame.readUInt16LE(12));
  if (kind === undefined) throw incompatible(name, `it is of the unknown kind ${frame.readUInt16LE(12)}`);
  return {
    header: {
      kind,
      slot: safeNumber(name, frame, 16),
      epoch: safeNumber(name, frame, 24),
      driverId: frame.toString('hex', 32, 48),
      commitId: frame.toString('hex', 48, 64),
      previousHash: frame.toString('hex', 64, 96),
    },
    hash: trailer.toString('hex'),
    sections,
  };
}

function decodeSections(
  name: string,
  frame: Buffer,
  end: number,
  knownTags: ReadonlySet<number>,
): Map<number, Uint8Array> {
  const sections = new Map<number, Uint8Array>();
  const unknownCritical: number[] = [];
  let at = headerBytes;
  for (let i = frame.readUInt16LE(14); i > 0; i--) {
    if (at + sectionHeaderBytes > end) throw corrupt(name, 'its sections do not fit its length');
    const tag = frame.readUInt16LE(at);
    const length = frame.readUInt32LE(at + 4);
    const contentAt = at + sectionHeaderBytes;
    if (contentAt + length > end) throw corrupt(name, `section ${tag} is longer than the object`);
    if (sectionCrc(frame, at, length) !== frame.readUInt32LE(at + 8)) {
      throw corrupt(name, `the checksum of section ${tag} does not match`);
    }
    if (knownTags.has(tag)) {
      sections.set(tag, new Uint8Array(frame.buffer, frame.byteOffset + contentAt, length));
    } else if ((frame.readUInt16LE(at + 2) & criticalFlag) !== 0) {
      unknownCritical.push(tag);
    }
    at = contentAt + length;
  }
  if (at !== end) throw corrupt(name, 'its sections do not fill its length');
  if (unknownCritical.length > 0) {
    throw incompatible(name, `it holds section ${unknownCritical.join(', ')}, which this version must not ignore`);
  }
  return sections;
}

/** Over the section's header without the CRC itself, then its content. */
function sectionCrc(frame: Buffer, start: number, length: number): number {
  const contentAt = start + sectionHeaderBytes;
  return crc32(frame.subarray(contentAt, contentAt + length), crc32(frame.subarray(start, start + 8)));
}

function contentBytes(section: FrameSection): number {
  return section.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

function writeHex(frame: Buffer, hex: string, at: number, length: number): void {
  const written = frame.write(hex, at, length, 'hex');
  invariant(written === length && hex.length === length * 2, `"${hex}" is not ${length} bytes in hexadecimal.`);
}

function safeNumber(name: string, frame: Buffer, at: number): number {
  const value = frame.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(name, `the number at offset ${at} is out of range`);
  return Number(value);
}
