import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ByteTurns } from '../../../src/base/byte-turns.ts';

const mebibyte = 1024 * 1024;

describe('bytes in turns', () => {
  test.each([0, 1, 2 * mebibyte - 1, 2 * mebibyte, 9 * mebibyte + 3])(
    '%i of them give the hashes of all at once',
    async (size) => {
      const bytes = Buffer.alloc(size, 'some bytes');
      const turns = new ByteTurns();
      expect(await turns.sha256Hex(bytes)).toBe(createHash('sha256').update(bytes).digest('hex'));
      expect(Buffer.from(await turns.md5(bytes))).toEqual(createHash('md5').update(bytes).digest());
      const parts = [bytes.subarray(0, size >> 1), new Uint8Array(0), bytes.subarray(size >> 1)];
      expect(Buffer.compare(await turns.concat(parts), bytes)).toBe(0);
    },
  );

  test('the event loop has a turn after every two mebibytes, over all that is done', async () => {
    let turnsOfLoop = 0;
    let isDone = false;
    const count = (): void => {
      turnsOfLoop += 1;
      if (!isDone) setImmediate(count);
    };
    const turns = new ByteTurns();
    const piece = Buffer.alloc(mebibyte / 2);
    setImmediate(count);
    for (let i = 0; i < 40; i++) await turns.sha256Hex(piece);
    isDone = true;
    expect(turnsOfLoop).toBeGreaterThanOrEqual(9);
  });
});
