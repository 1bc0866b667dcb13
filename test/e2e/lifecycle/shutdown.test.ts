import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readBlobOutput } from '../../../src/sinks/blob-output.ts';

interface Message {
  readonly type: 'batch' | 'paused' | 'hanging' | 'terminated';
  readonly sent?: number;
}

let folder: string;
let child: ChildProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-shutdown-'));
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

class Application {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown[]>;
  readonly seen: Message[] = [];
  stderr = '';
  #wake: () => void = () => {};

  constructor(mode: string) {
    child = fork(join(import.meta.dirname, 'application-child.ts'), {
      env: { ...process.env, FOLDER: folder, MODE: mode },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.process = child;
    this.ended = once(child, 'exit');
    child.on('message', (message: Message) => {
      this.seen.push(message);
      this.#wake();
    });
    child.stderr!.on('data', (text: Buffer) => {
      this.stderr += text.toString();
      this.#wake();
    });
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  count(type: Message['type']): number {
    return this.seen.filter((message) => message.type === type).length;
  }

  /** No more rows; resolves with how many there were. */
  async pause(): Promise<number> {
    this.process.send('pause');
    await this.until(() => this.count('paused') > 0);
    return this.seen.find(({ type }) => type === 'paused')!.sent!;
  }
}

async function written(): Promise<number[]> {
  const rows: number[] = [];
  for await (const row of readBlobOutput<number>(`${folder}/output`, 'out')) rows.push(row);
  return rows;
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe('a process that is told to end', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('by %s, gracefully, processes all that has arrived', async (signal) => {
    const app = new Application('graceful');
    await app.until(() => app.count('batch') >= 3);
    const sent = await app.pause();
    app.process.kill(signal);
    expect(await app.ended).toEqual([null, signal]);
    expect(app.count('terminated')).toBe(1);
    expect(await written()).toEqual(upTo(sent));
    expect(app.stderr).toContain(`${signal}: stopping 'shutdown' gracefully`);
  });

  test('without grace leaves what has arrived to the next start', async () => {
    const app = new Application('abrupt');
    await app.until(() => app.count('batch') >= 3);
    app.process.kill('SIGTERM');
    expect(await app.ended).toEqual([null, 'SIGTERM']);
    const rows = await written();
    expect(rows).toEqual(upTo(rows.length));
    expect(rows.length).toBeGreaterThan(0);
  });

  test('a second time ends at once, also when a function of the program never returns', async () => {
    const app = new Application('hanging');
    await app.until(() => app.count('hanging') > 0);
    app.process.kill('SIGTERM');
    await app.until(() => app.stderr.includes('the same signal again'));
    expect(app.process.exitCode).toBeNull();
    app.process.kill('SIGTERM');
    expect(await app.ended).toEqual([null, 'SIGTERM']);
    expect(app.count('terminated')).toBe(0);
    expect(await written()).toEqual([]);
  });

  test('and has a handler of its own ends as that one says', async () => {
    const app = new Application('own');
    await app.until(() => app.count('batch') >= 2);
    const sent = await app.pause();
    app.process.kill('SIGTERM');
    expect(await app.ended).toEqual([7, null]);
    expect(await written()).toEqual(upTo(sent));
  });
});
