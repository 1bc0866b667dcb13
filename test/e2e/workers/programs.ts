import { writeFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { isMainThread, threadId } from 'node:worker_threads';
import {
  type DStream,
  Milliseconds,
  type Partitioner,
  type RDD,
  Seconds,
  type State,
  StateSpec,
  StreamingContext,
  type StreamingContextOptions,
} from '../../../src/index.ts';
import { type Born, type Pair, rowsSource } from './rows-source.ts';

/**
 * The programs of these tests. The driver's thread builds them by name; a worker thread loads this module with the same
 * name in its query.
 */
export interface ProgramContext {
  readonly ssc: StreamingContext;
  readonly rows: DStream<Pair>;
  readonly more: DStream<Pair>;
  /** A file that the test can look for. */
  readonly mark: string;
}

type Outputs = Readonly<Record<string, DStream<unknown>>>;

const add = (a: number, b: number): number => a + b;
let calls = 0;

/** Programs without a fault, which run side by side in one context. */
export const programs: Readonly<Record<string, (context: ProgramContext) => Outputs>> = {
  wordCount: ({ rows }) => ({
    counts: rows
      .flatMap(([key, value]) => [key, `${key}${value % 3}`])
      .filter((word) => word !== '')
      .map((word): Pair => [word, 1])
      .reduceByKey(add),
  }),
  joins: ({ rows, more }) => ({
    inner: rows.join(more.reduceByKey(Math.max)),
    left: rows.leftOuterJoin(more.filter(([, value]) => value > 5)),
    cogrouped: rows.cogroup(more, 3),
  }),
  sorted: ({ rows }) => ({ sorted: rows.transform((rdd) => rdd.sortBy(([key, value]) => [key, value])) }),
  unions: ({ ssc, rows, more }) => ({
    of: rows.union(more),
    ofReduced: ssc.union([rows.reduceByKey(add, 3), more.groupByKey(2).mapValues((values) => values.length), rows]),
    coalesced: rows
      .reduceByKey(add, 5)
      .transform((rdd) => rdd.coalesce(2))
      .map(([key, value]) => `${key}=${value}`),
  }),
  windows: ({ rows, more }) => {
    const window = rows.reduceByKeyAndWindow(add, Seconds(3), Seconds(1), { uid: 'window' });
    return {
      window,
      joined: window.join(more.reduceByKey(add)),
      recent: rows.filter(([, value]) => value > 0).window(Seconds(2), Seconds(2), { uid: 'recent' }),
    };
  },
  state: ({ rows }) => ({
    totals: rows.updateStateByKey(
      (values: readonly number[], total: number | undefined) => values.reduce(add, total ?? 0),
      {
        uid: 'totals',
      },
    ),
    mapped: rows.mapWithState(
      StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
        state.update((state.getOption() ?? 0) + (value ?? 0));
        return [key, state.get()] as const;
      }),
      { uid: 'mapped' },
    ),
  }),
  transforms: ({ rows, more }) => ({
    actions: rows
      .transform((rdd) => {
        // Waits for its own action before the rows are computed: mapAsync runs in tasks, the action does not.
        const total = rdd.map(([, value]) => value).reduce(add);
        return rdd.map((row) => [row, total] as const).through('await', (push) => (row) => push(row)) as RDD<unknown>;
      })
      .mapAsync(async (pair) => {
        const [row, total] = pair as readonly [Pair, Promise<number>];
        return [row[0], row[1], await total] as const;
      }),
    // Tasks before a shuffle wait for a chain of actions on the same rows.
    waits: rows
      .transform((rdd) => {
        const chain = async (): Promise<number> => (await rdd.count()) + (await rdd.reduceByKey(add).count());
        const sum = chain();
        return rdd.map(([key, value]) => ({ key, value, sum }));
      })
      .mapAsync(async ({ key, value, sum }): Promise<Pair> => [key, value * (await sum)])
      .reduceByKey(add),
    with: rows.transformWith(more, (a, b) => a.subtract(b as RDD<Pair>)),
  }),
  shares: ({ rows }) => {
    const shared = rows.mapValues((value) => value * 2);
    shared.persist();
    return { sums: shared.reduceByKey(add), counts: shared.map(([key]) => key).countByValue(), rows: shared };
  },
  accumulators: ({ ssc, rows }) => {
    const seen = ssc.rdds.longAccumulator('seen');
    const words = ssc.rdds.collectionAccumulator<string>('words');
    const table = ssc.rdds.broadcast(new Map([['ant', 6]]));
    accumulators = { ...accumulators, seen, words };
    return {
      out: rows
        .map(([key, value]): Pair => {
          seen.add(1);
          if (key === 'elk') words.add(key);
          return [key, value + (table.value.get(key) ?? 0)];
        })
        .reduceByKey(add),
    };
  },
  failsOnce: ({ ssc, rows }) => {
    const seen = ssc.rdds.longAccumulator('seen');
    accumulators = { ...accumulators, tries: seen };
    return {
      out: rows
        .map((row) => {
          seen.add(1);
          // In each thread: the fifth row it sees.
          calls += 1;
          if (calls === 5) throw new Error('only once');
          return row;
        })
        .reduceByKey(add),
    };
  },
};

