import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packRows } from '../../../src/rdd/shuffle-dependency.ts';
import { BlockWriter, decodeRows, encodeColumns } from '../../../src/workers/block-codec.ts';

const somePrimitive = fc.oneof(
  fc.string(),
  fc.double(),
  fc.bigInt(),
  fc.boolean(),
  fc.constantFrom(null, undefined, -0, Number.NaN, '\ud800'),
);
const someValue = fc.oneof(
  somePrimitive,
  fc.date(),
  fc.array(somePrimitive, { maxLength: 3 }),
  fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), somePrimitive, { maxKeys: 3 }),
  fc.uint8Array({ maxLength: 5 }),
  fc.uint8Array({ maxLength: 5 }).map((bytes) => ({ body: Buffer.from(bytes) })),
  fc.array(somePrimitive, { maxLength: 3 }).map((values) => new Set(values)),
);
const someRows = fc.oneof(
  fc.array(someValue, { maxLength: 20 }),
  fc.array(fc.tuple(someValue, someValue), { maxLength: 20 }),
  fc.array(fc.tuple(fc.string(), fc.integer()), { maxLength: 20 }),
);

function isMessage(row: unknown): row is { readonly body: Buffer } {
  return typeof row === 'object' && row !== null && 'body' in row && Buffer.isBuffer(row.body);
}

describe('rows that cross threads', () => {
  test('arrive as they were', () => {
    fc.assert(
      fc.property(someRows, (rows) => {
        const found = decodeRows(structuredClone(encodeColumns(packRows(rows), 'test')));
        expect(found).toEqual(rows);
        rows.forEach((row, i) => {
          if (typeof row === 'number') expect(Object.is(found[i], row)).toBe(true);
          if (isMessage(row)) expect(Buffer.isBuffer((found[i] as { readonly body: unknown }).body)).toBe(true);
        });
      }),
      { numRuns: 300 },
    );
  });

  test('are cut into blocks of thousands', () => {
    const writer = new BlockWriter('test');
    const rows = Array.from({ length: 10_000 }, (_, i) => [`key ${i}`, i]);
    rows.forEach(writer.push);
    const blocks = writer.finish();
    expect(blocks.length).toBe(3);
    expect(blocks.flatMap((block) => decodeRows(block))).toEqual(rows);
  });

  test.each([
    ['a function', [() => 1]],
    ['an instance of a class', [new (class Point {})()]],
    ['a symbol', [['key', Symbol('s')]]],
  ])('%s is refused with the name of the operator', (_what, rows) => {
    expect(() => encodeColumns(packRows(rows), 'groupByKey')).toThrow(
      expect.objectContaining({ code: 'VALUE_UNSUPPORTED', message: expect.stringContaining("'groupByKey'") }),
    );
  });
});
