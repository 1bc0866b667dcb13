import fc from 'fast-check';
import { type DStream, Seconds, type State, StateSpec } from '../../../src/index.ts';

export type Pair = readonly [string, number];

/** A stream as arrays: the rows at every second at which it has an RDD. */
export interface Model {
  readonly slide: number;
  readonly at: ReadonlyMap<number, readonly Pair[]>;
}

/** An operator with its numbers; lengths and slides count slides of its parent. */
export interface Step {
  readonly op: OperatorName;
  readonly length: number;
  readonly slide: number;
  readonly by: number;
}

/** The same operator twice: on a stream, and on arrays. */
interface Operator {
  readonly stream: (rows: DStream<Pair>, step: Step, slide: number) => DStream<Pair>;
  readonly model: (rows: Model, step: Step) => Model;
}

const add = (a: number, b: number): number => a + b;
const subtract = (a: number, b: number): number => a - b;

function eachBatch(model: Model, f: (rows: readonly Pair[]) => readonly Pair[]): Model {
  return { slide: model.slide, at: new Map([...model.at].map(([second, rows]) => [second, f(rows)])) };
}

function groups(rows: readonly Pair[]): Map<string, number[]> {
  const byKey = new Map<string, number[]>();
  for (const [key, value] of rows) byKey.set(key, [...(byKey.get(key) ?? []), value]);
  return byKey;
}

function sums(rows: readonly Pair[]): Pair[] {
  return [...groups(rows)].map(([key, values]) => [key, values.reduce(add)]);
}

/** Rows of the parent in the window that ends at each slide. */
function windows(model: Model, { length, slide }: Step): Model {
  const slideBy = slide * model.slide;
  const spanOf = length * model.slide;
  const at = new Map<number, readonly Pair[]>();
  for (const end of model.at.keys()) {
    if (end % slideBy !== 0) continue;
    at.set(
      end,
      [...model.at].filter(([second]) => second > end - spanOf && second <= end).flatMap(([, rows]) => rows),
    );
  }
  return { slide: slideBy, at };
}

/** Keys that a window has shown stay, with a sum of 0, until `keep` refuses them. */
function incremental(model: Model, step: Step, keep: (row: Pair) => boolean): Model {
  let present: string[] = [];
  return eachBatch(windows(model, step), (rows) => {
    const found = new Map(sums(rows));
    const out = [...new Set([...present, ...found.keys()])].map((key): Pair => [key, found.get(key) ?? 0]).filter(keep);
    present = out.map(([key]) => key);
    return out;
  });
}

function joined(rows: readonly Pair[], isOuter: boolean): Pair[] {
  const others = groups(rows.filter(([, value]) => value > 0));
  return rows.flatMap(([key, value]) =>
    (others.get(key) ?? (isOuter ? [0] : [])).map((other): Pair => [key, value + other]),
  );
}

function running(
  model: Model,
  next: (values: readonly number[], state: number | undefined) => number | undefined,
): Model {
  let states = new Map<string, number>();
  return eachBatch(model, (rows) => {
    const byKey = groups(rows);
    const after = new Map<string, number>();
    for (const key of new Set([...states.keys(), ...byKey.keys()])) {
      const value = next(byKey.get(key) ?? [], states.get(key));
      if (value !== undefined) after.set(key, value);
    }
    states = after;
    return [...states];
  });
}

function total(values: readonly number[], state: number | undefined): number | undefined {
  const sum = values.reduce(add, state ?? 0);
  return values.length === 0 && Math.abs(sum) % 3 === 0 ? undefined : sum;
}

function lengthOf(step: Step, slide: number): ReturnType<typeof Seconds> {
  return Seconds(step.length * slide);
}

function slideOf(step: Step, slide: number): ReturnType<typeof Seconds> {
  return Seconds(step.slide * slide);
}

const isKept = ([, value]: Pair): boolean => value !== 0;

