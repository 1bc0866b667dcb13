import { expect, test } from 'vitest';
import { ProgressBar } from '../../../src/cli/progress-bar.ts';

function draw(isTTY: boolean): string[] {
  const written: string[] = [];
  const bar = new ProgressBar('verify', { isTTY, write: (text) => written.push(text) });
  for (let done = 0; done <= 1000; done++) bar.show({ done, total: 1000 });
  bar.end();
  return written;
}

test('a bar is drawn once per percent on a terminal, and taken off at the end', () => {
  const written = draw(true);
  expect(written.length).toBe(102);
  expect(written[50]).toBe(`\rverify [${'#'.repeat(15)}${'.'.repeat(15)}]  50 %  500/1000 objects`);
  expect(written.at(-1)).toBe('\r\u001b[K');
});

test('nothing is drawn where no person watches', () => {
  expect(draw(false)).toEqual([]);
});
