import {
  type DStream,
  Milliseconds,
  type State,
  StateSpec,
  StreamingContext,
  type StreamingContextOptions,
} from '../../../src/index.ts';
import { ManualClock, MemoryStore, SeededRandom } from '../../../src/testing.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { CaseSource } from './case-source.ts';
import type { CaseFunctions, CaseParams, SparkCase, Step } from './cases.ts';

type Pair = [unknown, unknown];

/** What the observed stream gave at one batch time. */
export interface SeenBatch {
  readonly timeMs: number;
  readonly partitions: readonly (readonly unknown[])[];
}

export interface Seen {
  readonly results: SeenBatch[];
  /** Of the state behind a mapWithState. */
  readonly snapshots: SeenBatch[];
}

interface Built {
  readonly out: DStream<unknown>;
  readonly snapshots: DStream<unknown> | undefined;
}

/** In which threads a case runs: see StreamingContextOptions. */
interface Threads {
  readonly master: string;
  readonly module: string;
}

/** A case and the functions of its file. */
export interface NamedCase {
  readonly sparkCase: SparkCase;
  readonly functions: CaseFunctions;
}

type CaseOptions = Partial<StreamingContextOptions> & {
  /** Of each case, in their order. */
  readonly seen: readonly Seen[];
};

/** The program of one case, or of several side by side, on the driver's thread or in a worker. */
export function createCases(cases: readonly NamedCase[], { seen, ...options }: CaseOptions): StreamingContext {
  const batchInterval = Milliseconds(cases[0]!.sparkCase.params!.batchMs!);
  const ssc = new StreamingContext({ appName: 'conformance', batchInterval, startReport: false, ...options });
  cases.forEach(({ sparkCase, functions }, i) => {
    const { out, snapshots } = build(ssc, sparkCase, functions, cases.length === 1 ? '' : `${i}-`);
    observe(out, seen[i]!.results);
    if (snapshots !== undefined) observe(snapshots, seen[i]!.snapshots);
  });
  return ssc;
}

export function nothingSeen(): Seen {
  return { results: [], snapshots: [] };
}

/** Runs cases of one batch interval side by side, none of which restarts. Resolves with what each has given, in its time. */
export async function runTogether(cases: readonly NamedCase[], threads: Threads): Promise<Seen[]> {
  const clock = new ManualClock(0);
  const seen = cases.map(nothingSeen);
  const environment = { clock, random: new SeededRandom(0), print: () => {} };
  const ssc = await StreamingContext.getOrCreate(new MemoryStore({ clock }), () =>
    createCases(cases, { seen, environment, ...threads }),
  );
  const { batchMs } = cases[0]!.sparkCase.params!;
  const ends = cases.map(({ sparkCase: { params } }) => params!.runBatches! * batchMs!);
  const driven = new DrivenStream(ssc, clock, batchMs!);
  await ssc.start();
  await driven.runTo(Math.max(...ends));
  await driven.stop();
  const until = (batches: readonly SeenBatch[], endMs: number): SeenBatch[] =>
    batches.filter(({ timeMs }) => timeMs <= endMs);
  return seen.map(({ results, snapshots }, i) => ({
    results: until(results, ends[i]!),
    snapshots: until(snapshots, ends[i]!),
  }));
}

/** Runs a data case to its end. With `restartAfterBatches` a second context goes on from the checkpoint of the first. */
export async function runPipeline(sparkCase: SparkCase, functions: CaseFunctions, threads?: Threads): Promise<Seen[]> {
  const params = sparkCase.params!;
  const batchMs = params.batchMs!;
  const clock = new ManualClock(0);
  const store = new MemoryStore({ clock });
  const endMs = params.runBatches! * batchMs;
  const ends = params.restartAfterBatches === undefined ? [endMs] : [params.restartAfterBatches * batchMs, endMs];
  const lives: Seen[] = [];
  for (const until of ends) {
    const seen = nothingSeen();
    const environment = { clock, random: new SeededRandom(lives.length), print: () => {} };
    const create = (): StreamingContext =>
      createCases([{ sparkCase, functions }], { seen: [seen], environment, ...threads });
    const needsCheckpoint = params.needsCheckpointDir ?? false;
    const ssc = needsCheckpoint ? await StreamingContext.getOrCreate(store, create) : create();
    const driven = new DrivenStream(ssc, clock, batchMs);
    await ssc.start();
    await driven.runTo(until);
    await driven.stop();
    lives.push(seen);
  }
  return lives;
}

