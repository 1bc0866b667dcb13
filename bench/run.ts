import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { formatTable } from '../src/cli/table.ts';
import type { Bench, BenchOutcome, BenchTable } from './bench.ts';
import { notRun, type ResultRow } from './result.ts';

/** What one call of `npm run bench` found; BENCHMARKS.md is made from such a file. */
export interface BenchRun {
  readonly startedAt: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGiB: number;
    readonly node: string;
    readonly platform: string;
  };
  readonly benches: readonly BenchResult[];
}

/** What the process of a benchmark tells; the last one counts. */
export interface OutcomeMessage {
  readonly outcome: BenchOutcome;
  readonly isWhole: boolean;
}

export interface BenchResult {
  readonly name: string;
  readonly title: string;
  readonly measures: string;
  readonly tookS: number;
  readonly tables: readonly BenchTable[];
  readonly rows: readonly ResultRow[];
  /** The benchmark itself failed: there are no figures, or not all. */
  readonly failure?: string;
}

const suffix = '.bench.ts';
// Many times what any of them takes on a machine of its own.
const minutesMax = 25;

export function benchNames(): string[] {
  return readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .sort();
}

export async function loadBench(name: string): Promise<Bench> {
  const file = pathToFileURL(join(import.meta.dirname, name + suffix)).href;
  return ((await import(file)) as { bench: Bench }).bench;
}

export function machine(): BenchRun['machine'] {
  return {
    cpu: cpus()[0]?.model.trim() ?? process.arch,
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    platform: process.platform,
  };
}

/** Runs one in a process of its own, so that it begins with a fresh heap and compiler; its failure is a result too. */
export async function runBench(name: string, bench: Bench, rounds: number | undefined): Promise<BenchResult> {
  const { title, measures } = bench;
  console.log(`\n# ${name}: ${title}\n${measures}`);
  const startedMs = performance.now();
  // A group of its own: what hangs is ended together with the processes that it has started.
  const child = spawn(
    process.execPath,
    ['--expose-gc', '--max-old-space-size=8192', join(import.meta.dirname, 'run-one.ts'), name, String(rounds ?? '')],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced', detached: true },
  );
  const end = (): void => killGroup(child);
  const stop = (): void => {
    end();
    process.exit(130);
  };
  process.on('exit', end).on('SIGINT', stop).on('SIGTERM', stop);
  const { outcome, failure = outcome.failure } = await outcomeOf(child);
  process.off('exit', end).off('SIGINT', stop).off('SIGTERM', stop);
  end();
  const { tables, rows } = withoutNaN(outcome);
  for (const table of tables) console.log(`\n${table.title}\n${formatTable(table.rows).join('\n')}`);
  if (failure !== undefined) console.error(`benchmark ${name} failed: ${failure}`);
  const tookS = Math.round((performance.now() - startedMs) / 1000);
  return { name, title, measures, tookS, tables, rows, ...(failure !== undefined && { failure }) };
}

/** A machine with no time for a benchmark gives it nothing to take a median of; JSON has no word for that. */
export function withoutNaN({ tables, rows }: BenchOutcome): BenchOutcome {
  const isGood = (value: unknown): boolean => typeof value !== 'number' || Number.isFinite(value);
  const cells = (row: BenchTable['rows'][number]): BenchTable['rows'][number] =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, isGood(value) ? value : '']));
  return {
    tables: tables.map((table) => ({ ...table, rows: table.rows.map(cells) })),
    rows: rows.map((row) =>
      [row.ours, row.peer, row.ratio].every(isGood) ? row : notRun(row.what, row.against, 'it gave no figure here'),
    ),
  };
}

interface Ended {
  readonly outcome: BenchOutcome;
  readonly failure?: string;
}

function outcomeOf(child: ChildProcess): Promise<Ended> {
  return new Promise((resolve) => {
    let last: OutcomeMessage = { outcome: { tables: [], rows: [] }, isWhole: false };
    const fail = (failure: string): void => resolve({ outcome: last.outcome, failure });
    const timer = setTimeout(() => {
      fail(`it took more than ${minutesMax} minutes`);
      killGroup(child);
    }, minutesMax * 60_000);
    child.on('message', (message: OutcomeMessage) => {
      last = message;
    });
    child.on('error', ({ message }) => fail(message));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0 && last.isWhole) resolve({ outcome: last.outcome });
      else fail(signal ?? `exit code ${code}, see above`);
    });
  });
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended, and all it has started too.
  }
}
