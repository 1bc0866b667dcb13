import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '../scripts/steps.ts';
import type { Bench, BenchCircumstances, BenchOutcome, BenchTable } from './bench.ts';
import { type BuiltProgram, buildProgram } from './built-program.ts';
import { median } from './median.ts';
import { installSpark } from './peers/spark.ts';
import { compared, notRun, type ResultRow } from './result.ts';
import { NoResultError } from './result-of.ts';
import { type Input, type Measured, measure, type Program } from './word-count-process.ts';

const wordsPerLine = 10;
const batches = 14;
// The first batches warm both compilers up.
const warmUp = 7;
const repeats = 2;

interface Case {
  readonly program: Program;
  readonly input: Input;
  readonly linesPerBatch: number;
  /** Of Tidemark; Spark always has two. */
  readonly threads: number;
}

const cases: readonly Case[] = [
  { program: 'words', input: 'generated', linesPerBatch: 20_000, threads: 1 },
  { program: 'state', input: 'generated', linesPerBatch: 20_000, threads: 1 },
  { program: 'words', input: 'files', linesPerBatch: 20_000, threads: 1 },
  { program: 'state', input: 'files', linesPerBatch: 20_000, threads: 1 },
  { program: 'words', input: 'generated', linesPerBatch: 80_000, threads: 1 },
  { program: 'words', input: 'generated', linesPerBatch: 80_000, threads: 2 },
];

interface Runs {
  readonly ours: readonly Measured[];
  readonly theirs: readonly Measured[];
}

interface Figure {
  readonly unit: string;
  readonly better: 'more' | 'less';
  readonly atLeast?: number;
  readonly of: (run: Measured) => number;
}

const countOf = (n: number): string => n.toLocaleString('en-US');

function nameOf({ program, input, linesPerBatch, threads }: Case): string {
  const what = program === 'state' ? 'running count per word' : 'word count';
  return `${what}, ${input === 'files' ? 'a file per batch' : 'generated in memory'}, ${countOf(linesPerBatch)} lines per batch${threads > 1 ? `, ${threads} worker threads` : ''}`;
}

function figuresOf({ linesPerBatch }: Case): readonly Figure[] {
  return [
    {
      unit: 'lines/s',
      better: 'more',
      atLeast: 2,
      of: (run) => (linesPerBatch * 1000) / median(run.batches.slice(warmUp).map(({ processingMs }) => processingMs)),
    },
    {
      unit: 'CPU us/line',
      better: 'less',
      atLeast: 2,
      of: (run) =>
        (run.batches.at(-1)!.cpuUs - run.batches[warmUp - 1]!.cpuUs) / ((run.batches.length - warmUp) * linesPerBatch),
    },
    { unit: 'MB at the peak', better: 'less', atLeast: 10, of: ({ peakKb }) => peakKb / 1024 },
  ];
}

const starts: readonly { readonly what: string; readonly of: (run: Measured) => number }[] = [
  {
    what: 'process start to first batch finished, wait for its time left out',
    of: (run) => run.firstBatchMs - run.waitedMs,
  },
  { what: 'process start to first batch finished, wait for its time included', of: ({ firstBatchMs }) => firstBatchMs },
];

async function compare(
  one: Case,
  sides: { readonly tidemark: readonly string[]; readonly spark: readonly string[] },
  { rounds, progress }: BenchCircumstances,
): Promise<Runs> {
  const ours: Measured[] = [];
  const theirs: Measured[] = [];
  const plan = { intervalMs: 1000, batches, linesPerBatch: one.linesPerBatch };
  for (let round = 0; round < rounds(repeats); round++) {
    progress(`${nameOf(one)}, round ${round + 1} of ${rounds(repeats)}`);
    const own = await measure(sides.tidemark, one.program, one.input, { ...plan, threads: one.threads });
    try {
      theirs.push(await measure(sides.spark, one.program, one.input, plan));
      ours.push(own);
    } catch (error) {
      // Once in a while Spark hangs; the other rounds and the other cases count all the same.
      if (!(error instanceof NoResultError)) throw error;
      progress(`Spark gave ${error.message}`);
    }
  }
  return { ours, theirs };
}

/**
 * Programs are started as one would deploy them: Node keeps its compiled modules in a folder, as a JVM maps its own classes
 * from an archive. The first start fills it.
 */
function keepCompiledModules(engine: string): void {
  process.env.NODE_COMPILE_CACHE = join(projectRoot, '.local', 'compile-cache');
  execFileSync(process.execPath, ['-e', `import('${pathToFileURL(engine).href}')`]);
}