function observe(stream: DStream<unknown>, seen: SeenBatch[]): void {
  stream.foreachRDD(async (rdd, time) => {
    seen.push({ timeMs: time.milliseconds, partitions: await rdd.collectPartitions() });
  });
}

function build(
  ssc: StreamingContext,
  { params, input, input2, input3 }: SparkCase,
  functions: CaseFunctions,
  prefix: string,
): Built {
  const source = (rows: SparkCase['input'], name: string): DStream<unknown> =>
    ssc.sourceStream(new CaseSource(rows ?? [], params!.numPartitions ?? 2), { uid: prefix + name });
  const streams = new Map<string, DStream<unknown>>([['in', source(input, 'in')]]);
  if (input2 !== undefined) streams.set('in2', source(input2, 'in2'));
  if (input3 !== undefined) streams.set('in3', source(input3, 'in3'));
  let previous = 'in';
  let snapshots: DStream<unknown> | undefined;
  params!.pipeline!.forEach((step, i) => {
    const parents = [step.from ?? previous].flat().map((name) => {
      const parent = streams.get(name);
      if (parent === undefined) throw new Error(`The pipeline names a step '${name}' that does not exist.`);
      return parent;
    });
    const built = apply(ssc, step, parents, functions, params!);
    previous = step.id ?? `step ${i}`;
    streams.set(previous, built.out);
    snapshots = built.snapshots;
  });
  return { out: streams.get(previous)!, snapshots };
}

