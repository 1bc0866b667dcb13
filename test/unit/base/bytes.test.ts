import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../../src/base/byte-reader.ts';
import { ByteWriter } from '../../../src/base/byte-writer.ts';
import { crc32, hashBytes, sha256, sha256Hex } from '../../../src/base/checksum.ts';

type Field = readonly [keyof Pick<ByteWriter, 'u8' | 'u32le' | 'f64' | 'varint' | 'string' | 'bytes'>, unknown];

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.nat(255).map((v) => ['u8', v] as const),
  fc.nat(0xffffffff).map((v) => ['u32le', v] as const),
  fc.double().map((v) => ['f64', v] as const),
  fc.maxSafeNat().map((v) => ['varint', v] as const),
  fc.constantFrom(0, 127, 128, 2 ** 31, 2 ** 32, 2 ** 49, Number.MAX_SAFE_INTEGER).map((v) => ['varint', v] as const),
  fc.string({ unit: 'grapheme', maxLength: 120 }).map((v) => ['string', v] as const),
  fc.uint8Array({ maxLength: 600 }).map((v) => ['bytes', v] as const),
);

function write(writer: ByteWriter, fields: readonly Field[]): void {
  for (const [kind, value] of fields) (writer[kind] as (value: unknown) => void).call(writer, value);
}

describe('byte writer and reader', () => {
  it('give back what was written, also when the writer is used again', () => {
    const writer = new ByteWriter(16);
    fc.assert(
      fc.property(fc.array(field, { maxLength: 20 }), (fields) => {
        writer.reset();
        write(writer, fields);
        const bytes = writer.finish();
        expect(bytes.length).toBe(writer.length);
        const reader = new ByteReader(bytes);
        for (const [kind, value] of fields) expect(reader[kind]()).toEqual(value);
        reader.end();
      }),
    );
  });

  it('refuse to read beyond the end', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 8 }), fc.nat(), (fields, cut) => {
        const writer = new ByteWriter();
        write(writer, fields);
        const reader = new ByteReader(writer.view().subarray(0, cut % writer.length));
        expect(() => {
          for (const [kind] of fields) reader[kind]();
        }).toThrowError(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
      }),
    );
  });

  it('refuse malformed numbers and texts, and leftovers', () => {
    const read = (bytes: number[]): ByteReader => new ByteReader(Uint8Array.from(bytes));
    const corrupt = expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' });
    expect(() => read([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).varint()).toThrowError(corrupt);
    expect(() => read([0x80, 0]).varint()).toThrowError(corrupt);
    expect(() => read([2, 0xc3, 0x28]).string()).toThrowError(corrupt);
    expect(() => read([1]).end()).toThrowError(corrupt);
    expect(() => new ByteWriter().varint(-1)).toThrowError(expect.objectContaining({ code: 'INTERNAL' }));
  });

  it('finish copies, view does not', () => {
    const writer = new ByteWriter();
    writer.u8(1);
    const copy = writer.finish();
    const view = writer.view();
    writer.reset();
    writer.u8(2);
    expect([copy[0], view[0]]).toEqual([1, 2]);
  });
});

describe('checksums', () => {
  it('are those of the standards', () => {
    const bytes = Buffer.from('123456789');
    expect(crc32(bytes)).toBe(0xcbf43926);
    expect(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4)))).toBe(0xcbf43926);
    expect(sha256Hex(bytes)).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(Buffer.from(sha256(bytes)).toString('hex')).toBe(sha256Hex(bytes));
  });

  it('hash a range as if it stood alone', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(40), fc.nat(40), (bytes, a, b) => {
        const [start, end] = [Math.min(a, b, bytes.length), Math.min(Math.max(a, b), bytes.length)];
        expect(hashBytes(bytes, start, end)).toBe(hashBytes(bytes.slice(start, end)));
      }),
    );
    expect(hashBytes(Buffer.from('device-42'))).toMatchInlineSnapshot(`2882261235`);
  });
});
