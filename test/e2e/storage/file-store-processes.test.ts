import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { expectDone, id, text } from '../../support/object-store-suite.ts';

const child = fileURLToPath(new URL('./increment-child.ts', import.meta.url));
const share = 60;

describe('FileStore between processes', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-processes-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Runs one writer; kills it after its `killAfter`-th increment. Resolves with the values it was told it wrote. */
  async function run(killAfter = Number.POSITIVE_INFINITY): Promise<number[]> {
    const process_ = spawn(process.execPath, [child, folder, String(share)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const values: number[] = [];
    createInterface({ input: process_.stdout }).on('line', (line) => {
      values.push(Number(line));
      if (values.length === killAfter) process_.kill('SIGKILL');
    });
    const [code] = await once(process_, 'close');
    if (killAfter === Number.POSITIVE_INFINITY) expect(code).toBe(0);
    return values;
  }

  it('loses no swap, and no writer waits for one that was killed in the middle', async () => {
    const store = await openObjectStore(folder);
    await expectDone(store.putIfAbsent('counter', text('0\n'), id(0)));
    const results = await Promise.all([run(), run(), run(5), run(20)]);
    const acknowledged = results.flat();
    expect(new Set(acknowledged).size).toBe(acknowledged.length);
    const found = await store.get('counter');
    const value = Number.parseInt(Buffer.from((found as { bytes: Uint8Array }).bytes).toString(), 10);
    // A killed writer may have swapped once more without living to say so.
    expect(value).toBeGreaterThanOrEqual(acknowledged.length);
    expect(value).toBeLessThanOrEqual(acknowledged.length + 2);
    expect(results[0]).toHaveLength(share);
    expect(results[1]).toHaveLength(share);
  }, 60_000);
});