/** What the memory consists of that no program of ours could do without. */
function memoryTable(built: BuiltProgram, runs: readonly Runs[]): BenchTable {
  const engine = pathToFileURL(built.engine).href;
  const peakMb = (code: string): number => {
    const status = "process.stdout.write(require('node:fs').readFileSync('/proc/self/status', 'utf8'))";
    const text = execFileSync(process.execPath, ['-e', code.replace('STATUS', status)], { encoding: 'utf8' });
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(text)?.[1]) / 1024);
  };
  const peaks = (of: (one: Runs) => readonly Measured[]): number =>
    Math.round(median(runs.flatMap(of).map(({ peakKb }) => peakKb)) / 1024);
  const first = (of: (one: Runs) => readonly Measured[]): number =>
    Math.round(median(runs.flatMap(of).map(({ batches: [one] }) => one!.rssKb)) / 1024);
  return {
    title: 'resident memory, step by step',
    rows: [
      { step: 'Node that does nothing', MB: peakMb('STATUS') },
      { step: 'with Tidemark loaded', MB: peakMb(`import('${engine}').then(() => { STATUS })`) },
      { step: 'Tidemark after its first batch', MB: first(({ ours }) => ours) },
      { step: 'Tidemark at its peak', MB: peaks(({ ours }) => ours) },
      { step: 'Spark at its peak', MB: peaks(({ theirs }) => theirs) },
      { step: 'a tenth of Spark: the target', MB: Math.round(peaks(({ theirs }) => theirs) / 10) },
    ],
  };
}

export const bench: Bench = {
  title: 'Word counts beside Spark Streaming (DStreams in Java)',
  measures:
    `Lines of ${wordsPerLine} words, 20,000 different ones; batches of 1 s, checkpoint to the local disk, each side in a process of its own, in turn, ` +
    `${batches} batches a run. Lines/s is what a batch has over the time it takes, median after ${warmUp} batches; CPU time is of the ` +
    'whole process over the same batches, peak memory over all. Generated lines are made in the process, which is part of the figure on both sides. ' +
    'Tidemark checkpoints every batch and runs in one thread, unless a row says otherwise, compiled as it is published and with NODE_COMPILE_CACHE; Spark keeps its own checkpoint interval and runs in two, with a heap of ' +
    'at most 1 GB, what spark-submit gives by itself.',
  run: async (circumstances) => {
    const peer = installSpark();
    if (typeof peer === 'string') {
      return { tables: [], rows: cases.map((one) => notRun(nameOf(one), 'Spark', `it can't be had here: ${peer}`)) };
    }
    const program = await buildProgram('word-count-tidemark.ts');
    keepCompiledModules(program.engine);
    const sides = { tidemark: [process.execPath, program.file], spark: peer.wordCount };
    const against = `Spark Streaming ${peer.version}, local[2]`;
    const inOneThread: Runs[] = [];
    const outcomes: BenchOutcome[] = [];
    const all = (): BenchOutcome => ({
      tables: outcomes.flatMap(({ tables }) => tables),
      rows: outcomes.flatMap(({ rows }) => rows),
    });
    for (const one of cases) {
      const runs = await compare(one, sides, circumstances);
      if (runs.theirs.length === 0) {
        outcomes.push({ tables: [], rows: [notRun(nameOf(one), against, 'Spark gave no result in time')] });
        continue;
      }
      if (one.threads === 1) inOneThread.push(runs);
      outcomes.push(outcomeOf(one, runs, against));
      circumstances.keep(all());
    }
    if (inOneThread.length === 0) return all();
    const pooled = {
      ours: inOneThread.flatMap(({ ours }) => ours),
      theirs: inOneThread.flatMap(({ theirs }) => theirs),
    };
    const startRows = starts.map(({ what, of }) =>
      compared({
        ...{ what, against, unit: 'ms', better: 'less', atLeast: 10 },
        ours: pooled.ours.map(of),
        peer: pooled.theirs.map(of),
      }),
    );
    return {
      tables: [...all().tables, memoryTable(program, inOneThread)],
      rows: [...all().rows, ...startRows],
    };
  },
};

function outcomeOf(one: Case, { ours, theirs }: Runs, against: string): BenchOutcome {
  const figures = figuresOf(one);
  const what = nameOf(one);
  const cells = (engine: string, runs: readonly Measured[]) => ({
    engine,
    ...Object.fromEntries(figures.map(({ unit, of }) => [unit, Number(median(runs.map(of)).toPrecision(3))])),
  });
  return {
    tables: [{ title: what, rows: [cells('Tidemark', ours), cells(against, theirs)] }],
    rows: figures.map(
      ({ of, ...figure }): ResultRow =>
        compared({ what, against, ...figure, ours: ours.map(of), peer: theirs.map(of) }),
    ),
  };
}