/** Run by themselves: most of them have a fault. */
export const faultyPrograms: Readonly<Record<string, (context: ProgramContext) => Outputs>> = {
  placement: ({ ssc, rows }) => {
    const onWorkers = ssc.rdds.longAccumulator();
    const onDriver = ssc.rdds.longAccumulator();
    accumulators = { onWorkers, onDriver };
    const partitioner: Partitioner = {
      numPartitions: 2,
      partition: (key) => {
        (isMainThread ? onDriver : onWorkers).add(1);
        return String(key).length % 2;
      },
      equals: (other) => other === partitioner,
    };
    const spec = StateSpec.function((key: string, value: number | undefined) => [key, value] as const);
    return { out: rows.mapWithState(spec.partitioner(partitioner), { uid: 'placed' }) };
  },
  remembers: ({ ssc, rows }) => {
    ssc.remember(Seconds(10));
    const doubled = rows.mapValues((value) => value * 2);
    sliced = { sums: rows.reduceByKey(add, 2), doubled };
    return { sums: sliced.sums! };
  },
  files: ({ ssc, mark }) => {
    const readBy = ssc.rdds.collectionAccumulator<boolean>();
    accumulators = { readBy };
    const lines = ssc.fileStream(`${mark}-files`, {
      newFilesOnly: false,
      read: (bytes) => {
        readBy.add(isMainThread);
        return Buffer.from(bytes).toString().trim().split('\n');
      },
    });
    return {
      words: lines
        .flatMap((line) => line.split(' '))
        .map((word): Pair => [word, 1])
        .reduceByKey(add, 2),
    };
  },
  failsAlways: ({ rows }) => ({
    out: rows.map(([key, value]) => {
      if (value === 17) throw new RangeError('seventeen');
      return [key, value] as const;
    }),
  }),
  blocks: ({ rows }) => ({
    out: rows.map(([key, value]) => {
      const endMs = performance.now() + (value === 17 ? 150 : 0);
      while (performance.now() < endMs);
      return [key, value] as const;
    }),
  }),
  losesThreads: ({ rows, mark }) => ({
    exits: rows.reduceByKey(add).mapValues((value) => {
      if (!isMainThread && value > 20 && first(`${mark}-exit`)) process.exit(3);
      return value;
    }),
    strays: rows.mapValues((value) => {
      if (!isMainThread && first(`${mark}-stray`)) void Promise.reject(new Error('stray'));
      return value;
    }),
  }),
  exitsAlways: ({ rows }) => ({
    out: rows.mapValues((value) => {
      if (!isMainThread) process.exit(4);
      return value;
    }),
  }),
  otherOperators: ({ rows }) => ({ out: isMainThread ? rows.map((row) => row) : rows.filter(() => true) }),
  otherLineages: ({ rows }) => ({
    out: rows.transform((rdd) =>
      (threadId % 2 === 0 ? rdd.map((row) => row) : rdd.mapPartitions((all) => all)).repartition(2),
    ),
  }),
  never: ({ rows, mark }) => ({
    out: rows.mapAsync(async (row) => {
      writeFileSync(mark, '');
      await new Promise(() => {});
      return row;
    }),
  }),
};

/** Of the program that was built last, on the thread that asks. */
export let accumulators: { readonly [name: string]: { readonly value: unknown } } = {};

/** Streams of the program that was built last, to be sliced. */
export let sliced: Readonly<Record<string, DStream<unknown>>> = {};

/** True for one caller of all threads. */
function first(mark: string): boolean {
  try {
    writeFileSync(mark, '', { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}

export interface ProgramOptions {
  /** `all`: those without a fault. */
  readonly name: string;
  readonly born: Born;
  readonly mark: string;
  readonly context?: Partial<StreamingContextOptions>;
  readonly observe?: (output: string, stream: DStream<unknown>) => void;
}

export function buildProgram({ name, born, mark, context, observe }: ProgramOptions): StreamingContext {
  const ssc = new StreamingContext({
    appName: name,
    batchInterval: Seconds(1),
    startReport: false,
    // Threads of a busy machine stand still for a while.
    blockedLoopWarning: Milliseconds(name === 'blocks' ? 100 : 0),
    ...context,
  });
  const rows = ssc.sourceStream(rowsSource(3, born), { uid: 'rows' });
  const more = ssc.sourceStream(rowsSource(2, born), { uid: 'more' });
  const chosen = name === 'all' ? Object.entries(programs) : [[name, faultyPrograms[name]!] as const];
  for (const [program, build] of chosen) {
    for (const [output, stream] of Object.entries(build({ ssc, rows, more, mark }))) {
      if (observe !== undefined) observe(`${program}.${output}`, stream);
      else stream.foreachRDD(() => {});
    }
  }
  return ssc;
}

export function moduleOf({ name, born, mark }: ProgramOptions): string {
  return `${new URL('./programs.ts', import.meta.url).href}?${new URLSearchParams({ name, born, mark })}`;
}

/** For a worker thread. */
export function create(): StreamingContext {
  // The next thread starts faster; one that is terminated would leave nothing behind.
  flushCompileCache();
  const given = new URL(import.meta.url).searchParams;
  return buildProgram({ name: given.get('name')!, born: given.get('born') as Born, mark: given.get('mark')! });
}
