import { spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { lineOf } from './lines.ts';

const timeoutMs = 120_000;

export interface WordCount {
  readonly intervalMs: number;
  readonly linesPerBatch: number;
  readonly batches: number;
}

/** What a side prints of itself: word-count-tidemark.ts and peers/SparkWordCount.java say the same. */
export interface Measured {
  readonly firstBatchMs: number;
  /** How long it was ready before the time of the first batch had come. */
  readonly waitedMs: number;
  readonly peakKb: number;
  /** `cpuUs` is of the process until the end of the batch. */
  readonly batches: readonly { readonly processingMs: number; readonly totalMs: number; readonly cpuUs: number }[];
}

export type Program = 'words' | 'state';
export type Input = 'generated' | 'files';

/** Runs one side in a process of its own; with files, hands it one per batch, renamed into the folder whole. */
export async function measure(
  command: readonly string[],
  program: Program,
  input: Input,
  plan: WordCount,
): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
  const inbox = mkdtempSync(join(folder, 'in-'));
  const { intervalMs, linesPerBatch, batches } = plan;
  const args = [program, input, intervalMs, linesPerBatch, batches, join(folder, 'checkpoint'), inbox].map(String);
  const child = spawn(command[0]!, [...command.slice(1), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes.toString()).slice(-2000);
  });
  const killer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const feeder = input === 'files' ? feed(folder, inbox, plan) : undefined;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('RESULT ')) return JSON.parse(line.slice('RESULT '.length)) as Measured;
    }
    throw new Error(`${command[0]} ended without a result within ${timeoutMs / 1000} s. ${complaint}`);
  } finally {
    clearTimeout(killer);
    clearInterval(feeder);
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

function feed(folder: string, inbox: string, { intervalMs, linesPerBatch }: WordCount): NodeJS.Timeout {
  let files = 0;
  return setInterval(() => {
    const lines = Array.from({ length: linesPerBatch }, (_, i) => lineOf(files * linesPerBatch + i));
    const made = join(folder, `lines-${files}.txt`);
    writeFileSync(made, `${lines.join('\n')}\n`);
    renameSync(made, join(inbox, `lines-${files}.txt`));
    files += 1;
  }, intervalMs);
}
