import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lineOf } from './lines.ts';
import { resultOf } from './result-of.ts';

// Several times what a run takes; a busy machine may need it.
const timeoutMs = 150_000;

export interface WordCount {
  readonly intervalMs: number;
  readonly linesPerBatch: number;
  readonly batches: number;
  /** For a side that lets one choose. */
  readonly threads?: number;
}

/** What a side prints of itself: word-count-tidemark.ts and peers/SparkWordCount.java say the same. */
export interface Measured {
  readonly firstBatchMs: number;
  /** How long it was ready before the time of the first batch had come. */
  readonly waitedMs: number;
  readonly peakKb: number;
  readonly batches: readonly {
    readonly processingMs: number;
    readonly totalMs: number;
    /** Of the process until the end of the batch. */
    readonly cpuUs: number;
    /** At the end of the batch. */
    readonly rssKb: number;
  }[];
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
  const { intervalMs, linesPerBatch, batches, threads } = plan;
  const args = [
    program,
    input,
    intervalMs,
    linesPerBatch,
    batches,
    join(folder, 'checkpoint'),
    inbox,
    ...(threads === undefined ? [] : [threads]),
  ];
  const feeder = input === 'files' ? feed(folder, inbox, plan) : undefined;
  try {
    return await resultOf<Measured>(command, args.map(String), timeoutMs);
  } finally {
    clearInterval(feeder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
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
