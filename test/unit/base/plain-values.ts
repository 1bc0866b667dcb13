import fc from 'fast-check';

const oddNumbers = fc.constantFrom(
  0,
  -0,
  1,
  -1,
  Number.NaN,
  Infinity,
  -Infinity,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 53,
  5e-324,
);
export const anyNumber: fc.Arbitrary<number> = fc.oneof(oddNumbers, fc.integer(), fc.double(), fc.maxSafeInteger());
// 'binary' units include lone surrogates.
export const anyString: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 8 }),
  fc.string({ unit: 'binary', maxLength: 70 }),
  fc.constantFrom(
    '',
    '\u0000',
    '\u0000s',
    '\u0000a1:n1;',
    '\ud800',
    'a\udc00b',
    'é',
    '😀',
    'n1;',
    '1',
    'x'.repeat(300),
  ),
);
const anyBigint = fc.oneof(
  fc.bigInt({ min: -5n, max: 5n }),
  fc.bigInt(),
  fc.constantFrom(2n ** 63n - 1n, 2n ** 63n, -(2n ** 63n), -(2n ** 63n) - 1n, 2n ** 200n),
);
const forbidden = ['__proto__', 'constructor', 'prototype'];
const propertyName = fc
  .oneof(fc.constantFrom('a', 'b', 'c', '1', '10', '', 'toString', 'a b'), anyString)
  .filter((name) => !forbidden.includes(name));

function properties<T>(item: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> {
  return fc
    .uniqueArray(fc.tuple(propertyName, item), { selector: ([name]) => name, maxLength: 5 })
    .map(Object.fromEntries);
}

/** Keys of the canonical encoding. */
export const anyKey: fc.Arbitrary<unknown> = fc.letrec<{ key: unknown }>((tie) => ({
  key: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'key' },
    anyString,
    anyNumber,
    anyBigint,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('key'), { maxLength: 4, depthIdentifier: 'key' }),
    properties(tie('key')),
  ),
})).key;

const typedArray: fc.Arbitrary<unknown> = fc.uint8Array({ minLength: 0, maxLength: 5 }).chain((bytes) => {
  const padded = new Uint8Array(bytes.length * 8);
  padded.set(bytes);
  const buffer = padded.buffer;
  return fc.constantFrom<unknown>(
    bytes,
    buffer,
    new Int8Array(bytes),
    new Uint8ClampedArray(bytes),
    new Int16Array(buffer),
    new Uint16Array(buffer),
    new Int32Array(buffer),
    new Uint32Array(buffer),
    new Float32Array(buffer),
    new Float64Array(buffer),
    new BigInt64Array(buffer),
    new BigUint64Array(buffer),
    new Uint16Array(buffer, 0, padded.length / 4),
  );
});

function withHoles(items: unknown[]): unknown[] {
  const sparse: unknown[] = [];
  sparse.length = items.length * 2;
  items.forEach((item, i) => {
    sparse[i * 2] = item;
  });
  return sparse;
}

/** The whole universe of the value codec. */
export const anyValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'value' },
    anyString,
    anyNumber,
    anyBigint,
    fc.boolean(),
    fc.constantFrom(null, undefined),
    fc.date({ noInvalidDate: false }),
    fc.constantFrom(new Date(8.64e15), new Date(-8.64e15), new Date(-1), new Date(Number.NaN)),
    typedArray,
    fc.array(tie('value'), { maxLength: 6, depthIdentifier: 'value' }),
    fc.array(tie('value'), { maxLength: 3, depthIdentifier: 'value' }).map(withHoles),
    properties(tie('value')),
    fc.array(properties(tie('value')), { maxLength: 8, depthIdentifier: 'value' }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 4, depthIdentifier: 'value' }).map((e) => new Map(e)),
    fc.array(tie('value'), { maxLength: 4, depthIdentifier: 'value' }).map((items) => new Set(items)),
  ),
})).value;
