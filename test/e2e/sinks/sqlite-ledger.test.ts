import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { projectRoot } from '../../../scripts/steps.ts';

let folder: string;
const children = new Set<ChildProcess>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-ledger-'));
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** Runs the example until it has told of so many batches, then kills it; or to its end. */
async function run(role: 'write' | 'follow', batches: number, ...args: string[]): Promise<string> {
  const example = join(projectRoot, 'examples', 'sqlite-ledger.ts');
  const child = spawn(process.execPath, [example, role, '--folder', folder, ...args], {
    cwd: projectRoot,
    // Loading is most of a start.
    env: { ...process.env, NODE_COMPILE_CACHE: join(folder, 'compile-cache') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if ((text.match(/^batch \d+/gm) ?? []).length >= batches) child.kill('SIGKILL');
    });
  }
  await once(child, 'close');
  children.delete(child);
  return text;
}

function numbersIn(file: string): number[] {
  const database = new DatabaseSync(join(folder, file), { readOnly: true });
  const rows = database.prepare('SELECT number FROM entries ORDER BY rowid').all();
  database.close();
  return rows.map(({ number }) => Number(number));
}

test('row 14: a transactional sink on a real database, and a follower of the outbox, are exact though both are killed', async () => {
  for (const batches of [2, 3, 1]) {
    const told = await run('write', batches);
    if (batches === 2) expect(told).toMatch(/numbers +feed +exactly once/);
    await run('follow', batches, '--wait', '0');
  }
  const rest = await run('follow', Number.POSITIVE_INFINITY, '--wait', '0');
  expect(rest).not.toContain('Error');
  const ledger = numbersIn('ledger.sqlite');
  const copy = numbersIn('copy.sqlite');
  expect(ledger.length).toBeGreaterThan(100);
  // The source counts, so every number must be there once, in order.
  expect(ledger).toEqual(ledger.map((_, index) => index));
  // The last batch may be committed and not written when the writer was killed.
  expect(copy).toEqual(copy.map((_, index) => index));
  expect(copy.length).toBeGreaterThanOrEqual(ledger.length);
}, 120_000);

test('a role that is none is explained', async () => {
  const child = spawn(process.execPath, [join(projectRoot, 'examples', 'sqlite-ledger.ts'), 'read'], {
    stdio: 'ignore',
  });
  expect((await once(child, 'close'))[0]).toBe(2);
});
