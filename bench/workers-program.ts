import { threadId } from 'node:worker_threads';
import { ManualClock } from '../src/base/clock.ts';
import { SeededRandom } from '../src/base/random.ts';
import { Seconds } from '../src/base/time.ts';
import type { DStream } from '../src/dstream/dstream.ts';
import { type State, StateSpec } from '../src/dstream/map-with-state.ts';
import type { Source, SourcePlan } from '../src/sources/source.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import { StreamingContext } from '../src/streaming-context.ts';
import { threadCpuMs } from './cpu.ts';
import { lineOf } from './lines.ts';

/** Lines in a batch; each has ten words. */
export const linesPerBatch = 100_000;
/** Of the input and of the counts: both workers have as many. */
const partitions = 4;

/** What a partition of the counts comes to. */
export interface Counted {
  readonly words: number;
  /** That has counted them, and the CPU time it has used so far. */
  readonly thread: number;
  readonly cpuMs: number;
}

/** `state`: every line is a key whose count is kept and stored, with a checkpoint in memory. */
export type Work = 'words' | 'state';

export interface WordCount {
  /** Runs one batch. */
  readonly runBatch: () => Promise<readonly Counted[]>;
  readonly stop: () => Promise<void>;
}

/** Over lines that each thread has made before: what reading them from anywhere would cost is not in it. */
function define(
  work: Work,
  master: string,
  environment: object,
  arrived: (counted: readonly Counted[]) => void,
): StreamingContext {
  const ssc = new StreamingContext({
    appName: 'workers',
    batchInterval: Seconds(1),
    defaultParallelism: partitions,
    master,
    module: `${import.meta.url.split('?')[0]}?${work}`,
    startReport: false,
    environment,
  });
  const lines = ssc.sourceStream(new ResidentLines(), { uid: 'lines' });
  const counts = work === 'words' ? countWords(lines) : countLines(lines);
  counts
    .mapPartitions((rows): Counted[] => [{ words: rows.length, thread: threadId, cpuMs: threadCpuMs() }])
    .foreachRDD(async (rdd) => arrived(await rdd.collect()));
  return ssc;
}

function countWords(lines: DStream<string>): DStream<unknown> {
  return lines
    .flatMap((line) => line.split(' '))
    .filter((word) => word.length > 4)
    .map((word): readonly [string, number] => [word, 1])
    .reduceByKey((a, b) => a + b);
}

function countLines(lines: DStream<string>): DStream<unknown> {
  const count = (key: string, one: number | undefined, state: State<number>): string => {
    state.update((state.getOption() ?? 0) + one!);
    return key;
  };
  return lines
    .map((line): readonly [string, number] => [line.slice(0, 24), 1])
    .mapWithState(StateSpec.function(count), { uid: 'counts' });
}

/** For a worker thread. */
export function create(): StreamingContext {
  return define(import.meta.url.endsWith('?state') ? 'state' : 'words', 'local', {}, () => {});
}

export async function startCount(work: Work, master: string): Promise<WordCount> {
  const clock = new ManualClock(0);
  let counted: readonly Counted[] = [];
  let completed = (_: readonly Counted[]): void => {};
  const environment = { clock, random: new SeededRandom(1), allowSeveral: true };
  const build = (): StreamingContext =>
    define(work, master, environment, (parts) => {
      counted = parts;
    });
  const ssc = work === 'words' ? build() : await StreamingContext.getOrCreate(new MemoryStore({ clock }), build);
  ssc.addStreamingListener({ onBatchCompleted: () => completed(counted) });
  await ssc.start();
  let batch = 0;
  return {
    runBatch: () =>
      new Promise((resolve) => {
        completed = resolve;
        batch += 1;
        clock.advanceTo(batch * 1000);
      }),
    stop: () => ssc.stop(),
  };
}

/** The same lines in every batch, made when they are first read and kept by the thread that reads them. */
class ResidentLines implements Source<string> {
  readonly kind = 'resident-lines';
  readonly identity = {};
  readonly #lines: string[][] = [];

  async start(): Promise<void> {}

  async startReading(): Promise<void> {}

  position(): number {
    return 0;
  }

  async plan(): Promise<SourcePlan> {
    return { partitions: Array.from({ length: partitions }, (_, p) => p), position: 0, records: linesPerBatch };
  }

  adopt(): void {}

  async read(_plan: SourcePlan, partition: number, push: (chunk: readonly string[]) => void): Promise<void> {
    const count = linesPerBatch / partitions;
    this.#lines[partition] ??= Array.from({ length: count }, (_, i) => lineOf(partition * count + i));
    const lines = this.#lines[partition];
    for (let at = 0; at < lines.length; at += 4096) push(lines.slice(at, at + 4096));
  }

  committed(): void {}

  backlog(): number {
    return 0;
  }

  async stop(): Promise<void> {}
}