export const operators = {
  mapValues: {
    stream: (rows, { by }) => rows.mapValues((value) => value + by),
    model: (rows, { by }) => eachBatch(rows, (batch) => batch.map(([key, value]) => [key, value + by])),
  },
  mapAsync: {
    stream: (rows, { by }) =>
      rows.mapAsync(async ([key, value]): Promise<Pair> => [key, value * by], { concurrency: by }),
    model: (rows, { by }) => eachBatch(rows, (batch) => batch.map(([key, value]) => [key, value * by])),
  },
  flatMap: {
    stream: (rows) =>
      rows.flatMap(([key, value]): Pair[] => [
        [key, value],
        [`${key}'`.slice(0, 2), 7 - value],
      ]),
    model: (rows) =>
      eachBatch(rows, (batch) =>
        batch.flatMap(([key, value]): Pair[] => [
          [key, value],
          [`${key}'`.slice(0, 2), 7 - value],
        ]),
      ),
  },
  filter: {
    stream: (rows, { by }) => rows.filter(([, value]) => value % (by + 1) !== 0),
    model: (rows, { by }) => eachBatch(rows, (batch) => batch.filter(([, value]) => value % (by + 1) !== 0)),
  },
  repartition: {
    stream: (rows, { by }) => rows.repartition(by),
    model: (rows) => rows,
  },
  reduceByKey: {
    stream: (rows) => rows.reduceByKey<string, number>(add),
    model: (rows) => eachBatch(rows, sums),
  },
  groupByKey: {
    stream: (rows, { by }) => rows.groupByKey(by).mapValues((values) => values.length),
    model: (rows) => eachBatch(rows, (batch) => [...groups(batch)].map(([key, values]) => [key, values.length])),
  },
  countByValue: {
    stream: (rows) => rows.map(([key]) => key).countByValue(),
    model: (rows) => eachBatch(rows, (batch) => [...groups(batch)].map(([key, values]) => [key, values.length])),
  },
  count: {
    stream: (rows) => rows.count().map((n): Pair => ['count', n]),
    model: (rows) => eachBatch(rows, (batch) => [['count', batch.length]]),
  },
  distinct: {
    stream: (rows) => rows.transform((rdd) => rdd.distinct()),
    model: (rows) => eachBatch(rows, (batch) => [...new Map(batch.map((row) => [JSON.stringify(row), row])).values()]),
  },
  union: {
    stream: (rows, { by }) => rows.union(rows.mapValues((value) => value - by)),
    model: (rows, { by }) =>
      eachBatch(rows, (batch) => [...batch, ...batch.map(([key, value]): Pair => [key, value - by])]),
  },
  join: {
    stream: (rows) => rows.join(rows.filter(([, value]) => value > 0)).mapValues(([a, b]) => a + b),
    model: (rows) => eachBatch(rows, (batch) => joined(batch, false)),
  },
  leftOuterJoin: {
    stream: (rows) => rows.leftOuterJoin(rows.filter(([, value]) => value > 0)).mapValues(([a, b]) => a + (b ?? 0)),
    model: (rows) => eachBatch(rows, (batch) => joined(batch, true)),
  },
  window: {
    stream: (rows, step, slide) => rows.window(lengthOf(step, slide), slideOf(step, slide)),
    model: windows,
  },
  reduceByKeyAndWindow: {
    stream: (rows, step, slide) =>
      rows.reduceByKeyAndWindow<string, number>(add, lengthOf(step, slide), slideOf(step, slide)),
    model: (rows, step) => eachBatch(windows(rows, step), sums),
  },
  reduceByKeyAndWindowInverse: {
    stream: (rows, step, slide) =>
      rows.reduceByKeyAndWindow<string, number>(add, subtract, lengthOf(step, slide), slideOf(step, slide)),
    model: (rows, step) => incremental(rows, step, () => true),
  },
  reduceByKeyAndWindowFilter: {
    stream: (rows, step, slide) => {
      const options = { filter: isKept };
      return rows.reduceByKeyAndWindow<string, number>(
        add,
        subtract,
        lengthOf(step, slide),
        slideOf(step, slide),
        options,
      );
    },
    model: (rows, step) => incremental(rows, step, isKept),
  },
  groupByKeyAndWindow: {
    stream: (rows, step, slide) =>
      rows.groupByKeyAndWindow(lengthOf(step, slide), slideOf(step, slide)).mapValues((values) => values.length),
    model: (rows, step) =>
      eachBatch(windows(rows, step), (batch) => [...groups(batch)].map(([key, values]) => [key, values.length])),
  },
  reduceByWindow: {
    stream: (rows, step, slide) =>
      rows
        .map(([, value]) => value)
        .reduceByWindow(add, lengthOf(step, slide), slideOf(step, slide))
        .map((sum): Pair => ['sum', sum]),
    model: (rows, step) =>
      eachBatch(windows(rows, step), (batch) => sums(batch.map(([, value]): Pair => ['sum', value]))),
  },
  countByWindow: {
    stream: (rows, step, slide) =>
      rows.countByWindow(lengthOf(step, slide), slideOf(step, slide)).map((n): Pair => ['count', n]),
    model: (rows, step) =>
      incremental(
        eachBatch(rows, (batch) => batch.map((): Pair => ['count', 1])),
        step,
        () => true,
      ),
  },
  countByValueAndWindow: {
    stream: (rows, step, slide) =>
      rows.map(([key]) => key).countByValueAndWindow(lengthOf(step, slide), slideOf(step, slide)),
    model: (rows, step) =>
      incremental(
        eachBatch(rows, (batch) => batch.map(([key]) => [key, 1])),
        step,
        isKept,
      ),
  },
  updateStateByKey: {
    stream: (rows) => rows.updateStateByKey<string, number, number>(total),
    model: (rows) => running(rows, total),
  },
  mapWithState: {
    stream: (rows) =>
      rows
        .mapWithState(
          StateSpec.function((_key: string, value: number | undefined, state: State<number>) => {
            state.update((state.getOption() ?? 0) + (value ?? 0));
          }),
        )
        .stateSnapshots(),
    model: (rows) => running(rows, (values, state) => values.reduce(add, state ?? 0)),
  },
} satisfies Readonly<Record<string, Operator>>;

export type OperatorName = keyof typeof operators;

export const someStep: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom(...(Object.keys(operators) as OperatorName[])),
  length: fc.integer({ min: 1, max: 5 }),
  slide: fc.integer({ min: 1, max: 3 }),
  by: fc.integer({ min: 1, max: 4 }),
});

export function applyAll(rows: DStream<Pair>, steps: readonly Step[]): DStream<Pair> {
  return steps.reduce((stream, step) => {
    const { stream: apply }: Operator = operators[step.op];
    return apply(stream, step, stream.slideDuration.milliseconds / 1000);
  }, rows);
}

export function modelAll(batches: readonly (readonly Pair[])[], steps: readonly Step[]): Model {
  const source: Model = { slide: 1, at: new Map(batches.map((rows, i) => [i + 1, rows])) };
  return steps.reduce((model, step) => {
    const { model: apply }: Operator = operators[step.op];
    return apply(model, step);
  }, source);
}
