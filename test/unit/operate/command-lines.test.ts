import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkpointVerbs } from '../../../src/cli/checkpoint.ts';
import { type CommandOutcome, runCommandLine } from '../../../src/cli/command-line.ts';
import { WaitLine } from '../../../src/cli/wait-line.ts';
import { exportPositions, type StreamPositions } from '../../../src/inspect/export-positions.ts';

test.each([
  [['rewind', 'x'], 'Give --to'],
  [['rewind', 'x', '--to', '12:30'], '--to is 12:30: the number of a batch, a time'],
  [['savepoint', 'x', '--timeout', 'long'], '--timeout is long'],
  [['positions', 'import', 'x'], 'Give either --file or --blob-checkpoint-store.'],
  [['positions', 'import', 'x', '--blob-checkpoint-store', 'az://c'], 'needs --uid.'],
  [['positions', 'import', 'x', '--file', '/nowhere/positions.json'], "can't be read"],
  [['fork', 'x'], '<new url> is missing.'],
])('%j is a wrong command line', async (args, message) => {
  const answer = await runCommandLine(['checkpoint', ...args], checkpointVerbs, () => '');
  expect(answer.error).toContain(message);
  expect(answer).toMatchObject({ exitCode: 2, output: '' });
});

const sas = 'http://127.0.0.1:1/devstoreaccount1/streams/x?sv=2024&sig=hunter2';
const connectionString = 'DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==';
const key = Buffer.alloc(32, 'hunter2').toString('base64');
test.each([
  [['savepoint', 'rm', sas, 'before']],
  [['positions', 'import', sas, '--file', 'FILE']],
  [['rewind', sas, '--to', 'hunter']],
  [['inspect', connectionString]],
  [['inspect', 'x', connectionString]],
  [[connectionString]],
  [['inspect', `--${connectionString}`, 'x']],
  [['state', 'get', 'x', 'uid', connectionString]],
  [['verify', 'memory:x', '--key-file', key]],
  [['verify', 'memory:x', '--key-file', JSON.stringify({ current: 'a', keys: { a: key } })]],
])(
  'a secret in the wrong place of a command line is not shown: %#',
  async (args) => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-secret-'));
    try {
      const file = join(folder, 'positions.json');
      await writeFile(file, sourcesOf([3, 4]));
      const given = args.map((arg) => (arg === 'FILE' ? file : arg));
      const answer = await runCommandLine(['checkpoint', ...given], checkpointVerbs, () => '');
      expect(answer.exitCode).toBeGreaterThan(0);
      expect(answer.error).not.toBe('');
      for (const secret of ['hunter2', key]) expect(answer.error).not.toContain(secret);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
  30_000,
);

test.each([
  [['savepoint', 'memory:x', '--take-over']],
  [['savepoint', 'rm', 'memory:x', 'before', '--take-over']],
  [['positions', 'import', 'memory:x', '--file', 'FILE', '--take-over']],
])('%j says that a driver is fenced, and asks', async (args) => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-take-over-'));
  try {
    const file = join(folder, 'positions.json');
    await writeFile(file, sourcesOf([3, 4]));
    const given = args.map((arg) => (arg === 'FILE' ? file : arg));
    const answer = await runCommandLine(['checkpoint', ...given], checkpointVerbs, () => '');
    expect(answer.exitCode).toBe(2);
    expect(answer.error).toContain('A driver that may be running is fenced, and ends with FENCED.');
    expect(answer.error).toContain('--yes is needed. Nothing was changed.');
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a wait is shown on a terminal only, and taken off the screen', () => {
  const shown = (isTTY: boolean): string => {
    let text = '';
    const line = new WaitLine({
      isTTY,
      write: (more) => {
        text += more;
      },
    });
    line.show({ step: 'asked', waitedMs: 3_000, timeoutMs: 120_000 });
    line.show({ step: 'accepted', waitedMs: 4_400, timeoutMs: 120_000 });
    line.end();
    return text;
  };
  expect(shown(false)).toBe('');
  expect(shown(true)).toBe(
    '\r\u001b[Kthe driver was asked: 3 s of at most 120 s\r\u001b[Kthe driver is on it: 4 s of at most 120 s\r\u001b[K',
  );
});

test('positions of an export are imported from a file, and what is none is refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-import-'));
  try {
    const [file, url] = [join(folder, 'positions.json'), join(folder, 'stream')];
    const run = (): Promise<CommandOutcome> =>
      runCommandLine(['checkpoint', 'positions', 'import', url, '--file', file, '--yes'], checkpointVerbs, () => '');
    for (const wrong of ['{', '{}', '{"sources":[{"uid":"a"}]}', sourcesOf({ $bigint: '5' })]) {
      await writeFile(file, wrong);
      expect((await run()).error, wrong).toContain('positions.json is no');
    }
    await writeFile(file, sourcesOf([3, 4]));
    expect(await run()).toMatchObject({ exitCode: 0, error: '' });
    expect((await exportPositions(url)).sources).toEqual((JSON.parse(sourcesOf([3, 4])) as StreamPositions).sources);
  } finally {
    await rm(folder, { recursive: true });
  }
});

function sourcesOf(position: unknown): string {
  return JSON.stringify({ sources: [{ uid: 'pairs', kind: 'memory-topic', identity: { topic: 'pairs' }, position }] });
}
