import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const mark = 'RESULT ';

/** A program that ended, or had to be ended, without one; `complaint` is the end of what it said. */
export class NoResultError extends Error {
  readonly complaint: string;

  constructor(message: string, complaint: string) {
    super(message);
    this.complaint = complaint;
  }
}

/** Runs a program until it prints a line with its result, as JSON; it is ended then, or when it takes too long. */
export async function resultOf<T>(command: readonly string[], args: readonly string[], timeoutMs: number): Promise<T> {
  const child = spawn(command[0]!, [...command.slice(1), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes.toString()).slice(-2000);
  });
  let isTooLong = false;
  const killer = setTimeout(() => {
    isTooLong = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith(mark)) return JSON.parse(line.slice(mark.length)) as T;
    }
    throw new NoResultError(`no result${isTooLong ? ` within ${timeoutMs / 1000} s` : ''}`, complaint);
  } finally {
    clearTimeout(killer);
    child.kill('SIGKILL');
  }
}
