import { ManualClock } from '../../src/base/clock.ts';
import type { CrashPoint } from '../../src/base/crash-points.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Seconds } from '../../src/base/time.ts';
import type { CheckpointOptions } from '../../src/checkpoint/checkpoint-options.ts';
import { readCheckpoint } from '../../src/checkpoint/read-checkpoint.ts';
import { type State, StateSpec } from '../../src/dstream/map-with-state.ts';
import { blobSink } from '../../src/sinks/blob-sink.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import { StreamingContext } from '../../src/streaming-context.ts';
import { FaultyStore } from '../../src/testing/faulty-store.ts';
import { MemoryTopic } from '../../src/testing/memory-topic.ts';
import { DrivenStream } from '../support/driven-stream.ts';

/** A driver dies when it passes `point` for the `occurrence`-th time, counted within its own life. */
export interface Crash {
  readonly point: CrashPoint;
  readonly occurrence: number;
}

/** Everything that outlives the drivers, compared at the end. */
export interface Outcome {
  /** Published objects: name to content. */
  readonly published: Readonly<Record<string, string>>;
  /** What the idempotent writer ended up with: (generation, batch id, time) to rows. */
  readonly written: Readonly<Record<string, string>>;
  /** Of every operator's state. */
  readonly fingerprints: Readonly<Record<string, string>>;
  readonly lastBatchTimeMs: number;
  /** Crash points that were passed, and how often. */
  readonly passed: ReadonlyMap<CrashPoint, number>;
  readonly crashes: number;
}

const endMs = 24_000;
const keys = 6;

let runs = 0;

/**
 * Runs a program with every kind of state and of output to its end on a manual clock, killing drivers as told.
 * What it leaves behind must not depend on the crashes. With a downtime, rows may fall into later batches than they would
 * have, but for those whose ranges were recorded.
 */
export async function runScenario(
  crashes: readonly Crash[],
  checkpoint: Partial<CheckpointOptions>,
  downtimeMs = 0,
  threads?: CrashThreads,
): Promise<Outcome> {
  const clock = new ManualClock(0);
  const topic = readings();
  const checkpointStore = new MemoryStore({ clock });
  const outputUrl = `memory:crash-suite-${++runs}`;
  const written: Record<string, string> = {};
  const passed = new Map<CrashPoint, number>();
  const pending = [...crashes];

  const parts = { clock, topic, outputUrl, written };

  const life = async (): Promise<'finished' | 'crashed'> => {
    const seen = new Map<CrashPoint, number>();
    const store = new FaultyStore(checkpointStore);
    const died = new Error('crash');
    const crashHook = (point: CrashPoint): void => {
      passed.set(point, (passed.get(point) ?? 0) + 1);
      seen.set(point, (seen.get(point) ?? 0) + 1);
      const crash = pending[0];
      if (crash?.point !== point || seen.get(point) !== crash.occurrence) return;
      pending.shift();
      store.crash({ signal: died });
      throw died;
    };
    try {
      const context = await StreamingContext.getOrCreate(store, () =>
        program({ ...parts, crashHook, checkpoint, threads, seed: crashes.length - pending.length }),
      );
      const driven = new DrivenStream(context, clock, 1000);
      await context.start();
      await driven.runTo(endMs);
      await driven.stop();
      return 'finished';
    } catch (error) {
      if (error === died || (error as Error).cause === died) return 'crashed';
      throw error;
    }
  };

  let deaths = 0;
  while ((await life()) === 'crashed') {
    deaths += 1;
    clock.advanceBy(downtimeMs);
  }
  const end = await readCheckpoint(checkpointStore);
  return {
    published: await contentOf(outputUrl),
    written,
    fingerprints: end?.status.fingerprints ?? {},
    lastBatchTimeMs: end?.status.lastBatch?.batchTimeMs ?? 0,
    passed,
    crashes: deaths,
  };
}

interface ProgramParts {
  readonly clock: ManualClock;
  readonly topic: MemoryTopic<readonly [string, number]>;
  readonly crashHook: (point: CrashPoint) => void;
  readonly outputUrl: string;
  readonly written: Record<string, string>;
  readonly checkpoint: Partial<CheckpointOptions>;
  readonly seed: number;
  readonly threads?: CrashThreads | undefined;
}

/** Where the graph is computed, and which threads read the topic. */
export interface CrashThreads {
  readonly master: string;
  readonly born: 'workers' | 'driver';
}

