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
const repeats = 3;
// No round begins later; the first round of every case is run all the same.
const minutesMax = 15;

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
  {
    what: 'process start to the first batch with rows finished, CPU time',
    of: ({ batches: [first] }) => first!.cpuUs / 1000,
  },
];

/** One round of a case, both sides in turn. Nothing when Spark hangs, as it does once in a while. */
async function compareOnce(
  one: Case,
  sides: { readonly tidemark: readonly string[]; readonly spark: readonly string[] },
  { progress }: BenchCircumstances,
): Promise<{ readonly own: Measured; readonly their: Measured } | undefined> {
  const plan = { intervalMs: 1000, batches, linesPerBatch: one.linesPerBatch };
  const own = await measure(sides.tidemark, one.program, one.input, { ...plan, threads: one.threads });
  try {
    return { own, their: await measure(sides.spark, one.program, one.input, plan) };
  } catch (error) {
    if (!(error instanceof NoResultError)) throw error;
    progress(`Spark gave ${error.message}; it said last: ${error.complaint.trim().split('\n').at(-1)}`);
    return undefined;
  }
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
      circumstances.progress(`Spark can't be had here, so nothing is measured: ${peer}`);
      return { tables: [], rows: cases.map((one) => notRun(nameOf(one), 'Spark', `it can't be had here: ${peer}`)) };
    }
    const program = await buildProgram('word-count-tidemark.ts');
    keepCompiledModules(program.engine);
    const sides = { tidemark: [process.execPath, program.file], spark: peer.wordCount };
    const against = `Spark Streaming ${peer.version}, local[2]`;
    const found = cases.map((one) => ({ one, ours: [] as Measured[], theirs: [] as Measured[] }));
    const untilMs = performance.now() + minutesMax * 60_000;
    const wanted = circumstances.rounds(repeats);
    // Round by round through all cases, so that a busy stretch of the machine does not fall on one of them.
    for (let round = 0; round < wanted; round++) {
      for (const { one, ours, theirs } of found) {
        if (round > 0 && performance.now() > untilMs) continue;
        circumstances.progress(`${nameOf(one)}, round ${round + 1} of ${wanted}`);
        const both = await compareOnce(one, sides, circumstances);
        if (both === undefined) continue;
        ours.push(both.own);
        theirs.push(both.their);
        circumstances.keep(outcomeOf(found, program, against));
      }
    }
    return outcomeOf(found, program, against);
  },
};

type Found = Runs & { readonly one: Case };

function outcomeOf(found: readonly Found[], program: BuiltProgram, against: string): BenchOutcome {
  const outcomes = found.map((one) =>
    one.ours.length > 0
      ? outcomeOfCase(one, against)
      : { tables: [], rows: [notRun(nameOf(one.one), against, 'Spark gave no result in time')] },
  );
  const tables = outcomes.flatMap((outcome) => outcome.tables);
  const rows = outcomes.flatMap((outcome) => outcome.rows);
  const inOneThread = found.filter(({ one, ours }) => one.threads === 1 && ours.length > 0);
  if (inOneThread.length === 0) return { tables, rows };
  const startRows = starts.map(({ what, of }) =>
    compared({
      ...{ what, against, unit: 'ms', better: 'less', atLeast: 10 },
      ours: inOneThread.flatMap(({ ours }) => ours.map(of)),
      peer: inOneThread.flatMap(({ theirs }) => theirs.map(of)),
    }),
  );
  return { tables: [...tables, memoryTable(program, inOneThread)], rows: [...rows, ...startRows] };
}

function outcomeOfCase({ one, ours, theirs }: Found, against: string): BenchOutcome {
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
