import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { StateTable } from '../../../src/state/state-table.ts';
import { openFileStore } from '../../../src/storage/file-store.ts';
import { parseStoreUrl } from '../../../src/storage/store-url.ts';
import { expectedSum, keys, rounds } from './large-batch-rows.ts';

const program = join(import.meta.dirname, 'large-batch-process.ts');
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-large-batch-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function run(env: Readonly<Record<string, string>>): Promise<{ code: number | null; signal: string | null }> {
  const child = spawn(process.execPath, [program], {
    env: { ...process.env, CHECKPOINT: join(folder, 'checkpoint'), ...env },
    stdio: 'ignore',
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return { code, signal };
}

/** The state as the last batch left it, read by nobody but this test. */
async function storedSums(): Promise<ReadonlyMap<string, unknown>> {
  const store = await openFileStore(parseStoreUrl(join(folder, 'checkpoint')) as Parameters<typeof openFileStore>[0]);
  const found = (await readCheckpoint(store))!;
  const table = new StateTable({ uid: 'sums', numPartitions: 3 });
  await table.restoreFrom(found.storedState().get('sums')!, found.status.fingerprints.sums);
  await table.ensureLoaded();
  const sums = new Map<string, unknown>();
  for (let p = 0; p < table.numPartitions; p++) {
    table.partition(p).forEach(0, (_id, { key, value }) => sums.set(key as string, value));
  }
  return sums;
}

test.each([
  ['in the middle of the keys of a partition', { DIE_AT_CALL: String(2 * keys + 10_000) }],
  ['before a batch is merged', { DIE_AT_POINT: 'batch:state-advanced' }],
  ['while the segments of a batch are on their way', { DIE_AT_POINT: 'commit:segments-written' }],
])('a batch that changes 40,000 keys, killed %s, is run again whole', { timeout: 90_000 }, async (_when, death) => {
  const startMs = String(Date.now() + 1000);
  expect(await run({ START_MS: startMs, ...death })).toEqual({ code: null, signal: 'SIGKILL' });
  expect(await run({ START_MS: startMs })).toEqual({ code: 0, signal: null });
  const sums = await storedSums();
  expect(sums.size).toBe(keys);
  for (let i = 0; i < keys; i++) {
    const stored = sums.get(`key ${i}`) as { sum: number; rows: number };
    if (stored.sum !== expectedSum(i) || stored.rows !== rounds)
      expect.unreachable(`key ${i}: ${JSON.stringify(stored)}`);
  }
});
