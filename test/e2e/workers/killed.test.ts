import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { type Pair, rowsOf } from './rows-source.ts';

const folder = mkdtempSync(join(tmpdir(), 'tidemark-killed-'));
const program = fileURLToPath(new URL('./killed-driver.ts', import.meta.url));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Resolves with the signal or code a driver has ended with. */
async function life(killAt?: string): Promise<unknown> {
  const child = spawn(process.execPath, [program], {
    env: {
      ...process.env,
      FOLDER: folder,
      LAST_BATCH: '40',
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
      ...(killAt === undefined ? {} : { KILL_AT: killAt }),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: 60_000,
  });
  const [code, signal] = await once(child, 'exit');
  return signal ?? code;
}

/** Contents of the objects an output has published, in order of their batches. */
function published(output: string): string[] {
  // The store keeps files of its own beside them.
  const place = join(folder, output, `${output}-out`);
  return readdirSync(place)
    .sort()
    .map((name) => readFileSync(join(place, name), 'utf8'));
}

test('a process with worker threads that is killed again and again loses and doubles nothing', async () => {
  const points = [
    'batch:planned:4',
    'batch:staged:5',
    'commit:before-record:4',
    'commit:record-written:6',
    'publish:one-done:5',
  ];
  for (const point of points) expect(await life(point), point).toBe('SIGKILL');
  expect(await life()).toBe(0);

  const rows = published('rows').flatMap((text) => text.trim().split('\n'));
  const totals = published('totals').flatMap((text) =>
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Pair),
  );
  const expected: string[] = [];
  const sums = new Map<string, number>();
  for (let batch = 1; expected.length < rows.length; batch++) {
    for (let partition = 0; partition < 4; partition++) {
      for (const row of rowsOf(batch, partition)) {
        expected.push(JSON.stringify(row));
        sums.set(row[0], (sums.get(row[0]) ?? 0) + row[1]);
      }
    }
  }
  expect(expected.length).toBeGreaterThan(500);
  expect(rows.toSorted()).toEqual(expected.toSorted());
  const last = new Map(totals.slice(-sums.size));
  expect(last).toEqual(sums);
}, 120_000);
