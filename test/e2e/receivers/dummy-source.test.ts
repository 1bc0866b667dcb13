import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../../../scripts/steps.ts';

async function run(...args: readonly string[]): Promise<{ readonly code: number | null; readonly lines: string[] }> {
  const child = spawn(process.execPath, [join(projectRoot, 'examples', 'dummy-source.ts'), ...args], {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, lines: text.split('\n') };
}

test('the dummy source prints its numbers batch by batch, and the window of the last batches', async () => {
  const { code, lines } = await run('--every', '200ms', '--batch', '1s', '--window', '3s', '--duration', '5s');
  expect(code).toBe(0);
  const numbers = lines.flatMap((line) => /^(\d+) at \d{4}-/.exec(line)?.[1] ?? []).map(Number);
  expect(numbers.length).toBeGreaterThan(15);
  expect(numbers).toEqual(numbers.map((_, n) => n));
  const windows = lines.flatMap((line) => {
    const match = /^window up to \S+: (\d+) numbers, (\d+) to (\d+)$/.exec(line);
    return match === null ? [] : [match.slice(1).map(Number) as [count: number, first: number, last: number]];
  });
  expect(windows.length).toBeGreaterThanOrEqual(4);
  for (const [count, first, last] of windows) expect(last - first + 1).toBe(count);
  // The window has moved on.
  expect(windows.at(-1)![1]).toBeGreaterThan(0);
});

test('an argument that is no time is explained', async () => {
  const { code, lines } = await run('--every', 'often');
  expect(code).toBe(2);
  expect(lines[0]).toBe("--every is 'often'; give a time such as 200ms, 5s or 1m.");
});
