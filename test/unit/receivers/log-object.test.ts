import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeValue, encodeValue } from '../../../src/base/value-codec.ts';
import {
  type BlockBytes,
  decodeLogObject,
  encodeLogObject,
  logObjectName,
  parseLogObjectName,
  payloadsOf,
} from '../../../src/sources/receiver/log-object.ts';

const owner = { slot: 7, epoch: 3, commitId: 'ab'.repeat(16) };
const name = logObjectName(owner.slot);

function block(...rows: unknown[]): BlockBytes {
  return { payload: encodeValue(rows), records: rows.length };
}

test('an object comes back with its blocks where they were put', () => {
  const { bytes, object } = encodeLogObject(owner, [block('a', 'b'), block(), block(1)]);
  expect(decodeLogObject(name, 7, bytes)).toEqual(object);
  expect(object.blocks.map(({ records }) => records)).toEqual([2, 0, 1]);
  for (const [i, range] of object.blocks.entries()) {
    const [payload] = payloadsOf(name, range, bytes.subarray(range.offset, range.offset + range.length));
    expect(decodeValue(payload!)).toEqual([['a', 'b'], [], [1]][i]);
  }
  const whole = object.whole!;
  expect(whole.records).toBe(3);
  expect(payloadsOf(name, whole, bytes.subarray(whole.offset, whole.offset + whole.length))).toHaveLength(3);
});

test('an object without blocks is a fence', () => {
  const { bytes, object } = encodeLogObject(owner, []);
  expect(object).toEqual({ slot: 7, epoch: 3, kind: 'fence', blocks: [], whole: undefined });
  expect(decodeLogObject(name, 7, bytes)).toEqual(object);
});

test('the bytes of format version 1 stay what they are', () => {
  const { bytes } = encodeLogObject(owner, [block('a')]);
  expect(Buffer.from(bytes).toString('hex')).toBe(
    '544d524c01010703abababababababababababababababab01070142cbfcdd2ab62e250300000091a161' +
      '1af6acacac58c5bdae97e5b493aa59182964b8701f06fc64a5e4407e0826db69',
  );
});

test('a changed byte anywhere, a missing end and an extra byte are all damage', () => {
  const { bytes } = encodeLogObject(owner, [block('a', 'b'), block({ n: 1 })]);
  for (let i = 0; i < bytes.length; i++) {
    const damaged = new Uint8Array(bytes);
    damaged[i]! ^= 1;
    expect(() => decodeLogObject(name, 7, damaged), `byte ${i}`).toThrow(/damaged|format version/);
  }
  for (let end = 0; end < bytes.length; end++) {
    expect(() => decodeLogObject(name, 7, bytes.subarray(0, end)), `${end} bytes`).toThrow(/damaged/);
  }
  expect(() => decodeLogObject(name, 7, Buffer.concat([bytes, new Uint8Array(1)]))).toThrow(/damaged/);
  expect(() => decodeLogObject(logObjectName(8), 8, bytes)).toThrow(/slot 7/);
});

test('random bytes are never an object', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(() => decodeLogObject(name, 7, bytes)).toThrow();
    }),
  );
});

test('a range with other bytes than were planned is damage', () => {
  const { bytes, object } = encodeLogObject(owner, [block('a')]);
  const range = object.blocks[0]!;
  const found = bytes.slice(range.offset, range.offset + range.length);
  found[5]! ^= 1;
  expect(() => payloadsOf(name, range, found)).toThrow(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
});

test('names sort as slots do, and other names are left alone', () => {
  expect([9, 10, 100].map(logObjectName).sort()).toEqual([9, 10, 100].map(logObjectName));
  expect(parseLogObjectName(logObjectName(12))).toBe(12);
  expect(parseLogObjectName('log/12')).toBeUndefined();
});
