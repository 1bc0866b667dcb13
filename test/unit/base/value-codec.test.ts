import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../../src/base/byte-reader.ts';
import { ByteWriter } from '../../../src/base/byte-writer.ts';
import { copyPlain, equalPlain } from '../../../src/base/plain-data.ts';
import { decodeValue, encodeValue, readValue, writeValue } from '../../../src/base/value-codec.ts';
import { anyValue } from './plain-values.ts';

const corrupt = expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' });

describe('value codec', () => {
  it('gives every value back equal', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const decoded = decodeValue(encodeValue(value));
        expect(decoded).toStrictEqual(value);
        expect(equalPlain(decoded, value)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  it('writes and reads values one after the other', () => {
    fc.assert(
      fc.property(fc.array(anyValue, { maxLength: 6 }), (values) => {
        const writer = new ByteWriter();
        for (const value of values) writeValue(writer, value);
        const reader = new ByteReader(writer.finish());
        for (const value of values) expect(equalPlain(readValue(reader), value)).toBe(true);
        reader.end();
      }),
    );
  });

  it('gives equal values equal bytes, whatever was encoded before', () => {
    fc.assert(
      fc.property(anyValue, anyValue, (value, other) => {
        const before = encodeValue(value);
        encodeValue(other);
        expect(Buffer.compare(encodeValue(copyPlain(value)), before)).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  it('returns bytes that later calls do not change', () => {
    const values = Array.from({ length: 3000 }, (_, i) => ({ i, text: 'x'.repeat(i % 50), when: new Date(i) }));
    const encoded = values.map((value) => encodeValue(value));
    expect(encoded.map(decodeValue)).toStrictEqual(values);
  });

  it('keeps rows of equal shape smaller than a map each', () => {
    const rows = Array.from({ length: 100 }, (_, i) => ({ temperature: i, humidity: i }));
    expect(encodeValue(rows).length).toBeLessThan(700);
    expect(decodeValue(encodeValue(rows))).toStrictEqual(rows);
    const dictionary = Object.fromEntries(rows.map((row, i) => [`device-${i}`, row]));
    expect(decodeValue(encodeValue(dictionary))).toStrictEqual(dictionary);
    const mixed = Array.from({ length: 300 }, (_, i) => ({ [`field${i}`]: i, again: { [`field${i}`]: -0 } }));
    expect(decodeValue(encodeValue(mixed))).toStrictEqual(mixed);
  });

  it('gives a Buffer back as Uint8Array and an object without prototype as an ordinary one', () => {
    const bytes = decodeValue(encodeValue(Buffer.from('abc')));
    expect(bytes).toStrictEqual(new Uint8Array([97, 98, 99]));
    const bare = Object.assign(Object.create(null), { a: 1 });
    expect(decodeValue(encodeValue(bare))).toStrictEqual({ a: 1 });
  });

  it('refuses what would not come back equal and names the place', () => {
    class Money {
      readonly cents = 1;
    }
    class Rows extends Array {}
    const cyclic: { self?: unknown } = {};
    cyclic.self = [cyclic];
    const wide: unknown[] = [];
    wide.push(wide, wide, wide);
    let deep: unknown = 1;
    for (let i = 0; i < 101; i++) deep = [deep];
    const cases: [unknown, string][] = [
      [() => 1, '$ is a function'],
      [{ items: [0, 1, 2, { callback: () => 1 }] }, '$.items[3].callback is a function'],
      [[Symbol('s')], '$[0] is a symbol'],
      [{ price: new Money() }, '$.price is an instance of Money'],
      [new Map([['a', [/x/]]]), '$<value of "a">[0] is an instance of RegExp'],
      [new Map([[new Money(), 1]]), '$<key object> is an instance of Money'],
      [new Set([1, new Error('x')]), '$<item 1> is an instance of Error'],
      [Promise.resolve(1), '$ is an instance of Promise'],
      [new Rows(), '$ is an instance of Rows'],
      [new (class extends Map {})(), '$ is an instance of a class'],
      [Object(1), '$ is an instance of Number'],
      [new DataView(new ArrayBuffer(1)), '$ is an instance of DataView'],
      [cyclic, '$.self[0] refers back'],
      [wide, '$[0] refers back'],
      [deep, 'nested deeper than 100'],
      [
        {
          a: {
            get now() {
              return 1;
            },
          },
        },
        '$.a.now is an accessor property',
      ],
      [{ set now(_: number) {} }, '$.now is an accessor property'],
      [JSON.parse('{"a":{"__proto__":{"x":1}}}'), '$.a has a property named __proto__'],
      [{ constructor: 1 }, '$ has a property named constructor'],
      [{ prototype: 1 }, '$ has a property named prototype'],
      [{ [Symbol('s')]: 1 }, '$ has a property named by a symbol'],
    ];
    for (const [value, problem] of cases) {
      const refused = expect.objectContaining({ code: 'VALUE_UNSUPPORTED', message: expect.stringContaining(problem) });
      expect(() => encodeValue(value)).toThrowError(refused);
      expect(() => writeValue(new ByteWriter(), value)).toThrowError(refused);
    }
  });

  it('stores what lies just within the depth limit', () => {
    let deep: unknown = new Map([[1, -0]]);
    for (let i = 0; i < 99; i++) deep = i % 2 ? [deep] : { deep };
    expect(equalPlain(decodeValue(encodeValue(deep)), deep)).toBe(true);
  });

  it('refuses values beyond the size limit, also when shared parts would expand without end', () => {
    const tooLarge = expect.objectContaining({ code: 'LIMIT_EXCEEDED' });
    expect(() => encodeValue('x'.repeat(100), { bytesMax: 100 })).toThrowError(tooLarge);
    expect(() => encodeValue([-0, 'x'.repeat(100)], { bytesMax: 100 })).toThrowError(tooLarge);
    expect(() => writeValue(new ByteWriter(), 'x'.repeat(100), { bytesMax: 100 })).toThrowError(tooLarge);
    expect(encodeValue('x'.repeat(90), { bytesMax: 100 }).length).toBeLessThanOrEqual(100);
    let shared: unknown = {};
    for (let i = 0; i < 60; i++) shared = [shared, shared];
    expect(() => encodeValue(shared, { bytesMax: 100_000 })).toThrowError(tooLarge);
  });

  it('never pollutes a prototype when it decodes', () => {
    // fixmap {"__proto__": {"polluted": 1}} as no encoder of ours writes it.
    const nested = Buffer.concat([Buffer.from([0x81, 0xa8]), Buffer.from('polluted'), Buffer.from([1])]);
    const bytes = Buffer.concat([Buffer.from([0x81, 0xa9]), Buffer.from('__proto__'), nested]);
    expect(() => decodeValue(bytes)).toThrowError(corrupt);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('reports cut and random bytes as damage or gives plain data, and goes on working', () => {
    fc.assert(
      fc.property(anyValue, fc.nat(), (value, cut) => {
        const bytes = encodeValue(value);
        expect(() => decodeValue(bytes.subarray(0, cut % bytes.length))).toThrowError(corrupt);
        expect(() => decodeValue(Buffer.concat([bytes, Buffer.from([0])]))).toThrowError(corrupt);
        expect(decodeValue(bytes)).toStrictEqual(value);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.boolean(), fc.uint8Array({ maxLength: 60 }), (escaped, random) => {
        const bytes = escaped ? Uint8Array.of(0xc1, ...random) : random;
        try {
          decodeValue(bytes);
        } catch (error) {
          expect(error).toEqual(corrupt);
        }
        expect(decodeValue(encodeValue([{ a: -0 }]))).toStrictEqual([{ a: -0 }]);
      }),
      { numRuns: 5000 },
    );
  });
});
