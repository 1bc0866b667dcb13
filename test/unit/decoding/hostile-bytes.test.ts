import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { ByteReader } from '../../../src/base/byte-reader.ts';
import { ByteWriter } from '../../../src/base/byte-writer.ts';
import { readKey, writeKey } from '../../../src/base/canonical-key.ts';
import { crc32, sha256 } from '../../../src/base/checksum.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { skipKeyAt } from '../../../src/base/key-bytes.ts';
import { equalPlain } from '../../../src/base/plain-data.ts';
import { decodeRows, encodeRows } from '../../../src/base/stored-rows.ts';
import { decodeValue, encodeValue } from '../../../src/base/value-codec.ts';
import { decodeFrame, encodeFrame, type FrameKind, frameKinds, zeroHash } from '../../../src/checkpoint/frame.ts';
import { readManifest } from '../../../src/checkpoint/manifest-codec.ts';
import { logName } from '../../../src/checkpoint/object-names.ts';
import { decodeRecord } from '../../../src/checkpoint/record-codec.ts';
import { readRequests } from '../../../src/checkpoint/requests.ts';
import { decodeRoot, readFloor, readFormat, readHint } from '../../../src/checkpoint/root-objects.ts';
import { parsePosition } from '../../../src/sources/event-hubs/event-hub-position.ts';
import { decodeBlock } from '../../../src/sources/receiver/block-bytes.ts';
import { decodeLogObject, encodeLogObject, payloadsOf } from '../../../src/sources/receiver/log-object.ts';
import { parsePosition as parseReceiverPosition } from '../../../src/sources/receiver/receiver-source.ts';
import { readExtent } from '../../../src/state/state-codec.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { anyKey, anyValue } from '../base/plain-values.ts';
import { everything, objectsOf, Run } from '../inspect/support.ts';

/** Codes that tell of bytes that can't be used. */
const damage = ['CHECKPOINT_CORRUPT', 'CHECKPOINT_INCOMPATIBLE', 'ENCRYPTION_KEY_MISSING', 'VALUE_UNSUPPORTED'];
const prototypes = [Object.prototype, Array.prototype, Function.prototype, Map.prototype, String.prototype];
const clean = prototypes.map((prototype) => Reflect.ownKeys(prototype).map(String).join());

afterEach(() => {
  expect(prototypes.map((prototype) => Reflect.ownKeys(prototype).map(String).join())).toEqual(clean);
});

/** What it gives, or undefined when it names the damage. Everything else fails the test. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    return named(error);
  }
}

async function attemptAsync<T>(decode: () => Promise<T>): Promise<T | undefined> {
  try {
    return await decode();
  } catch (error) {
    return named(error);
  }
}

function named(error: unknown): undefined {
  if (!(error instanceof TidemarkError)) throw error;
  expect(damage, error.message).toContain(error.code);
  return undefined;
}

const bytesMax = 400;
const anyBytes = fc.uint8Array({ maxLength: bytesMax });
/** A few changes of valid bytes: turned bits, other bytes, cuts, insertions. */
const changes = fc.array(
  fc.record({ how: fc.constantFrom('set', 'flip', 'cut', 'insert'), place: fc.nat(), byte: fc.nat(255) }),
  { minLength: 1, maxLength: 4 },
);
type Changes = readonly { readonly how: string; readonly place: number; readonly byte: number }[];

function changed(bytes: Uint8Array, list: Changes): Uint8Array {
  let result = Buffer.from(bytes);
  for (const { how, place, byte } of list) {
    const at = result.length === 0 ? 0 : place % result.length;
    if (how === 'cut') result = result.subarray(0, at);
    else if (how === 'insert') result = Buffer.concat([result.subarray(0, at), Buffer.of(byte), result.subarray(at)]);
    else if (result.length > 0) result[at] = how === 'set' ? byte : result[at]! ^ (1 << (byte & 7));
  }
  return result;
}

