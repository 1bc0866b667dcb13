import { expect, test } from 'vitest';
import { textFormat } from '../../../src/sources/files/file-formats.ts';

const file = { path: '/in/a.txt', name: 'a.txt', sizeBytes: 0, modifiedMs: 0 };

async function read(text: string): Promise<{ readonly lines: string[]; readonly largest: number }> {
  const lines: string[] = [];
  let largest = 0;
  async function* chunks(): AsyncIterable<Uint8Array> {
    yield Buffer.from(text);
  }
  await textFormat(chunks(), file, (rows) => {
    lines.push(...rows);
    largest = Math.max(largest, rows.length);
  });
  return { lines, largest };
}

test('lines of a large file are made a piece at a time', async () => {
  const expected = Array.from({ length: 50_000 }, (_, i) => `line ${i} with ä and €`);
  const { lines, largest } = await read(`${expected.join('\n')}\n`);
  expect(lines).toEqual(expected);
  expect(largest).toBeLessThan(5000);
});

test.each(['\n', '\r\n', '\r'])('lines that end with %j are the same wherever a piece ends', async (end) => {
  // Lines of 13 bytes and one or two more: the ends of pieces fall on every place of a line.
  const expected = Array.from({ length: 60_000 }, (_, i) => `line ${String(i).padStart(8, '0')}`);
  expect((await read(expected.join(end) + end)).lines).toEqual(expected);
});