/** The same program in a worker thread: all of it that matters there follows from the name of its output. */
export function programOfWorker(outputUrl: string, born: CrashThreads['born']): StreamingContext {
  const threads: CrashThreads = { master: 'local', born };
  const clock = new ManualClock(0);
  return program({
    clock,
    topic: readings(),
    crashHook: () => {},
    outputUrl,
    written: {},
    checkpoint: {},
    seed: 0,
    threads,
  });
}

function program(parts: ProgramParts): StreamingContext {
  const { clock, topic, crashHook, outputUrl, written, checkpoint, threads } = parts;
  const query = new URLSearchParams({ outputUrl, born: threads?.born ?? 'driver' });
  const ssc = new StreamingContext({
    master: threads?.master,
    module: `${new URL('./crash-worker.ts', import.meta.url).href}?${query}`,
    appName: 'crash-suite',
    batchInterval: Seconds(1),
    defaultParallelism: 3,
    checkpoint,
    environment: { clock, crashHook, random: new SeededRandom(parts.seed), print: () => {} },
  });
  const source = topic.source();
  // Every thread has the same rows.
  if (threads?.born === 'workers') Object.assign(source, { startReading: async () => {} });
  const rows = ssc.sourceStream(source, { uid: 'readings' });

  rows
    .updateStateByKey(
      (values, state: { sum: number; n: number } | undefined) => {
        // Changes its argument in place, as user code does.
        const next = state ?? { sum: 0, n: 0 };
        for (const value of values) {
          next.sum += value;
          next.n += 1;
        }
        return next.n >= 9 ? undefined : next;
      },
      { uid: 'sums' },
    )
    .saveTo(blobSink({ url: outputUrl, inlineBytesMax: 120 }), { uid: 'sums-out' });

  rows
    .mapWithState(
      StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
        if (value === undefined) return [key, 'timed out', state.get()] as const;
        state.update((state.exists() ? state.get() : 0) + value);
        return [key, 'total', state.get()] as const;
      }).timeout(Seconds(3)),
      { uid: 'totals' },
    )
    .foreachRDD(async (rdd, time, { batchId, generation }) => {
      const name = `${generation}/${batchId}/${time.milliseconds}`;
      const content = JSON.stringify(await rdd.collect());
      if (written[name] !== undefined && written[name] !== content) {
        throw new Error(`A replay of ${name} gave ${content} instead of ${written[name]}.`);
      }
      written[name] = content;
    });

  const windowed = rows
    .mapValues((value) => value / 3)
    .reduceByKeyAndWindow(
      (a, b) => a + b,
      (a, b) => a - b,
      Seconds(6),
      Seconds(2),
      { uid: 'sliding' },
    );
  windowed.saveTo(blobSink({ url: outputUrl }), { uid: 'sliding-out' });
  rows
    .window(Seconds(3), Seconds(3), { uid: 'recent' })
    .map(([key]) => key)
    .saveTo(blobSink({ url: outputUrl, format: 'text' }), { uid: 'recent-out' });
  rows.map((row) => JSON.stringify(row)).saveTo(blobSink({ url: outputUrl, format: 'text' }), { uid: 'rows-out' });
  windowed.print(2);
  return ssc;
}

/** What `rows-out` must hold in the end, whatever happened: every row once. */
export function allRows(): string[] {
  const topic = readings();
  const rows: string[] = [];
  for (let partition = 0; partition < topic.numPartitions; partition++) {
    const to = topic.end(partition, endMs);
    for (const row of topic.rows({ partition, from: 0, to })) rows.push(JSON.stringify(row));
  }
  return rows.sort();
}

function readings(): MemoryTopic<readonly [string, number]> {
  const topic = new MemoryTopic<readonly [string, number]>('readings', 3);
  const random = new SeededRandom(7);
  for (let t = 1000; t <= endMs; t += 1000) {
    for (let i = 0; i < 5; i++) {
      const key = `k${Math.floor(random.next() * keys)}`;
      topic.send(t, Math.floor(random.next() * 3), [key, Math.floor(random.next() * 100) / 10]);
    }
  }
  return topic;
}

async function contentOf(url: string): Promise<Record<string, string>> {
  const store = new MemoryStore({ name: url.slice('memory:'.length), clock: new ManualClock(0) });
  const content: Record<string, string> = {};
  for await (const { name } of store.list('')) {
    const object = await store.get(name);
    if (object.status === 'found') content[name] = Buffer.from(object.bytes).toString('utf8');
  }
  return content;
}