/** A frame of this content whose checksums are right, as someone makes it who knows the format. */
function forged(kind: FrameKind, slot: number, contents: readonly Uint8Array[]): Uint8Array {
  const header = {
    kind,
    slot,
    epoch: slot,
    driverId: 'a'.repeat(32),
    commitId: 'b'.repeat(32),
    previousHash: zeroHash,
  };
  const sections = contents.map((content, i) => ({ tag: i + 1, critical: true, chunks: [content] }));
  return encodeFrame(header, sections).bytes;
}

describe('arbitrary bytes', () => {
  it('as a value', () => {
    fc.assert(
      fc.property(anyBytes, fc.boolean(), (bytes, escaped) => {
        const input = escaped ? Buffer.concat([Buffer.of(0xc1), bytes]) : bytes;
        const value = attempt(() => ({ value: decodeValue(input) }));
        // What can be decoded is plain data, that can be stored again and comes back equal.
        if (value !== undefined) expect(equalPlain(decodeValue(encodeValue(value.value)), value.value)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it('as a key', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const end = skipKeyAt(bytes, 0);
        const key = attempt(() => ({ key: readKey(new ByteReader(bytes)) }));
        if (key !== undefined) expect(end).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });

  it('as a frame, a record, a block, a log object and a part of state', () => {
    fc.assert(
      fc.property(anyBytes, fc.boolean(), (bytes, marked) => {
        const input = marked ? Buffer.concat([Buffer.from('TIDEMARK'), bytes]) : bytes;
        attempt(() => decodeFrame('x', input, new Set([1])));
        attempt(() => decodeRecord(1, input));
        attempt(() => decodeBlock(bytes));
        const log = marked ? Buffer.concat([Buffer.from('TMRL\u0001', 'latin1'), bytes]) : bytes;
        attempt(() => decodeLogObject('x', 1, log));
        attempt(() => consume(bytes));
        attempt(() => decodeRows(bytes));
        attempt(() =>
          payloadsOf('x', { slot: 1, offset: 0, length: bytes.length, records: 1, crc: crc32(bytes) }, bytes),
        );
      }),
      { numRuns: 2000 },
    );
  });
});

describe('changed bytes', () => {
  it('of a value', () => {
    fc.assert(
      fc.property(anyValue, changes, (value, list) => {
        const decoded = attempt(() => ({ value: decodeValue(changed(encodeValue(value), list)) }));
        if (decoded !== undefined) encodeValue(decoded.value);
      }),
      { numRuns: 3000 },
    );
  });

  it('of a key', () => {
    fc.assert(
      fc.property(anyKey, changes, (key, list) => {
        const writer = new ByteWriter();
        writeKey(writer, key);
        const bytes = changed(writer.finish(), list);
        attempt(() => readKey(new ByteReader(bytes)));
        skipKeyAt(bytes, 0);
      }),
      { numRuns: 2000 },
    );
  });

  it('of every kind of object that a stream writes, with checksums that fit the change', async () => {
    const run = new Run();
    await run.to(30_000, everything);
    const objects = await objectsOf(run.store);
    const frames = [...objects].filter(([, bytes]) => Buffer.from(bytes.subarray(0, 8)).toString() === 'TIDEMARK');
    expect(new Set(frames.map(([name]) => name.split('/')[0]))).toEqual(
      new Set(['format', 'hint', 'gc', 'log', 'man']),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(frames.length - 1), changes, fc.nat(), async (index, list, which) => {
        const [name, bytes] = frames[index]!;
        await readAs(name, rewritten(bytes, list, which));
      }),
      { numRuns: 1500 },
    );
  });

  it('of the rows of an output', () => {
    fc.assert(
      fc.property(fc.array(fc.array(anyValue, { maxLength: 5 }), { maxLength: 3 }), changes, (partitions, list) => {
        const bytes = encodeRows(1, partitions);
        expect(equalPlain(decodeRows(bytes).partitions, partitions)).toBe(true);
        attempt(() => decodeRows(changed(bytes, list)));
      }),
      { numRuns: 500 },
    );
  });

  it('of a part of state', async () => {
    const run = new Run();
    await run.to(30_000, { ...everything, segmentBytesMax: 100_000, inlineBytesMax: 1 });
    const contents = [...(await objectsOf(run.store))].filter(([name]) => /^(seg|snap)\//.test(name));
    expect(contents.length).toBeGreaterThan(3);
    fc.assert(
      fc.property(fc.nat(contents.length - 1), changes, (index, list) => {
        attempt(() => consume(changed(contents[index]![1], list)));
      }),
      { numRuns: 2000 },
    );
  });

  it("of an object of a receiver's log, with a digest that fits the change", () => {
    const blocks = [[1, 2], ['a'], [{ x: 1 }]].map((rows) => ({ payload: encodeValue(rows), records: rows.length }));
    const { bytes } = encodeLogObject({ slot: 3, epoch: 2, commitId: 'a'.repeat(32) }, blocks);
    fc.assert(
      fc.property(changes, (list) => {
        const body = changed(bytes.subarray(0, bytes.length - 32), list);
        attempt(() => decodeLogObject('x', 3, Buffer.concat([body, sha256(body)])));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('values that are something else than expected', () => {
  it('in every section of a record, a manifest, a root object and a request', async () => {
    const kinds = Object.keys(frameKinds) as FrameKind[];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...kinds), anyValue, anyValue, anyBytes, async (kind, one, two, inline) => {
        const name = kind === 'manifest' ? `man/${'1'.padStart(20, '0')}-${'a'.repeat(32)}` : logName(1);
        const links = { manifest: null, previousFence: 0, floor: 0 };
        for (const first of [one, links]) {
          await readAs(name, forged(kind, 1, [encodeValue(first), encodeValue(two), inline]));
        }
        const root = forged(kind, 1, [encodeValue(two)]);
        for (const rootName of ['format', 'hint', 'gc/floor', `req/${'a'.repeat(32)}`]) await readAs(rootName, root);
      }),
      { numRuns: 800 },
    );
  });

  it('as the position of an event hub or a receiver', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        attempt(() => parsePosition(value));
        attempt(() => parseReceiverPosition(value));
      }),
    );
  });
});

describe('what is never made of bytes', () => {
  const names = ['__proto__', 'constructor', 'prototype'];
  it.each(names)('a property named %s', (name) => {
    const text = Buffer.concat([Buffer.of(0xa0 + name.length), Buffer.from(name)]);
    const inMap = Buffer.concat([Buffer.of(0x81), text, Buffer.of(0x80)]);
    const inRecord = Buffer.concat([Buffer.of(0xd4, 0x72, 0x40, 0x91), text, Buffer.of(0x01)]);
    const inEscape = Buffer.concat([Buffer.of(0xc1, 0x81, 0x05, 0x92), text, Buffer.of(0x01)]);
    const longName = Buffer.concat([Buffer.of(0x81, 0xd9, name.length), Buffer.from(name), Buffer.of(0x01)]);
    for (const bytes of [inMap, inRecord, inEscape, longName]) {
      expect(() => decodeValue(bytes)).toThrowError(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
    }
  });

  it.each([0x42, 0x62, 0x65, 0x69, 0x70, 0x73, 0x74, 0x78, 0xff])('an object of extension %i', (type) => {
    const payload = Buffer.alloc(16, 0x01);
    for (const bytes of [
      Buffer.of(0xd4, type, 0x01),
      Buffer.of(0xd5, type, 0x01, 0x01),
      Buffer.concat([Buffer.of(0xd6, type), payload.subarray(0, 4)]),
      Buffer.concat([Buffer.of(0xd7, type), payload.subarray(0, 8)]),
      Buffer.concat([Buffer.of(0xd8, type), payload]),
      Buffer.concat([Buffer.of(0xc7, 16, type), payload]),
    ]) {
      expect(() => decodeValue(bytes)).toThrowError(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
    }
  });

  it('a list or map that the bytes cannot back, however deep', () => {
    const before = process.memoryUsage().rss;
    for (const head of [Buffer.of(0xdd, 0x01, 0xff, 0xff, 0xff), Buffer.of(0xdf, 0x01, 0xff, 0xff, 0xff)]) {
      for (const depth of [1, 100, 10_000, 200_000]) {
        const bytes = Buffer.concat(Array.from({ length: depth }, () => head));
        expect(() => decodeValue(bytes)).toThrowError(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
      }
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
  });

  it('a nesting that ends the stack', () => {
    const lists = Buffer.alloc(500_000, 0x91);
    const keys = Buffer.alloc(500_000, 0x01);
    for (let kind = 0; kind < 256; kind++) {
      for (let i = 0; i < keys.length; i += 2) keys[i] = kind;
      attempt(() => readKey(new ByteReader(keys)));
      skipKeyAt(keys, 0);
    }
    expect(() => decodeValue(lists)).toThrowError(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
  });

  it('an array of holes that takes minutes to go over', () => {
    const corrupt = expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' });
    const holes = Buffer.of(0xc1, 0x81, 0x04, 0x91, 0xce, 0xff, 0xff, 0xff, 0xff);
    expect(() => decodeValue(holes)).toThrowError(corrupt);
    const fewer = Buffer.of(0xc1, 0x81, 0x04, 0x91, 0xce, 0x03, 0xff, 0xff, 0xff);
    expect((decodeValue(fewer) as unknown[]).length).toBe(0x3ffffff);
    const writer = new ByteWriter();
    for (const byte of [1, 0, 1]) writer.u8(byte);
    writer.varint(0x3ffffff);
    writer.bytes(fewer);
    writer.u8(0);
    expect(() => decodeRows(writer.finish())).toThrowError(corrupt);
  });

  it('a bigint that takes minutes to read', () => {
    const digits = '9'.repeat(3_000_000);
    const bytes = Buffer.concat([Buffer.of(0xc1, 0x81, 0x02, 0xdb, 0, 0x2d, 0xc6, 0xc0), Buffer.from(digits)]);
    expect(() => decodeValue(bytes)).toThrowError(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
    expect(() => encodeValue(10n ** 100_001n)).toThrowError(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
    expect(decodeValue(encodeValue(10n ** 99_998n))).toBe(10n ** 99_998n);
  });
});

/** Reads all of a part of state. */
function consume(bytes: Uint8Array): void {
  if (bytes.length === 0) return;
  const { groups } = readExtent(bytes);
  for (const { entries } of groups) for (const { key, value } of entries) void [key, value];
}

/** Changes one section, and makes the header, the lengths and all checksums right again. */
function rewritten(bytes: Uint8Array, list: Changes, which: number): Uint8Array {
  const frame = decodeFrame('x', bytes, new Set([1, 2, 3]));
  const sections = [...frame.sections];
  const chosen = which % sections.length;
  const contents = sections.map(([, content], i) => (i === chosen ? changed(content, list) : content));
  const encoded = sections.map(([tag], i) => ({ tag, critical: true, chunks: [contents[i]!] }));
  return encodeFrame(frame.header, encoded).bytes;
}

async function readAs(name: string, bytes: Uint8Array): Promise<void> {
  const store = new MemoryStore();
  await store.putIfAbsent(name, bytes, 'c'.repeat(32));
  if (name === 'format') await attemptAsync(() => readFormat(store));
  else if (name === 'hint') await attemptAsync(() => readHint(store));
  else if (name === 'gc/floor') await attemptAsync(() => readFloor(store));
  else if (name.startsWith('req/')) await readRequests(store);
  else if (name.startsWith('man/')) {
    const hash = Buffer.from(bytes.subarray(bytes.length - 32)).toString('hex');
    await attemptAsync(() => readManifest(store, { name, hash, slot: Number(name.slice(4, 24)) }, undefined));
  } else {
    attempt(() => decodeRecord(Number(name.slice(4)), bytes));
    attempt(() => decodeRoot(name, 'format', bytes));
  }
}
