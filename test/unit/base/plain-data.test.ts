import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyPlain, equalPlain } from '../../../src/base/plain-data.ts';
import { anyValue } from './plain-values.ts';

/** Every object inside a value, for the proof that a copy shares none. */
function objectsOf(value: unknown, found = new Set<object>()): Set<object> {
  if (typeof value !== 'object' || value === null) return found;
  found.add(value);
  if (value instanceof Map) for (const entry of value) for (const part of entry) objectsOf(part, found);
  else if (value instanceof Set) for (const item of value) objectsOf(item, found);
  else if (ArrayBuffer.isView(value)) found.add(value.buffer);
  else for (const part of Object.values(value)) objectsOf(part, found);
  return found;
}

describe('plain data', () => {
  it('copies to an equal value that shares nothing', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const copy = copyPlain(value);
        expect(copy).toStrictEqual(value);
        const originals = objectsOf(value);
        for (const part of objectsOf(copy)) expect(originals.has(part)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it('compares as strict equality of a test runner does, and order of Maps and Sets counts', () => {
    const equals = (a: unknown, b: unknown): boolean => {
      try {
        expect(a).toStrictEqual(b);
        return true;
      } catch {
        return false;
      }
    };
    const ordered = (value: unknown): unknown => {
      if (value instanceof Map) return ['map', ...Array.from(value, ([k, v]) => [ordered(k), ordered(v)])];
      if (value instanceof Set) return ['set', ...Array.from(value, ordered)];
      if (value instanceof Date) return value;
      if (Array.isArray(value)) {
        const copy = value.slice();
        value.forEach((item, i) => {
          copy[i] = ordered(item);
        });
        return copy;
      }
      if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
        return value;
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, ordered(item)]));
    };
    fc.assert(
      fc.property(anyValue, anyValue, (a, b) => {
        expect(equalPlain(a, b)).toBe(equals(ordered(a), ordered(b)));
        expect(equalPlain(a, a)).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });

  it('tells near twins apart', () => {
    const hole: unknown[] = [];
    hole.length = 1;
    const twins: [unknown, unknown][] = [
      [0, -0],
      [1, '1'],
      [1, 1n],
      [null, undefined],
      [hole, [undefined]],
      [{ a: undefined }, {}],
      [{ a: undefined }, { b: undefined }],
      [[], {}],
      [new Map([[1, 2]]), new Map([[1, 3]])],
      [
        new Map([
          [1, 1],
          [2, 2],
        ]),
        new Map([
          [2, 2],
          [1, 1],
        ]),
      ],
      [new Set([1, 2]), new Set([2, 1])],
      [new Date(1), new Date(2)],
      [new Uint8Array(2), new Int8Array(2)],
      [new Uint8Array(2), new ArrayBuffer(2)],
    ];
    for (const [a, b] of twins) {
      expect(equalPlain(a, b)).toBe(false);
      expect(equalPlain(b, a)).toBe(false);
    }
    expect(equalPlain({ a: 1, b: 2 }, { b: 2, a: 1 })).toBe(true);
    expect(equalPlain(Number.NaN, Number.NaN)).toBe(true);
  });

  it('refuses to copy what is no plain data', () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    for (const value of [
      () => 1,
      [() => 1],
      { a: new URL('http://localhost') },
      cyclic,
      JSON.parse('{"__proto__":1}'),
    ]) {
      expect(() => copyPlain(value)).toThrowError(expect.objectContaining({ code: 'VALUE_UNSUPPORTED' }));
    }
  });
});
