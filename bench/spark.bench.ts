import { spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Bench, BenchTable } from './bench.ts';
import { lineOf } from './lines.ts';
import { median } from './median.ts';
import { installSpark, type SparkPeer } from './peers/spark.ts';

const intervalMs = 1000;
const linesPerBatch = 20_000;
const wordsPerLine = 10;
const batches = 15;
// The first batches warm both compilers up.
const warmUp = 5;
const repeats = 3;
const timeoutMs = 300_000;

interface Result {
  readonly firstBatchMs: number;
  readonly peakKb: number;
  readonly cpuMs: number;
  readonly batches: readonly { readonly processingMs: number; readonly totalMs: number }[];
}

type Program = 'words' | 'state';
type Input = 'generated' | 'files';

/** Runs one side in a process of its own; with files, hands it one per batch, renamed into the folder whole. */
async function measure(command: readonly string[], program: Program, input: Input): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
  const inbox = mkdtempSync(join(folder, 'in-'));
  const args = [program, input, intervalMs, linesPerBatch, batches, join(folder, 'checkpoint'), inbox].map(String);
  const child = spawn(command[0]!, [...command.slice(1), ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const killer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const feeder = input === 'files' ? feed(folder, inbox) : undefined;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('RESULT ')) return JSON.parse(line.slice('RESULT '.length)) as Result;
    }
    throw new Error(`${command[0]} ended without a result in ${timeoutMs / 1000} s.`);
  } finally {
    clearTimeout(killer);
    clearInterval(feeder);
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

function feed(folder: string, inbox: string): NodeJS.Timeout {
  let files = 0;
  return setInterval(() => {
    const lines = Array.from({ length: linesPerBatch }, (_, i) => lineOf(files * linesPerBatch + i));
    const made = join(folder, `lines-${files}.txt`);
    writeFileSync(made, `${lines.join('\n')}\n`);
    renameSync(made, join(inbox, `lines-${files}.txt`));
    files += 1;
  }, intervalMs);
}

async function compare(peer: SparkPeer, program: Program, input: Input): Promise<BenchTable> {
  const sides = {
    Tidemark: [process.execPath, join(import.meta.dirname, 'word-count-tidemark.ts')],
    [`Spark Streaming ${peer.version}, local[2]`]: peer.command,
  };
  const results = new Map<string, Result[]>(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < repeats; round++) {
    for (const [name, command] of Object.entries(sides)) {
      results.get(name)!.push(await measure(command, program, input));
    }
  }
  const words = linesPerBatch * wordsPerLine;
  return {
    title: `${program === 'state' ? 'running count per word (updateStateByKey)' : 'word count'}, ${input === 'files' ? 'a file per batch' : 'generated in memory'}`,
    rows: [...results].map(([name, runs]) => {
      const warm = runs.flatMap((run) => run.batches.slice(warmUp).map(({ processingMs }) => processingMs));
      return {
        engine: name,
        'ms per batch': median(warm),
        'k words/s': Math.round(words / median(warm)),
        'CPU us/word': Math.round((median(runs.map(({ cpuMs }) => cpuMs)) * 1e5) / (words * batches)) / 100,
        'peak MB': Math.round(median(runs.map(({ peakKb }) => peakKb)) / 1024),
        's to first batch': Math.round(median(runs.map(({ firstBatchMs }) => firstBatchMs)) / 100) / 10,
      };
    }),
  };
}

export const bench: Bench = {
  title: 'Word counts beside Spark Streaming (DStreams in Java)',
  measures:
    `${(linesPerBatch * wordsPerLine).toLocaleString('en-US')} words per batch, 20,000 different ones, batches of ${intervalMs} ms, checkpoint to the local disk, each in a process of its own, in turn, ` +
    `${repeats} runs of ${batches} batches; time per batch is the median after ${warmUp} batches, CPU is of the whole process with its start. ` +
    'Tidemark checkpoints every batch; Spark keeps its own checkpoint interval. Tidemark runs in one thread, Spark in two.',
  run: async () => {
    const peer = installSpark();
    if (typeof peer === 'string') {
      console.log(`\nSpark can't be had here, so this comparison is left out: ${peer}.`);
      return [];
    }
    const tables: BenchTable[] = [];
    for (const input of ['generated', 'files'] as const) {
      for (const program of ['words', 'state'] as const) tables.push(await compare(peer, program, input));
    }
    return tables;
  },
};
