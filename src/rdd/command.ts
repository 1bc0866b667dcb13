import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { TidemarkError } from '../base/errors.ts';
import type { RDD } from './rdd.ts';
import { rowText } from './row-text.ts';
import { andThen, rowsOf } from './task.ts';

export interface CommandOptions {
  /** Environment of the program. Default: this process's. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Working folder of the program. Default: this process's. */
  readonly cwd?: string | undefined;
}

const stderrCharactersMax = 2000;
const writeCharacters = 64 * 1024;

/** Rows out are the lines of standard output; standard error is part of the message when the program fails. */
export function pipeCommand<T>(rdd: RDD<T>, command: string | readonly string[], options: CommandOptions): RDD<string> {
  const [program, ...args] = typeof command === 'string' ? command.split(/\s+/).filter((part) => part !== '') : command;
  if (program === undefined || program === '') {
    throw new TidemarkError('OPTION_INVALID', 'pipeCommand: command must name a program.');
  }
  return rdd.context.rdd<string>({
    name: 'pipeCommand',
    numPartitions: rdd.numPartitions,
    dependencies: [rdd],
    pipe: (partition, task, push) =>
      andThen(rowsOf(rdd, partition, task), (rows) => run({ program, args, options, signal: task.signal }, rows, push)),
  });
}

interface Invocation {
  readonly program: string;
  readonly args: readonly string[];
  readonly options: CommandOptions;
  readonly signal: AbortSignal;
}

async function run(invocation: Invocation, rows: readonly unknown[], push: (line: string) => void): Promise<void> {
  const { program, args, options, signal } = invocation;
  const child = spawn(program, args, { cwd: options.cwd, env: options.env ?? process.env, signal, stdio: 'pipe' });
  // A program that can't be started has no exit; rejects at once with the reason.
  const exited = once(child, 'close') as Promise<[code: number | null, signal: string | null]>;
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-stderrCharactersMax);
  });
  // A program need not read all of its input: a closed pipe is fine, its exit code tells.
  child.stdin.on('error', () => {});
  try {
    await Promise.all([feed(child.stdin, rows), readLines(child.stdout.setEncoding('utf8'), push), exited]);
  } catch (error) {
    // Its output is not wanted any more, and it must not be able to stay.
    child.kill('SIGKILL');
    await exited.catch(() => {});
    throw error;
  }
  const [code, killedBy] = await exited;
  if (code === 0) return;
  const reason = code === null ? `was ended by ${killedBy}` : `exited with ${code}`;
  throw new Error(`${program} ${reason}${complaint === '' ? '' : `: ${complaint.trim()}`}`);
}

async function feed(
  input: NodeJS.WritableStream & { readonly closed: boolean },
  rows: readonly unknown[],
): Promise<void> {
  let text = '';
  for (let i = 0; i < rows.length && !input.closed; i++) {
    text += `${rowText(rows[i])}\n`;
    if (text.length < writeCharacters && i < rows.length - 1) continue;
    if (!input.write(text)) await Promise.race([once(input, 'drain'), once(input, 'close')]).catch(() => {});
    text = '';
  }
  input.end();
}

async function readLines(output: AsyncIterable<string>, push: (line: string) => void): Promise<void> {
  let rest = '';
  for await (const text of output) {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) push(line);
  }
  if (rest !== '') push(rest);
}
