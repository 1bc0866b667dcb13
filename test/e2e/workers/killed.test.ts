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

interface Life {
  /** The signal or code the driver has ended with. */
  readonly end: unknown;
  /** Its warnings. */
  readonly told: string;
}

/** `faults`: see the program. */
async function life(place: string, faults: Readonly<Record<string, string>>, lastBatch: number): Promise<Life> {
  const child = spawn(process.execPath, [program], {
    env: {
      ...process.env,
      FOLDER: join(folder, place),
      LAST_BATCH: String(lastBatch),
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
      ...faults,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  let told = '';
  child.stderr.on('data', (text) => (told += text));
  const [code, signal] = await once(child, 'close');
  return { end: signal ?? code, told };
}

/** Contents of the objects an output has published, in order of their batches. */
function published(place: string, output: string): string[] {
  // The store keeps files of its own beside them.
  const objects = join(folder, place, output, `${output}-out`);
  return readdirSync(objects)
    .sort()
    .map((name) => readFileSync(join(objects, name), 'utf8'));
}

/** Every row once, and the sums of all of them. */
function expectWhole(place: string): void {
  const rows = published(place, 'rows').flatMap((text) => text.trim().split('\n'));
  const totals = published(place, 'totals').flatMap((text) =>
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
}

test('a process with worker threads that is killed again and again loses and doubles nothing', async () => {
  const points = [
    'batch:planned:4',
    'batch:outputs-run:3',
    'batch:staged:5',
    'commit:before-record:4',
    'commit:record-written:6',
    'publish:one-done:5',
  ];
  for (const point of points) expect((await life('killed', { KILL_AT: point }, 40)).end, point).toBe('SIGKILL');
  expect(await life('killed', {}, 80)).toMatchObject({ end: 0 });
  expectWhole('killed');
}, 120_000);

test('a worker thread that ends while the driver stands at a point of a batch costs nothing but work', async () => {
  // Not more than four are lost in a minute, or the stream ends.
  const lives = [
    ['batch:planned:4', 'batch:staged:9', 'commit:before-record:14'],
    ['commit:record-written:4', 'publish:one-done:9'],
  ];
  for (const [i, points] of lives.entries()) {
    const { end, told } = await life('exits', { EXIT_AT: points.join(',') }, 30 * (i + 1));
    expect(end, told).toBe(0);
    expect(told.split('exit code 3').length - 1, told).toBe(points.length);
  }
  expectWhole('exits');
}, 120_000);
