import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../../src/base/byte-reader.ts';
import { ByteWriter } from '../../../src/base/byte-writer.ts';
import { hashKey, keyIdentity, readKey, writeKey } from '../../../src/base/canonical-key.ts';
import { copyPlain } from '../../../src/base/plain-data.ts';
import { anyKey } from './plain-values.ts';

/** The meaning of key equality, written down once more without any trick. */
function sameKey(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return a === b || (Number.isNaN(a) && Number.isNaN(b));
  }
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = Object.keys(a).sort();
  const right = Object.keys(b).sort();
  if (left.length !== right.length) return false;
  return left.every(
    (name, i) =>
      name === right[i] && sameKey((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]),
  );
}

function bytesOf(key: unknown): Uint8Array {
  const writer = new ByteWriter();
  writeKey(writer, key);
  return writer.finish();
}

/** An equal key of other make: other property order, -0 for 0. */
function twin(key: unknown): unknown {
  if (key === 0) return Object.is(key, -0) ? 0 : -0;
  if (Array.isArray(key)) return key.map(twin);
  if (typeof key !== 'object' || key === null) return key;
  return Object.fromEntries(
    Object.entries(key)
      .reverse()
      .map(([name, value]) => [name, twin(value)]),
  );
}

const pair = fc.oneof(
  fc.tuple(anyKey, anyKey),
  anyKey.map((key) => [key, twin(key)] as [unknown, unknown]),
  anyKey.map((key) => [key, [key]] as [unknown, unknown]),
  anyKey.map((key) => [key, keyIdentity(key)] as [unknown, unknown]),
);

