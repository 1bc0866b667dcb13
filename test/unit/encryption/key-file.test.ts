import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { runExport } from '../../../src/cli/checkpoint-export.ts';
import { runVerify } from '../../../src/cli/checkpoint-verify.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { dropMemoryStore } from '../../../src/storage/memory-store.ts';
import { openCheckpointStore } from '../../../src/storage/open-checkpoint-store.ts';
import { errorOf } from '../engine/support.ts';
import { everything, Run } from '../inspect/support.ts';
import { after, before, keyNew, keyOld } from './keys.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-keys-'));
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const store = await openCheckpointStore('memory:key-file/stream', { encryption: before });
  await new Run(store).to(12_000, everything);
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  dropMemoryStore('key-file');
  await rm(folder, { recursive: true });
});

const fileText = (id: string, key: Uint8Array): string =>
  JSON.stringify({ current: id, keys: { [id]: Buffer.from(key).toString('base64') } });

async function keyFile(id: string, key: Uint8Array): Promise<string> {
  const path = join(folder, `${id}.json`);
  await writeFile(path, fileText(id, key));
  return path;
}

it('a command reads an encrypted checkpoint with a key file or the environment, and not without', async () => {
  expect((await errorOf(runVerify(['memory:key-file/stream']))).code).toBe('ENCRYPTION_KEY_MISSING');
  expect(await runVerify(['memory:key-file/stream', '--key-file', await keyFile('key-2025', keyOld)])).toBe(0);
  vi.stubEnv('TIDEMARK_ENCRYPTION_KEYS', fileText('key-2025', keyOld));
  expect(await runVerify(['memory:key-file/stream'])).toBe(0);
});

it('an export encrypts with the keys of the target, without them with those of the source', async () => {
  const [source, target] = [await keyFile('key-2025', keyOld), await keyFile('key-2026', keyNew)];
  const keys = ['--key-file', source];
  await runExport(['memory:key-file/stream', 'memory:key-file/same', ...keys]);
  await runExport(['memory:key-file/stream', 'memory:key-file/other', ...keys, '--target-key-file', target]);
  const findings = async (url: string, encryption: typeof before) =>
    (await verifyCheckpoint(url, { storage: { encryption } })).findings;
  expect(await findings('memory:key-file/same', before)).toEqual([]);
  expect(await findings('memory:key-file/other', after)).toEqual([]);
});

it('a key file that cannot be read is named', async () => {
  const error = await errorOf(runVerify(['memory:key-file/stream', '--key-file', join(folder, 'none.json')]));
  expect(error.code).toBe('OPTION_INVALID');
  expect(error.message).toMatch(/--key-file cannot be read: ENOENT/);
});
