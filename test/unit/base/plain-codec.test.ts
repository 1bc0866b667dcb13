import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../../src/base/byte-reader.ts';
import { ByteWriter } from '../../../src/base/byte-writer.ts';
import { equalPlain } from '../../../src/base/plain-data.ts';
import { notPlain, readPlain } from '../../../src/base/plain-reader.ts';
import { writePlain } from '../../../src/base/plain-writer.ts';
import { decodeValueAt, encodeValue, writeValue } from '../../../src/base/value-codec.ts';
import { anyString, anyValue } from './plain-values.ts';

const bytesMax = 1 << 20;
const packr = new Packr({ useRecords: false, mapsAsObjects: true });

/** What writePlain appends after some other bytes; undefined: nothing. */
function written(value: unknown, before = 3): Uint8Array | undefined {
  const writer = new ByteWriter(16);
  for (let i = 0; i < before; i++) writer.u8(i);
  const isWritten = writePlain(writer, value, bytesMax);
  const reader = new ByteReader(writer.finish());
  expect(Array.from(reader.raw(before))).toEqual(Array.from({ length: before }, (_, i) => i));
  if (!isWritten) {
    expect(reader.remaining).toBe(0);
    return undefined;
  }
  const bytes = reader.bytes();
  reader.end();
  return bytes;
}

function read(bytes: Uint8Array): unknown {
  const buffer = Buffer.concat([Buffer.from([0xc1, 0xff]), bytes, Buffer.from([0xc1, 0xff])]);
  return readPlain(buffer, 2, 2 + bytes.length);
}

const edgeNumbers = [0, 7, 8, 15, 16, 31, 32, 52, 53].flatMap((bit) => {
  const power = 2 ** bit;
  return [power - 1, power, power + 1, -power - 1, -power, 1 - power];
});

describe('plain values', () => {
  it('are written as msgpackr writes them, or not at all', () => {
    let plain = 0;
    fc.assert(
      fc.property(anyValue, fc.nat(40), (value, before) => {
        const bytes = written(value, before);
        if (bytes === undefined) return;
        plain += 1;
        expect(Buffer.compare(bytes, encodeValue(value))).toBe(0);
      }),
      { numRuns: 4000 },
    );
    expect(plain).toBeGreaterThan(1000);
  });

  it('come back equal', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const bytes = written(value);
        if (bytes === undefined || bytes.length > 2048) return;
        const back = read(bytes);
        expect(back).toStrictEqual(value);
        expect(equalPlain(back, value)).toBe(true);
      }),
      { numRuns: 4000 },
    );
  });

  it('have every number in the form that msgpackr chooses', () => {
    for (const value of [...edgeNumbers, 0.5, -0.5, 1e300, Infinity, -Infinity, Number.MIN_VALUE]) {
      const bytes = written(value)!;
      expect([value, Buffer.from(bytes).toString('hex')]).toEqual([
        value,
        Buffer.from(packr.pack(value)).toString('hex'),
      ]);
      expect(read(bytes)).toBe(value);
    }
  });

  it('have every text in the form that msgpackr chooses, at every length of its head', () => {
    for (const size of [0, 1, 2, 19, 20, 21, 31, 32, 63, 64, 85, 86, 127, 128, 255, 256, 257, 21_845, 60_000]) {
      for (const text of ['x'.repeat(size), 'é'.repeat(size), `${'x'.repeat(size)}€`, `😀${'y'.repeat(size)}`]) {
        const bytes = written({ text });
        if (bytes === undefined) {
          expect(Buffer.byteLength(text)).toBeGreaterThan(60_000);
          continue;
        }
        expect(Buffer.compare(bytes, packr.pack({ text }))).toBe(0);
        if (bytes.length <= 2048) expect(read(bytes)).toStrictEqual({ text });
      }
    }
  });

  it('leave to the long way what it must escape, refuse, or store as records', () => {
    const getter = {
      get now() {
        return 1;
      },
    };
    const odd = [
      -0,
      NaN,
      1n,
      '\ud800',
      new Array(2),
      new Map(),
      new Date(0),
      new Uint8Array(1),
      Object.create(null),
      getter,
    ];
    const refused = [
      () => 1,
      Symbol('s'),
      { [Symbol('s')]: 1 },
      JSON.parse('{"__proto__":1}'),
      { set now(_: number) {} },
    ];
    const rows = Array.from({ length: 4 }, (_, a) => ({ a }));
    for (const value of [...odd, ...refused, rows, 'x'.repeat(70_000), new Array(70_000).fill(1)]) {
      expect(written(value)).toBeUndefined();
      if (value !== rows) expect(written([{ value }])).toBeUndefined();
    }
    expect(written(rows.slice(0, 3))).toBeDefined();
  });

  it('are what an object has of its own, whatever all objects inherit', () => {
    Object.defineProperty(Object.prototype, 'inherited', { value: 1, enumerable: true, configurable: true });
    const writer = new ByteWriter();
    const isWritten = writePlain(writer, { own: 1 }, bytesMax);
    delete (Object.prototype as { inherited?: unknown }).inherited;
    expect(isWritten).toBe(false);
    expect(writer.length).toBe(0);
    expect(written({ own: 1 })).toBeDefined();
  });

  it('with the same names in the same order are of one kind, and no name goes astray', () => {
    const shapes = fc.array(fc.uniqueArray(anyString, { maxLength: 6 }), { minLength: 1, maxLength: 6 });
    const values = fc.array(fc.oneof(fc.integer(), anyString, fc.constant({ inner: [1] })), {
      minLength: 6,
      maxLength: 6,
    });
    fc.assert(
      fc.property(shapes, values, (names, parts) => {
        // Often enough that each shape gets a function of its own.
        for (let round = 0; round < 20; round++) {
          for (const shape of names) {
            const value = Object.fromEntries(
              shape.filter((name) => name !== '__proto__').map((name, i) => [name, parts[i]]),
            );
            const bytes = written(value);
            if (bytes !== undefined && bytes.length <= 2048) expect(read(bytes)).toStrictEqual(value);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('that are dictionaries come back, however many names there are', () => {
    for (let i = 0; i < 6000; i++) {
      const value = { [`a${i}`]: i, nested: { [`b${i % 50}`]: i, [`c${i}`]: [i] }, [`d${i}`]: 'x' };
      expect(read(written(value)!)).toEqual(value);
    }
  });

  it('of damaged bytes are nothing or something plain, and nothing is read beyond the end', () => {
    fc.assert(
      fc.property(anyValue, fc.nat(), fc.nat(255), fc.nat(), (value, place, byte, cut) => {
        const bytes = Uint8Array.from(encodeValue(value));
        if (bytes.length === 0 || bytes.length > 2048) return;
        const damaged = bytes.slice(0, Math.max(1, bytes.length - (cut % 3)));
        damaged[place % damaged.length] = byte;
        const back = read(damaged);
        if (back !== notPlain && typeof back === 'object' && back !== null) {
          expect([Object.prototype, Array.prototype]).toContain(Object.getPrototypeOf(back));
        }
      }),
      { numRuns: 4000 },
    );
  });

  it('are written through the codec as they are read through it', () => {
    const writer = new ByteWriter();
    const value = {
      model: 'thermostat-7',
      site: 'building 4711, floor 3, room 11 é',
      sum: 1.5,
      count: 3,
      lastMs: 1.7e12,
    };
    writeValue(writer, value);
    const bytes = Buffer.from(writer.finish());
    expect(bytes[0]).toBe(bytes.length - 1);
    expect(decodeValueAt(bytes, 1, bytes.length)).toStrictEqual(value);
  });
});
