import { join } from 'node:path';
import type { Bench, BenchCircumstances, BenchOutcome } from './bench.ts';
import { median } from './median.ts';
import { installSpark, type SparkPeer } from './peers/spark.ts';
import { compared, notRun, type ResultRow } from './result.ts';
import { type Input, type Measured, measure, type Program, type WordCount } from './word-count-process.ts';

const plan: WordCount = { intervalMs: 1000, linesPerBatch: 20_000, batches: 15 };
const wordsPerLine = 10;
// The first batches warm both compilers up.
const warmUp = 5;
const repeats = 3;
const tidemark = [process.execPath, join(import.meta.dirname, 'word-count-tidemark.ts')];
const cases = (['generated', 'files'] as const).flatMap((input) =>
  (['words', 'state'] as const).map((program) => ({ program, input })),
);

interface Figure {
  readonly unit: string;
  readonly better: 'more' | 'less';
  readonly atLeast?: number;
  readonly of: (run: Measured) => number;
}

const figures: readonly Figure[] = [
  {
    unit: 'words/s',
    better: 'more',
    atLeast: 2,
    of: ({ batches }) =>
      (plan.linesPerBatch * wordsPerLine * 1000) /
      median(batches.slice(warmUp).map(({ processingMs }) => processingMs)),
  },
  {
    unit: 'CPU us/word',
    better: 'less',
    atLeast: 2,
    of: ({ batches }) =>
      (batches.at(-1)!.cpuUs - batches[warmUp - 1]!.cpuUs) /
      ((batches.length - warmUp) * plan.linesPerBatch * wordsPerLine),
  },
  { unit: 'MB at the peak', better: 'less', atLeast: 10, of: ({ peakKb }) => peakKb / 1024 },
  { unit: 'ms to the first batch', better: 'less', of: ({ firstBatchMs }) => firstBatchMs },
  {
    unit: 'ms to the first batch, without the wait for its time',
    better: 'less',
    atLeast: 10,
    of: ({ firstBatchMs, waitedMs }) => firstBatchMs - waitedMs,
  },
];

const nameOf = (program: Program, input: Input): string =>
  `${program === 'state' ? 'running count per word' : 'word count'}, ${input === 'files' ? 'a file per batch' : 'generated in memory'}`;

async function compare(
  peer: SparkPeer,
  { program, input }: (typeof cases)[number],
  { rounds, progress }: BenchCircumstances,
): Promise<BenchOutcome> {
  const what = nameOf(program, input);
  const against = `Spark Streaming ${peer.version}, local[2]`;
  const ours: Measured[] = [];
  const theirs: Measured[] = [];
  for (let round = 0; round < rounds(repeats); round++) {
    progress(`${what}, round ${round + 1} of ${rounds(repeats)}`);
    ours.push(await measure(tidemark, program, input, plan));
    theirs.push(await measure(peer.command, program, input, plan));
  }
  const rows = figures.map(
    ({ of, ...figure }): ResultRow => compared({ what, against, ...figure, ours: ours.map(of), peer: theirs.map(of) }),
  );
  const cells = (engine: string, runs: readonly Measured[]) => ({
    engine,
    ...Object.fromEntries(figures.map(({ unit, of }) => [unit, Number(median(runs.map(of)).toPrecision(3))])),
  });
  return { tables: [{ title: what, rows: [cells('Tidemark', ours), cells(against, theirs)] }], rows };
}

export const bench: Bench = {
  title: 'Word counts beside Spark Streaming (DStreams in Java)',
  measures:
    `${(plan.linesPerBatch * wordsPerLine).toLocaleString('en-US')} words per batch, 20,000 different ones, batches of ${plan.intervalMs} ms, checkpoint to the local disk, each in a process of its own, in turn, ` +
    `${repeats} runs of ${plan.batches} batches. Words/s is what a batch has over the time it takes, median after ${warmUp} batches; CPU time is of the ` +
    'whole process over the same batches. ' +
    'Tidemark checkpoints every batch; Spark keeps its own checkpoint interval. Tidemark runs in one thread, Spark in two.',
  run: async (circumstances) => {
    const peer = installSpark();
    if (typeof peer === 'string') {
      const why = `Spark can't be had here: ${peer}`;
      return { tables: [], rows: cases.map(({ program, input }) => notRun(nameOf(program, input), 'Spark', why)) };
    }
    const outcomes: BenchOutcome[] = [];
    for (const one of cases) outcomes.push(await compare(peer, one, circumstances));
    return { tables: outcomes.flatMap(({ tables }) => tables), rows: outcomes.flatMap(({ rows }) => rows) };
  },
};
