import { expect } from 'vitest';
import { type DStream, Milliseconds, type State, StateSpec, Time } from '../../src/index.ts';
import type { Row, SparkCase } from './support/cases.ts';
import { expectBag, expectRefused, unknownRow } from './support/check.ts';
import { collectInto, runFor, simpleStream } from './support/simple-stream.ts';

type Pair = readonly [unknown, unknown];
type CaseCheck = (sparkCase: SparkCase) => Promise<void>;
type RowCheck = (row: Row, sparkCase: SparkCase) => Promise<void>;

const plus = (a: number, b: number): number => a + b;
const minus = (a: number, b: number): number => a - b;

/** The cases ask for batches that are still to come; here they have run, and are remembered. */
async function slice({ input, params, steps }: SparkCase): Promise<void> {
  let rows: DStream<unknown> | undefined;
  const stream = await simpleStream(
    input!,
    (source, ssc) => {
      ssc.remember(Milliseconds(10_000));
      rows = source;
      source.foreachRDD(() => {});
    },
    { batchMs: params!.batchMs! },
  );
  await stream.ssc.start();
  await stream.driven.runTo(input!.length * params!.batchMs!);
  for (const step of steps!) {
    if (step.call !== 'slice') unknownRow(step);
    const rdds = rows!.slice(new Time(step.fromMs as number), new Time(step.toMs as number));
    const found = (await Promise.all(rdds.map((rdd) => rdd.collect()))).flat();
    expectBag(found, step.expectedSet as unknown[]);
  }
  await stream.driven.stop();
}

async function windowValidation({ params, steps }: SparkCase): Promise<void> {
  for (const step of steps!) {
    const length = Milliseconds(step.windowMs as number);
    const slideBy = Milliseconds(step.slideMs as number);
    const define = async (): Promise<void> => {
      await simpleStream<readonly [string, number]>(
        [],
        (rows) => {
          if (step.call === 'window') rows.window(length, slideBy);
          else if (step.call === 'reduceByKeyAndWindowInverse') rows.reduceByKeyAndWindow(plus, minus, length, slideBy);
          else unknownRow(step);
        },
        { batchMs: params!.batchMs! },
      );
    };
    if (step.throws) await expectRefused(define);
    else await define();
  }
}

/** Runs `calls` within one call of a mapWithState function. `initial` undefined: the key has no state. */
async function withState(
  initial: number | undefined,
  isTimingOut: boolean,
  calls: (state: State<number>) => void,
): Promise<void> {
  let called = 0;
  let spec = StateSpec.function((_key: string, _value: number | undefined, state: State<number>) => {
    called += 1;
    calls(state);
  });
  if (initial !== undefined) spec = spec.initialState([['key', initial]]);
  if (isTimingOut) spec = spec.timeout(Milliseconds(1000));
  const batches: Pair[][] = isTimingOut ? [[], [], []] : [[], [['key', 1]]];
  const stream = await simpleStream(batches as (readonly [string, number])[][], (rows) => {
    rows.mapWithState(spec).foreachRDD(() => {});
  });
  await runFor(stream, batches.length);
  expect(called).toBe(1);
}

function checkState(state: State<number>, step: Row): void {
  if ('exists' in step) expect(state.exists()).toBe(step.exists);
  if ('isTimingOut' in step) expect(state.isTimingOut()).toBe(step.isTimingOut);
  if ('getOption' in step) expect(state.getOption() ?? null).toBe(step.getOption);
  if (String(step.get).startsWith('throws')) expect(() => state.get()).toThrow(/no state/);
  else if ('get' in step) expect(state.get()).toBe(step.get);
  if (step.update) expect(() => state.update(9)).toThrow(/not possible/);
  if (step.remove) expect(() => state.remove()).toThrow(/not possible/);
}

