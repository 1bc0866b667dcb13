import { hash } from 'node:crypto';
import { crc32 as zlibCrc32 } from 'node:zlib';

/** CRC-32 (the one of zip and gzip) as uint32. Pass the previous result to go on over several pieces. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  return zlibCrc32(bytes, previous);
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', bytes, 'buffer'));
}

/** 64 lower-case hexadecimal digits. */
export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/**
 * Cheap uint32 hash of `bytes[start, end)`: FNV-1a over little-endian words of four bytes, then over the bytes that are
 * left, with a mix after each word and at the end. For short ranges: no call leaves JavaScript. Finds accidental
 * differences; it is no protection against a forger.
 */
export function hashBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  let h = 0x811c9dc5;
  let i = start;
  for (const last = end - 4; i <= last; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    h = Math.imul(h ^ word, 0x01000193);
    // Else the high bytes of a word would never reach the low bits.
    h ^= h >>> 15;
  }
  for (; i < end; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return mix32(h ^ (end - start));
}

/** Spreads the entropy of an int32 over all bits (the finaliser of murmur3). Result: uint32. */
export function mix32(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