describe('canonical keys', () => {
  it('give equal identities, bytes and hashes exactly to keys that are equal by value', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const equal = sameKey(a, b);
        expect(new Set([keyIdentity(a), keyIdentity(b)]).size === 1).toBe(equal);
        expect(Buffer.compare(bytesOf(a), bytesOf(b)) === 0).toBe(equal);
        if (equal) expect(hashKey(a)).toBe(hashKey(b));
      }),
      { numRuns: 5000 },
    );
  });

  it('keep texts apart that look like parts of the canonical form', () => {
    const tricky = fc.string({ unit: fc.constantFrom('s', 'n', 'a', 'o', '1', '2', ':', ';', '\u0000'), maxLength: 5 });
    const composite = fc.oneof(
      fc.array(tricky, { maxLength: 3 }),
      fc.array(fc.array(tricky, { maxLength: 2 }), { maxLength: 2 }),
      fc.dictionary(tricky, tricky, { maxKeys: 2 }),
    );
    fc.assert(
      fc.property(fc.uniqueArray(composite, { comparator: sameKey, minLength: 2, maxLength: 60 }), (keys) => {
        expect(new Set(keys.map(keyIdentity)).size).toBe(keys.length);
        expect(new Set(keys.map((key) => Buffer.from(bytesOf(key)).toString('hex'))).size).toBe(keys.length);
      }),
    );
    const twins = [['xs', 'y'], ['x', 'sy'], { a: 'b', c: 'd' }, { a: 'b1:csd' }, [['1'], '2'], [['1', '2']]];
    expect(new Set(twins.map(keyIdentity)).size).toBe(twins.length);
  });

  it('come back equal from their bytes, one after the other', () => {
    fc.assert(
      fc.property(fc.array(anyKey, { maxLength: 5 }), (keys) => {
        const writer = new ByteWriter();
        for (const key of keys) writeKey(writer, key);
        const reader = new ByteReader(writer.finish());
        for (const key of keys) expect(sameKey(readKey(reader), key)).toBe(true);
        reader.end();
      }),
      { numRuns: 2000 },
    );
  });

  it('never confuse types', () => {
    const distinct = [
      1,
      '1',
      1n,
      true,
      'true',
      null,
      'null',
      [1],
      ['1'],
      [[1]],
      { a: 1 },
      { a: '1' },
      {},
      [],
      '',
      '[]',
    ];
    expect(new Set(distinct.map(keyIdentity)).size).toBe(distinct.length);
    expect(new Set(distinct.map((key) => Buffer.from(bytesOf(key)).toString('hex'))).size).toBe(distinct.length);
    expect(new Set(distinct.map(hashKey)).size).toBe(distinct.length);
  });

  it('hash to the values that are stored in checkpoints since the first version', () => {
    const keys = [
      0,
      -0,
      1,
      -1,
      2147483648,
      0.5,
      NaN,
      Infinity,
      '',
      'a',
      'device-42',
      'é😀',
      '\ud800',
      1n,
      -(2n ** 70n),
    ];
    const composite = [true, false, null, [], [1, 'x'], {}, { b: 2, a: [null, 1.5] }];
    expect([...keys, ...composite].map(hashKey)).toMatchInlineSnapshot(`
      [
        2612203797,
        2612203797,
        2779491157,
        1118533493,
        2494073716,
        1402370097,
        2605812845,
        2144321663,
        2872998923,
        444641715,
        3744374682,
        4159213040,
        1463727854,
        836131665,
        3659396561,
        301794027,
        3170179127,
        2349025055,
        1769204897,
        1791613179,
        3882323979,
        1704107279,
      ]
    `);
  });

  it('keep their stored bytes', () => {
    const hex = (key: unknown): string => Buffer.from(bytesOf(key)).toString('hex');
    const keys = [
      null,
      false,
      true,
      0,
      -1,
      300,
      2147483648,
      NaN,
      1n,
      -256n,
      'aé',
      '\ud800',
      [1, 'x'],
      { b: 2, a: null },
    ];
    expect(keys.map(hex)).toMatchInlineSnapshot(`
      [
        "00",
        "01",
        "02",
        "0300",
        "0301",
        "03d804",
        "04000000000000e041",
        "04000000000000f87f",
        "05000101",
        "0501020100",
        "060361c3a9",
        "070200d8",
        "08020302060178",
        "0902060161000601620304",
      ]
    `);
  });

  it('spread short strings and small integers evenly over partitions', () => {
    for (const key of [
      (i: number): unknown => i,
      (i: number): unknown => `device-${i}`,
      (i: number): unknown => [i, 'x'],
    ]) {
      for (const n of [2, 8, 10, 16, 256]) {
        const counts = new Array<number>(n).fill(0);
        for (let i = 0; i < 400 * n; i++) counts[hashKey(key(i)) % n]!++;
        expect(Math.min(...counts)).toBeGreaterThan(280);
        expect(Math.max(...counts)).toBeLessThan(520);
      }
    }
  });

  it('refuse what has no canonical form and name the place', () => {
    class Money {
      readonly cents = 1;
    }
    const cyclic: unknown[] = [];
    cyclic.push({ again: cyclic });
    let deep: unknown = 1;
    for (let i = 0; i < 200; i++) deep = [deep];
    const sparse: unknown[] = [];
    sparse.length = 1;
    const cases: [unknown, string][] = [
      [undefined, '$ is undefined'],
      [() => 1, '$ is a function'],
      [Symbol('s'), '$ is a symbol'],
      [new Date(0), '$ is an instance of Date'],
      [['x', { when: new Date(0) }], '$[1].when is an instance of Date'],
      [{ 'a b': new Money() }, '$["a b"] is an instance of Money'],
      [new Map(), '$ is an instance of Map'],
      [sparse, '$[0] is undefined'],
      [cyclic, '$[0].again refers back'],
      [deep, 'nested deeper than 100'],
      [JSON.parse('{"__proto__":1}'), '$ has a property named __proto__'],
      [[{ constructor: 1 }], '$[0] has a property named constructor'],
      [{ [Symbol('s')]: 1 }, '$ has a property named by a symbol'],
    ];
    for (const [key, problem] of cases) {
      for (const use of [keyIdentity, hashKey, bytesOf]) {
        expect(() => use(key)).toThrowError(
          expect.objectContaining({ code: 'KEY_UNSUPPORTED', message: expect.stringContaining(problem) }),
        );
      }
    }
  });

  it('report damaged bytes instead of returning a wrong key of a valid prefix', () => {
    fc.assert(
      fc.property(anyKey, fc.nat(), (key, cut) => {
        const bytes = bytesOf(key);
        const reader = new ByteReader(bytes.subarray(0, cut % bytes.length));
        expect(() => readKey(reader)).toThrowError(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          readKey(new ByteReader(bytes));
        } catch (error) {
          expect(error).toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
        }
      }),
      { numRuns: 3000 },
    );
    expect(() => readKey(new ByteReader(new Uint8Array(100_000).fill(8)))).toThrowError(/damaged/);
  });

  it('decode to independent plain objects', () => {
    const key = { a: [1, { b: 'x' }] };
    const decoded = readKey(new ByteReader(bytesOf(key)));
    expect(decoded).toStrictEqual(copyPlain(key));
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
  });
});
