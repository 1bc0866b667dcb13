import { writeFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import {
  type DStream,
  Milliseconds,
  Seconds,
  type State,
  StateSpec,
  StreamingContext,
  type StreamingContextOptions,
} from '../../../src/index.ts';
import { type Pair, rowsSource } from './rows-source.ts';

/** What the program does wrong, in the batch of this time, once or (`throws`) always. */
export type Fault = 'none' | 'throws' | 'throws once' | 'exits in state' | 'exits behind state' | 'exits afterwards';

export interface StateProgram {
  readonly fault: Fault;
  readonly faultMs: number;
  readonly mark: string;
  /** How often the state is partitioned. */
  readonly partitions: number;
  /** `print`: batches need not wait for each other; `windows`: there is nothing that needs a checkpoint. */
  readonly outputs: 'foreach' | 'print' | 'windows';
  readonly context?: Partial<StreamingContextOptions>;
  readonly observe?: (output: string, stream: DStream<unknown>) => void;
}

/** Of the program that was built last, on the thread that asks. */
export let calledOnDriver: { readonly value: number };
export let calledOnWorkers: { readonly value: number };

const add = (a: number, b: number): number => a + b;
const sum = (values: readonly number[], total: number | undefined): number => values.reduce(add, total ?? 0);

/** Every kind of state there is, and what may follow it. */
export function buildStateProgram(program: StateProgram): StreamingContext {
  const { partitions, outputs: kind, context, observe } = program;
  const ssc = new StreamingContext({
    appName: 'state',
    batchInterval: Seconds(1),
    startReport: false,
    blockedLoopWarning: Milliseconds(0),
    ...context,
  });
  const [onDriver, onWorkers] = [ssc.rdds.longAccumulator(), ssc.rdds.longAccumulator()];
  [calledOnDriver, calledOnWorkers] = [onDriver, onWorkers];
  const rows = ssc.sourceStream(rowsSource(4, 'workers'), { uid: 'rows' });
  const byDriver = ssc.sourceStream(rowsSource(2, 'driver'), { uid: 'by-driver' });
  if (kind === 'windows') {
    const sums = rows.reduceByKeyAndWindow(add, Seconds(3), Seconds(1), { uid: 'window' }).mapPartitions((all) => {
      timeMs += 1000;
      fail(program, 'behind', 0);
      return all;
    });
    if (observe === undefined) sums.foreachRDD(() => {});
    else observe('window', sums);
    return ssc;
  }
  const totals = rows.updateStateByKey(
    (values: readonly number[], total: number | undefined, _key, time) => {
      (isMainThread ? onDriver : onWorkers).add(1);
      fail(program, 'state', time.milliseconds);
      const next = sum(values, total);
      return next > 60 ? undefined : next;
    },
    {
      uid: 'totals',
      numPartitions: partitions,
      initialState: [
        ['fox', 1],
        ['ant', 7],
      ],
    },
  );
  const visits = byDriver
    .map(([key, value]) => [[key, value % 2 === 0] as const, value] as const)
    .mapWithState(
      StateSpec.function(([key]: readonly [string, boolean], value: number | undefined, state: State<number[]>) => {
        if (state.isTimingOut()) return `${key} leaves with ${state.get().length}`;
        state.update([...(state.getOption() ?? []), value ?? 0].slice(-3));
        return undefined;
      })
        .timeout(Seconds(2))
        .numPartitions(partitions),
      { uid: 'visits' },
    );
  const window = rows.reduceByKeyAndWindow(add, Seconds(3), Seconds(2), { uid: 'window', numPartitions: partitions });
  const sliding = rows
    .filter(([, value]) => value > 0)
    .reduceByKeyAndWindow(add, (a, b) => a - b, Seconds(4), Seconds(1), {
      uid: 'sliding',
      filter: ([, value]) => value !== 0,
    });
  const recent = rows.window(Seconds(2), Seconds(1), { uid: 'recent' });
  const outputs: Record<string, DStream<unknown>> = {
    totals: totals.map(([key, total]): Pair => {
      fail(program, 'behind', total);
      return [key, total];
    }),
    window,
    joined: totals.join(sliding, 2),
    visits,
    snapshots: visits.stateSnapshots(),
    sliding: sliding.reduceByKey(add, 3),
    grouped: rows.groupByKeyAndWindow(Seconds(2), Seconds(2), { uid: 'grouped' }).mapValues((all) => all.length),
    counts: byDriver.map(([key]) => key).countByValueAndWindow(Seconds(3), Seconds(1)),
    // State behind state that the driver's thread holds.
    afterWindow: recent.updateStateByKey(sum, { uid: 'after-window' }),
    actions: totals.transform((rdd) => rdd.sortBy(([key, total]) => [total, key], false, 2)),
  };
  // Read by no output, and advanced all the same.
  const largest = rows.reduceByKeyAndWindow(Math.max, Seconds(3), Seconds(3), { uid: 'largest' });
  if (kind === 'print') largest.print();
  else largest.foreachRDD(() => {});
  for (const [name, stream] of Object.entries(outputs)) {
    if (kind === 'print') stream.print(1000);
    else if (observe === undefined) stream.foreachRDD(() => {});
    else observe(name, stream);
  }
  return ssc;
}

let timeMs = 0;
let failures = 0;

function fail({ fault, faultMs, mark }: StateProgram, place: 'state' | 'behind', at: number): void {
  if (place === 'state') timeMs = at;
  if (timeMs !== faultMs) return;
  if (fault === 'throws' && place === 'state') throw new RangeError('not today');
  if (fault === 'throws once' && place === 'state' && ++failures === 2) throw new Error('only once');
  if (isMainThread) return;
  if (fault === 'exits in state' && place === 'state' && isFirst(mark)) process.exit(3);
  if (fault === 'exits behind state' && place === 'behind' && isFirst(mark)) process.exit(3);
  if (fault === 'exits afterwards' && place === 'behind' && isFirst(mark)) setTimeout(() => process.exit(3), 30);
}

/** True for one caller of all threads. */
function isFirst(mark: string): boolean {
  try {
    writeFileSync(mark, '', { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}

export function stateModuleOf({ fault, faultMs, mark, partitions, outputs }: StateProgram): string {
  const numbers = { faultMs: String(faultMs), partitions: String(partitions) };
  const query = new URLSearchParams({ fault, mark, outputs, ...numbers });
  return `${new URL('./state-programs.ts', import.meta.url).href}?${query}`;
}

/** For a worker thread. */
export function create(): StreamingContext {
  flushCompileCache();
  const given = new URL(import.meta.url).searchParams;
  return buildStateProgram({
    fault: given.get('fault') as Fault,
    faultMs: Number(given.get('faultMs')),
    mark: given.get('mark')!,
    outputs: given.get('outputs') as StateProgram['outputs'],
    partitions: Number(given.get('partitions')),
  });
}
