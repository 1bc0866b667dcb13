import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blockBytesMax, readByteBlocks } from '../../../src/sources/sockets/byte-blocks.ts';
import { lineCharactersMax, readLines } from '../../../src/sources/sockets/lines.ts';

async function* chunksOf(bytes: Uint8Array, cuts: readonly number[]): AsyncIterable<Uint8Array> {
  const borders = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...borders, bytes.length]) {
    yield bytes.subarray(from, to);
    from = to;
  }
}

async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

const cuts = fc.array(fc.nat(), { maxLength: 12 });

describe('lines', () => {
  const text = fc
    .array(fc.constantFrom('a', 'ß', '🌊', '日', '\n', '\r', '\r\n', ' '), { maxLength: 40 })
    .map((parts) => parts.join(''));

  test('are the same however the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(text, cuts, async (given, at) => {
        const expected = given.split(/\r\n|\n|\r/);
        if (expected.at(-1) === '') expected.pop();
        expect(await collect(readLines(chunksOf(Buffer.from(given), at)))).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test('a line and its end may lie in three chunks', async () => {
    const parts = [Buffer.from('on'), Buffer.from('e\r'), Buffer.from('\ntwo\r'), Buffer.from('three')];
    async function* chunks(): AsyncIterable<Uint8Array> {
      yield* parts;
    }
    expect(await collect(readLines(chunks()))).toEqual(['one', 'two', 'three']);
  });

  test('an endless line is refused', async () => {
    async function* endless(): AsyncIterable<Uint8Array> {
      for (;;) yield Buffer.alloc(1024 * 1024, 'x');
    }
    await expect(collect(readLines(endless()))).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining(String(lineCharactersMax)),
    });
  });
});

describe('length-prefixed blocks', () => {
  function framed(blocks: readonly Uint8Array[]): Buffer {
    return Buffer.concat(
      blocks.flatMap((block) => {
        const length = Buffer.alloc(4);
        length.writeInt32BE(block.length);
        return [length, block];
      }),
    );
  }

  test('are the same however the bytes are cut', async () => {
    const blocks = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(blocks, cuts, async (given, at) => {
        const found = await collect(readByteBlocks(chunksOf(framed(given), at)));
        expect(found.map((block) => [...block])).toEqual(given.map((block) => [...block]));
      }),
      { numRuns: 500 },
    );
  });

  test('bytes that end within a block or its length are refused', async () => {
    const bytes = framed([new Uint8Array(5)]);
    for (let end = 1; end < bytes.length; end++) {
      await expect(collect(readByteBlocks(chunksOf(bytes.subarray(0, end), [])))).rejects.toMatchObject({
        code: 'INPUT_MALFORMED',
      });
    }
  });

  test('a length that cannot be is refused before anything is read', async () => {
    for (const length of [-1, blockBytesMax + 1]) {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32BE(length);
      await expect(collect(readByteBlocks(chunksOf(bytes, [])))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    }
  });
});