/** isUpdated and isRemoved are not part of Spark's public State either. */
async function stateSteps({ steps }: SparkCase): Promise<void> {
  // A step that makes a new object begins a script; the others go on with the object they find.
  const scripts: Row[][] = [];
  for (const step of steps!) {
    if (/^(new|wrap)/.test(step.do as string)) scripts.push([step]);
    else scripts.at(-1)!.push(step);
  }
  for (const script of scripts) {
    const first = script[0]!.do as string;
    const wrapped = /\((\d+)\)$/.exec(first)?.[1];
    const isUpdate = first === 'new; update(2)';
    const initial = wrapped === undefined || isUpdate ? undefined : Number(wrapped);
    await withState(initial, first.startsWith('wrapTimingOut'), (state) => {
      for (const step of script) {
        const action = step.do as string;
        if (action.endsWith('update(2)')) state.update(2);
        else if (action === 'remove()') state.remove();
        else if (!/^(new|wrap\(absent\)|wrap\(\d+\)|wrapTimingOut\(\d+\))$/.test(action)) unknownRow(step);
        checkState(state, step);
      }
    });
  }
}

/** One key; its state begins at 1000, the data comes at 2000. Times show only in what expires. */
async function record(row: Row, { params }: SparkCase): Promise<void> {
  const [initial] = row.initStates as number[];
  const commands = row.data as string[];
  const threshold = row.timeoutThreshold as number | null;
  const updateTime = params!.updateTime as number;
  const output: unknown[] = [];
  const timingOut: unknown[] = [];
  const removed: unknown[] = [];
  let isCalled = false;
  let spec = StateSpec.function(
    (_key: string, command: string | undefined, state: State<number>): number | undefined => {
      isCalled = true;
      if (state.isTimingOut()) {
        timingOut.push(state.get());
        return undefined;
      }
      switch (command) {
        case 'noop':
          return undefined;
        case 'get-state':
          return state.getOption() ?? -1;
        case 'update-state':
          state.update(state.exists() ? state.get() + 1 : 0);
          return undefined;
        case 'remove-state':
          removed.push(state.get());
          state.remove();
          return undefined;
        default:
          return unknownRow(command);
      }
    },
  );
  if (initial !== undefined) spec = spec.initialState([['key', initial]]);
  if (threshold !== null) spec = spec.timeout(Milliseconds(updateTime - threshold));
  const states: (readonly [string, number])[][] = [];
  const batches = [[], commands.map((command) => ['key', command] as const)];
  const stream = await simpleStream<readonly [string, string]>(batches, (rows) => {
    const mapped = rows.mapWithState(spec);
    mapped.foreachRDD(async (rdd) => void output.push(...(await rdd.collect())));
    collectInto(mapped.stateSnapshots(), states);
  });
  await runFor(stream, 2);
  expect(output).toEqual(row.expectedOutput);
  expect(timingOut).toEqual(row.expectedTimingOut);
  expect(removed).toEqual(row.expectedRemoved);
  expect(states[1]).toEqual((row.expectedStates as [number, number][]).map(([value]) => ['key', value]));
  if ('functionCalled' in row) expect(isCalled).toBe(row.functionCalled);
}

/** A state follows from its parent's by one batch of data: a row is run with all its forebears. */
async function derivedStates({ params, rows }: SparkCase): Promise<void> {
  const byName = new Map(rows!.map((row) => [row.name, row]));
  for (const row of rows!) {
    const chain: Row[] = [];
    for (let at: Row | undefined = row; at !== undefined; at = byName.get(at.parent)) chain.unshift(at);
    const calls: unknown[] = [];
    const spec = StateSpec.function((key: string, command: number | undefined, state: State<number>) => {
      calls.push([key, command]);
      if (command === 1) state.update(state.exists() ? state.get() + 1 : 0);
      if (command === 2 && state.exists()) state.remove();
    })
      .initialState((params!.initial as [string, number, number][]).map(([key, value]) => [key, value]))
      .numPartitions(params!.numPartitions!);
    const states: (readonly [string, number])[][] = [];
    const data = chain.map((link) => link.data as [string, number][]);
    const stream = await simpleStream<readonly [string, number]>(data, (source) => {
      collectInto(source.mapWithState(spec).stateSnapshots(), states);
    });
    await runFor(stream, data.length);
    expectBag(
      states.at(-1)!,
      (row.expectedStates as [string, number, number][]).map(([key, value]) => [key, value]),
    );
    expectBag(calls, data.flat());
  }
}

