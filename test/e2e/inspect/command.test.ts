import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectRoot } from '../../../scripts/steps.ts';
import type { VerifyReport } from '../../../src/checkpoint-tools.ts';
import { exportCheckpoint } from '../../../src/inspect/export-checkpoint.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { everything, Run } from '../../unit/inspect/support.ts';

interface Answer {
  readonly exitCode: number;
  readonly output: string;
  readonly error: string;
}

/** The command as a person runs it: a process of its own, without a terminal. */
function tidemark(...args: readonly string[]): Promise<Answer> {
  const { AZURE_STORAGE_CONNECTION_STRING: _, ...env } = process.env;
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(projectRoot, 'src', 'cli', 'main.ts'), 'checkpoint', ...args],
      { env },
      (_error, output, error) => resolve({ exitCode: child.exitCode ?? -1, output, error }),
    );
  });
}

describe('tidemark checkpoint, on a folder', () => {
  let root: string;
  let url: string;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'tidemark-inspect-'));
    url = join(root, 'stream');
    const store = await openObjectStore(url);
    await new Run(store).to(20_000, everything);
    await store.close();
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  test('inspect prints tables, or JSON', async () => {
    const tables = await tidemark('inspect', url, '--records', '3');
    expect(tables).toMatchObject({ exitCode: 0, error: '' });
    for (const text of ['last batch      21 of', 'updateStateByKey', 'Manifests', 'drain', '{"topic":"pairs"}']) {
      expect(tables.output).toContain(text);
    }
    const json = await tidemark('inspect', url, '--json', '--records', '3');
    expect(JSON.parse(json.output)).toMatchObject({ stream: { lastBatch: { batchId: 21 } }, records: { length: 3 } });
  });

  test('state is listed, read by key and compared', async () => {
    expect((await tidemark('state', 'ls', url)).output).toMatch(/^sums +\d+ +1 /m);
    expect((await tidemark('state', 'ls', url, 'sums', '--limit', '2')).output).toContain(
      '; the first 2, --limit shows more',
    );
    const value = await tidemark('state', 'get', url, 'sums', '"every"', '--batch', '20', '--json');
    expect(JSON.parse(value.output)).toEqual([{ pane: 0, key: 'every', value: { sum: 19, n: 19 }, timeMs: 0 }]);
    expect(await tidemark('state', 'get', url, 'sums', '"nobody"')).toMatchObject({
      exitCode: 1,
      output: '',
      error: '\'sums\' holds nothing under "nobody".\n',
    });
    expect((await tidemark('state', 'diff', url, '20', '21')).output).toMatch(
      /^sums +0 +"every" +\{"sum":19,"n":19\} +\{"sum":20,"n":20\}$/m,
    );
    const old = await tidemark('state', 'diff', url, '20', '99');
    expect(old.exitCode).toBe(1);
    expect(old.error).toMatch(/batch 99 .* batches \d+ to 21\.\nBATCH_NOT_RETAINED: /);
  });

  test('gc and positions tell, and change nothing', async () => {
    const before = await readdir(url, { recursive: true });
    expect((await tidemark('gc', '--dry-run', url)).output).toContain(
      'A manifest written now would raise the floor from',
    );
    expect(JSON.parse((await tidemark('positions', 'export', url)).output)).toMatchObject({
      batchId: 21,
      sources: [{ uid: 'pairs', position: [20, 20] }],
    });
    expect(await readdir(url, { recursive: true })).toEqual(before);
  });

  test('export copies to an empty place and refuses any other', async () => {
    const target = join(root, 'copy');
    expect(await tidemark('export', url, target)).toMatchObject({
      exitCode: 0,
      output: expect.stringMatching(/^Copied stream [0-9a-f]{32} up to record \d+ .* The copy was verified\.$/m),
    });
    expect(await tidemark('verify', target)).toMatchObject({
      exitCode: 0,
      output: expect.stringContaining('0 findings'),
    });
    const again = await tidemark('export', url, target);
    expect(again).toMatchObject({ exitCode: 1, error: expect.stringMatching(/is not empty[\s\S]*CHECKPOINT_EXISTS/) });
  });

  test('verify names every damage and ends with exit code 1', async () => {
    const damaged = join(root, 'damaged');
    await exportCheckpoint(url, damaged);
    expect((await tidemark('verify', damaged)).exitCode).toBe(0);
    const records = (await readdir(join(damaged, 'log'))).sort();
    const [cut, flipped, gone] = [records[3]!, records[9]!, records[15]!];
    await truncate(join(damaged, 'log', cut), 200);
    const bytes = await readFile(join(damaged, 'log', flipped));
    bytes[120]! ^= 1;
    await writeFile(join(damaged, 'log', flipped), bytes);
    await rm(join(damaged, 'log', gone));
    const snapshot = (await readdir(join(damaged, 'snap'))).sort().at(-1)!;
    await rm(join(damaged, 'snap', snapshot));

    const { exitCode, output, error } = await tidemark('verify', damaged);
    expect({ exitCode, error }).toEqual({ exitCode: 1, error: '' });
    for (const name of [`log/${cut}`, `log/${flipped}`, `log/${gone}`, `snap/${snapshot}`])
      expect(output).toContain(name);
    const { findings } = JSON.parse((await tidemark('verify', damaged, '--json')).output) as VerifyReport;
    expect(findings.length).toBe(4);
  });

  test.each([
    [['mend', 'x'], 'there is no command "checkpoint mend". Commands: checkpoint inspect, '],
    [
      ['state', 'put', 'x'],
      'there is no command "checkpoint state put". Commands: checkpoint state ls, checkpoint state get, checkpoint state diff. See',
    ],
    [['state'], 'checkpoint state diff  what changed'],
    [
      ['verify', 'x', '--quick'],
      "Unknown option '--quick'. It takes --help, --json, --connection-string, --key-file. See tidemark checkpoint verify --help.",
    ],
    [
      ['inspect', 'x', '--key-file', '/no/such.json'],
      "--key-file cannot be read: ENOENT: no such file or directory, open '/no/such.json'",
    ],
    [['verify'], '<url> is missing.'],
    [['verify', 'x', 'y'], '"y" is one argument too many.'],
    [['inspect', 'x', '--records', 'all'], '--records is all: a whole number of at least 1 is needed.'],
    [['state', 'diff', 'x', '1', 'last'], '<batch b> is last'],
    [['state', 'get', 'x', 'uid', 'sensor-1'], 'The key sensor-1 is no JSON'],
    [['gc', 'x'], 'Give --dry-run'],
    [['positions', 'export', 'x', '--blob-checkpoint-store', 'az://lag'], 'needs --namespace'],
    [[], 'checkpoint positions export'],
  ])('%j is a wrong command line', async (args, message) => {
    const answer = await tidemark(...args);
    expect(answer.error).toContain(message);
    expect(answer).toMatchObject({ exitCode: 2, output: '' });
  });

  test('a place without a stream is told, and not made', async () => {
    const nowhere = join(root, 'nowhere');
    for (const verb of ['inspect', 'verify']) {
      expect(await tidemark(verb, nowhere)).toMatchObject({
        exitCode: 1,
        error: expect.stringMatching(/There is no stream at .*nowhere\.\nCHECKPOINT_MISSING: /),
      });
    }
    expect(await readdir(root)).not.toContain('nowhere');
  });

  test('a secret is never printed', async () => {
    const secret = 'bm90LWEtcmVhbC1rZXktYnV0LXNlY3JldA==';
    const connection = `DefaultEndpointsProtocol=http;AccountName=nobody;AccountKey${'='}${secret};BlobEndpoint=http://127.0.0.1:1/nobody;`;
    const answer = await tidemark('inspect', 'az://streams/x', '--connection-string', connection);
    expect(answer.exitCode).toBe(1);
    expect(answer.error).toContain('STORE_UNAVAILABLE');
    const sas = await tidemark(
      'verify',
      `http://127.0.0.1:1/nobody/streams/x?sv=2021&sig=${encodeURIComponent(secret)}`,
    );
    expect(sas.exitCode).toBe(1);
    expect(`${answer.error}${answer.output}${sas.error}${sas.output}`).not.toMatch(/bm90LWEt/);
  });
});
