import { expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { runCommandLine, type Verb } from '../../../src/cli/command-line.ts';

const version = (): string => '1.2.3';

function verb(name: string, run: Verb['run'] = async () => {}): Verb {
  return { name, summary: `does ${name}`, run };
}

test('a verb gets the arguments after its name', async () => {
  const seen: unknown[] = [];
  const verbs = [verb('emulator', async (args) => void seen.push(args))];
  expect(await runCommandLine(['emulator', '--port', '1', '--help'], verbs, version)).toEqual({
    exitCode: 0,
    output: '',
    error: '',
  });
  expect(seen).toEqual([['--port', '1', '--help']]);
});

test('a name of two words is found before its first word', async () => {
  const seen: string[] = [];
  const verbs = [
    verb('checkpoint', async (args) => void seen.push(`checkpoint(${args})`)),
    verb('checkpoint inspect', async (args) => void seen.push(`inspect(${args})`)),
  ];
  await runCommandLine(['checkpoint', 'inspect', 'url'], verbs, version);
  await runCommandLine(['checkpoint', 'other'], verbs, version);
  expect(seen).toEqual(['inspect(url)', 'checkpoint(other)']);
});

test.each([[['--help']], [['-h']], [['help']]])('%j lists the commands', async (args) => {
  const outcome = await runCommandLine(args, [verb('emulator')], version);
  expect(outcome.exitCode).toBe(0);
  expect(outcome.output).toMatch(/^usage: tidemark[\s\S]*\n {2}emulator {3}does emulator\n/);
});

test('--version prints the version', async () => {
  expect(await runCommandLine(['--version'], [], version)).toEqual({ exitCode: 0, output: '1.2.3', error: '' });
});

test('an unknown command is named and the known ones are listed', async () => {
  const outcome = await runCommandLine(['emulatr'], [verb('emulator'), verb('checkpoint')], version);
  expect(outcome).toEqual({
    exitCode: 2,
    output: '',
    error: 'tidemark: there is no command "emulatr". Commands: emulator, checkpoint. See tidemark --help.',
  });
});

test('no command at all prints the usage as an error', async () => {
  const outcome = await runCommandLine([], [verb('emulator')], version);
  expect(outcome.exitCode).toBe(2);
  expect(outcome.error).toMatch(/^usage: /);
});

test('a failed verb ends with the message, the code and what to do', async () => {
  const failing = (code: 'STORE_UNAVAILABLE' | 'OPTION_INVALID'): Verb =>
    verb('emulator', async () => {
      throw new TidemarkError(code, 'Port 1 is taken.');
    });
  const failed = await runCommandLine(['emulator'], [failing('STORE_UNAVAILABLE')], version);
  expect(failed.exitCode).toBe(1);
  expect(failed.error).toMatch(/^tidemark emulator: Port 1 is taken\.\nSTORE_UNAVAILABLE: Nothing is lost\./);
  expect((await runCommandLine(['emulator'], [failing('OPTION_INVALID')], version)).exitCode).toBe(2);
});

test('a bug in a verb shows its stack', async () => {
  const broken = verb('emulator', async () => {
    throw new TypeError('x is undefined');
  });
  const outcome = await runCommandLine(['emulator'], [broken], version);
  expect(outcome.exitCode).toBe(1);
  expect(outcome.error).toContain('TypeError: x is undefined\n    at ');
});