async function printRow(row: Row): Promise<void> {
  const batches = [row.data as number[]];
  const startMs = (row.time as number) - 1000;
  const before = Array.from({ length: startMs / 1000 }, () => []);
  const stream = await simpleStream<number>([...before, ...batches], (rows) => rows.print(row.num as number), {
    startMs,
  });
  await runFor(stream, 1);
  expect(stream.printed).toHaveLength(1);
  expect(stream.printed[0]!.split('\n')).toEqual(row.expectedLines);
}

async function timerAlignment(row: Row): Promise<void> {
  const batchMs = row.periodMs as number;
  const nowMs = row.now as number;
  const define = (rows: DStream<number>): void => rows.foreachRDD(() => {});
  if (row.original === undefined) {
    const stream = await simpleStream<number>([], define, { batchMs, startMs: nowMs });
    await runFor(stream, 1, batchMs).catch(() => {});
    expect(stream.driven.recovery?.lastBatchTimeMs).toBe((row.expectedStart as number) - batchMs);
    return;
  }
  const first = await simpleStream<number>([], define, { batchMs, startMs: row.original as number });
  await first.ssc.start();
  await first.driven.stop();
  first.clock.advanceTo(nowMs);
  const second = await simpleStream<number>([], define, { batchMs, after: first });
  await second.ssc.start();
  await second.driven.runTo(row.expectedRestart as number);
  await second.driven.stop();
  const times = second.driven.batches.map(({ batchTimeMs }) => batchTimeMs);
  expect(times.filter((timeMs) => timeMs > nowMs)).toEqual([row.expectedRestart]);
}

/** What needs a checkpoint refuses to start without one. */
async function validateAtStart(row: Row): Promise<void> {
  const second = Milliseconds(1000);
  const operators: Readonly<Record<string, (rows: DStream<readonly [string, number]>) => DStream<unknown>>> = {
    updateStateByKey: (rows) => rows.updateStateByKey<string, number, number>((values) => values[0]),
    'reduceByKeyAndWindow with inverse': (rows) => rows.reduceByKeyAndWindow(plus, minus, second),
    'reduceByKeyAndWindow without inverse': (rows) => rows.reduceByKeyAndWindow(plus, second),
    mapWithState: (rows) => rows.mapWithState(StateSpec.function(() => 1)),
    countByWindow: (rows) => rows.countByWindow(second),
    countByValueAndWindow: (rows) => rows.countByValueAndWindow(second),
    window: (rows) => rows.window(second),
  };
  const apply = operators[row.operator as string] ?? (() => unknownRow(row));
  const stream = await simpleStream<readonly [string, number]>([], (rows) => apply(rows).foreachRDD(() => {}), {
    hasCheckpoint: row.checkpointDir as boolean,
  });
  if (row.throws === null) {
    await stream.ssc.start();
    await stream.driven.stop();
  } else {
    await expect(stream.ssc.start()).rejects.toThrow(new RegExp(row.throws as string));
    expect(stream.ssc.status).toBe('stopped');
  }
}

/** Sequences on one object: the whole case at once. */
export const streamCases: Readonly<Record<string, CaseCheck>> = {
  slice,
  'window.validation': windowValidation,
  State: stateSteps,
  'mapWithState.rdd': derivedStates,
};

/** Tables: row by row. */
export const streamOperations: Readonly<Record<string, RowCheck>> = {
  'mapWithState.record': record,
  print: printRow,
  timerAlignment,
  validateAtStart,
};