function apply(
  ssc: StreamingContext,
  step: Step,
  parents: readonly DStream<unknown>[],
  functions: CaseFunctions,
  params: CaseParams,
): Built {
  const stream = parents[0]!;
  const pairs = stream as DStream<Pair>;
  const others = parents as readonly DStream<Pair>[];
  const fn = <F>(name: string | undefined): F => {
    const found = functions[name ?? ''];
    if (found === undefined) throw new Error(`The case names a function '${name}' that does not exist.`);
    return found as F;
  };
  const length = Milliseconds(step.windowMs ?? 0);
  const slide = Milliseconds(step.slideMs ?? params.batchMs!);
  type Binary = (a: unknown, b: unknown) => unknown;
  const plain = (out: DStream<unknown>): Built => ({ out, snapshots: undefined });

  switch (step.op) {
    case 'map':
      return plain(stream.map(fn<(row: unknown) => Pair>(step.fn)));
    case 'flatMap':
      return plain(stream.flatMap(fn<(row: unknown) => Pair[]>(step.fn)));
    case 'filter':
      return plain(stream.filter(fn<(row: unknown) => boolean>(step.fn)));
    case 'glom':
      return plain(stream.glom());
    case 'mapPartitions':
      return plain(stream.mapPartitions(fn<(rows: readonly unknown[]) => unknown[]>(step.fn)));
    case 'repartition':
      return plain(stream.repartition(step.numPartitions!));
    case 'count':
      return plain(stream.count());
    case 'countByValue':
      return plain(stream.countByValue(step.numPartitions));
    case 'reduce':
      return plain(stream.reduce(fn<Binary>(step.fn)));
    case 'union':
      return plain(stream.union(parents[1]!));
    case 'ssc.union':
      return plain(ssc.union(parents));
    case 'transformMap':
      return plain(stream.transform((rdd) => rdd.map(fn<(row: unknown) => Pair>(step.fn))));
    case 'transformWithJoin':
      return plain(pairs.transformWith(others[1]!, (left, right) => left.join(right)));
    case 'ssc.transformUnion':
      return plain(ssc.transform(parents, (rdds) => rdds.reduce((all, rdd) => all.union(rdd))));
    case 'groupByKey':
      return plain(pairs.groupByKey(step.numPartitions));
    case 'reduceByKey':
      return plain(pairs.reduceByKey(fn<Binary>(step.fn), step.numPartitions));
    case 'combineByKey':
      return plain(
        pairs.combineByKey(
          {
            create: fn<(value: unknown) => unknown>(step.createFn),
            mergeValue: fn<Binary>(step.fn),
            mergeCombiners: fn<Binary>(step.mergeFn),
          },
          step.numPartitions,
        ),
      );
    case 'mapValues':
      return plain(pairs.mapValues(fn<(value: unknown) => unknown>(step.fn)));
    case 'flatMapValues':
      return plain(pairs.flatMapValues(fn<(value: unknown) => unknown[]>(step.fn)));
    case 'cogroup':
      return plain(pairs.cogroup(others[1]!));
    case 'join':
      return plain(pairs.join(others[1]!));
    case 'leftOuterJoin':
      return plain(pairs.leftOuterJoin(others[1]!));
    case 'rightOuterJoin':
      return plain(pairs.rightOuterJoin(others[1]!));
    case 'fullOuterJoin':
      return plain(pairs.fullOuterJoin(others[1]!));
    case 'window':
      return plain(stream.window(length, slide));
    case 'groupByKeyAndWindow':
      return plain(pairs.groupByKeyAndWindow(length, slide));
    case 'countByWindow':
      return plain(stream.countByWindow(length, slide));
    case 'countByValueAndWindow':
      return plain(stream.countByValueAndWindow(length, slide));
    case 'reduceByWindow':
      return plain(
        step.inverseFn === undefined
          ? stream.reduceByWindow(fn<Binary>(step.fn), length, slide)
          : stream.reduceByWindow(fn<Binary>(step.fn), fn<Binary>(step.inverseFn), length, slide),
      );
    case 'reduceByKeyAndWindow': {
      if (step.inverseFn === undefined) return plain(pairs.reduceByKeyAndWindow(fn<Binary>(step.fn), length, slide));
      const filter =
        step.filterFn === undefined ? undefined : fn<(row: readonly [unknown, unknown]) => boolean>(step.filterFn);
      const inverse = fn<Binary>(step.inverseFn);
      return plain(pairs.reduceByKeyAndWindow(fn<Binary>(step.fn), inverse, length, slide, { filter }));
    }
    case 'updateStateByKey':
      return plain(updateState(pairs, step, fn(step.fn)));
    case 'mapWithState':
      return mapState(pairs, step, fn(step.fn));
    default:
      throw new Error(`The runner does not know the operator '${step.op}'.`);
  }
}

type CaseUpdate = (time: number, key: unknown, values: readonly unknown[], state: unknown) => unknown;

function updateState(pairs: DStream<Pair>, step: Step, update: CaseUpdate): DStream<Pair> {
  const { initialState, numPartitions } = step;
  if (!step.iteratorForm) {
    return pairs.updateStateByKey<unknown, unknown, unknown>(
      (values, state, key, time) => update(time.milliseconds, key, values, state),
      { initialState, numPartitions },
    );
  }
  return pairs.updateStateByKey<unknown, unknown, unknown>(
    function* (rows, time) {
      for (const [key, values, state] of rows) {
        const next = update(time.milliseconds, key, values, state);
        if (next !== undefined) yield [key, next];
      }
    },
    { initialState, numPartitions, perPartition: true },
  );
}

type CaseMapping = (time: number, key: unknown, value: unknown, state: State<unknown>) => unknown;

function mapState(pairs: DStream<Pair>, step: Step, run: CaseMapping): Built {
  let spec = StateSpec.function((key: unknown, value: unknown, state: State<unknown>, time) =>
    run(time.milliseconds, key, value, state),
  );
  if (step.initialState !== undefined) spec = spec.initialState(step.initialState);
  const mapped = pairs.mapWithState(spec);
  const snapshots = mapped.stateSnapshots();
  if (step.emit === 'stateSnapshots') return { out: snapshots, snapshots: undefined };
  if (step.emit !== undefined) throw new Error(`The runner does not know emit '${step.emit}'.`);
  return { out: mapped, snapshots };
}
