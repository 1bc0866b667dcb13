/** Checked by the compiler only: what the operators of streams must infer, and what must not compile. */
import {
  type DStream,
  HashPartitioner,
  Minutes,
  type RDD,
  Seconds,
  type State,
  StateSpec,
  type StreamingContext,
} from '../../src/index.ts';

type Equal<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;

function same<A, B>(_: Equal<A, B>): void {}

interface Reading {
  readonly device: string;
  readonly value: number;
}

export function infersThroughChains(lines: DStream<string>, readings: DStream<Reading>): void {
  const words = lines.flatMap((line) => line.split(' '));
  same<typeof words, DStream<string>>(true);

  const counts = words.map((word) => [word, 1]).reduceByKey((a, b) => a + b);
  same<typeof counts, DStream<[string, number]>>(true);

  const values = words.countByValue(new HashPartitioner(2));
  same<typeof values, DStream<[string, number]>>(true);

  const answers = readings.mapAsync(async ({ device, value }) => [device, value]);
  same<typeof answers, DStream<[string, number]>>(true);
  const summed = answers.reduceByKey((a, b) => a + b);
  same<typeof summed, DStream<[string, number]>>(true);

  const kept = readings.filterAsync(async ({ value }) => value > 0);
  same<typeof kept, DStream<Reading>>(true);

  const windowed = words.countByWindow(Minutes(1), Seconds(5));
  same<typeof windowed, DStream<number>>(true);

  const groups = counts.groupByKeyAndWindow(Seconds(10));
  same<typeof groups, DStream<[string, number[]]>>(true);

  const joined = counts.leftOuterJoin(summed).fullOuterJoin(values);
  same<typeof joined, DStream<[string, [[number, number | undefined] | undefined, number | undefined]]>>(true);

  const combined = counts.combineByKey({
    create: (n) => ({ n, rows: 1 }),
    mergeValue: (all, n) => ({ n: all.n + n, rows: all.rows + 1 }),
    mergeCombiners: (a, b) => ({ n: a.n + b.n, rows: a.rows + b.rows }),
  });
  same<typeof combined, DStream<[string, { n: number; rows: number }]>>(true);
}

export function infersStates(pairs: DStream<[string, number]>): void {
  const sums = pairs.updateStateByKey((values, state: number | undefined) => values.length + (state ?? 0));
  same<typeof sums, DStream<[string, number]>>(true);

  const timed = pairs.updateStateByKey(
    (_values, _state: string | undefined, key, time) => `${key}${time.milliseconds}`,
  );
  same<typeof timed, DStream<[string, string]>>(true);

  const byPartition = pairs.updateStateByKey<string, number, Date>(
    function* (rows, time) {
      for (const [key, values, state] of rows) {
        if (values.length > 0) yield [key, state ?? new Date(time.milliseconds)];
      }
    },
    { perPartition: true },
  );
  same<typeof byPartition, DStream<[string, Date]>>(true);

  const spec = StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
    if (value === undefined) return { key, gone: true };
    state.update(value);
    return undefined;
  })
    .initialState([['a', 1]])
    .numPartitions(3)
    .timeout(Minutes(1));
  const mapped = pairs.mapWithState(spec);
  const snapshots = mapped.stateSnapshots();
  same<typeof snapshots, DStream<[string, number]>>(true);
  const rows: DStream<{ key: string; gone: boolean }> = mapped;
  rows.print();
  const counting = StateSpec.function((_key: string, _value: number | undefined, _state: State<number>) => 1);
  // @ts-expect-error a state of another type
  counting.initialState([['a', 'text']]);
}

export function infersSeveralStreams(ssc: StreamingContext, a: DStream<string>, b: DStream<number>): void {
  const mixed = ssc.transform([a, b], ([texts, numbers], time) => {
    same<typeof texts, RDD<string>>(true);
    same<typeof numbers, RDD<number>>(true);
    return texts.map((text) => `${text}${time.milliseconds}`).zip(numbers);
  });
  same<typeof mixed, DStream<[string, number]>>(true);
  const union = ssc.union<string | number>([a, b]);
  same<typeof union, DStream<string | number>>(true);
}

export function refusesPairOperationsOnOtherRows(words: DStream<string>): void {
  // @ts-expect-error rows are no pairs
  words.groupByKeyAndWindow(Seconds(1));
  // @ts-expect-error rows are no pairs
  words.leftOuterJoin(words);
  // @ts-expect-error rows are no pairs
  words.mapWithState(StateSpec.function(() => 1));
}

export function migratesStoredValues(pairs: DStream<readonly [string, number]>): void {
  const totals = pairs.updateStateByKey(
    (values, state: { n: number } | undefined) => ({ n: (state?.n ?? 0) + values.length }),
    { uid: 'totals', schema: { version: 2, migrate: (old: number) => ({ n: old }) } },
  );
  same<typeof totals, DStream<[string, { n: number }]>>(true);
  const spec = StateSpec.function((_key: string, _value: number | undefined, _state: State<{ n: number }>) => 1);
  const steps = { 1: (old: number) => ({ m: old }), 2: ({ m }: { m: number }) => ({ n: m }) };
  pairs.mapWithState(spec, { uid: 'last', schema: { version: 3, migrate: steps } }).print();
  // @ts-expect-error not what the function keeps
  pairs.mapWithState(spec, { uid: 'last', schema: { version: 2, migrate: () => 'text' } });
  pairs
    .reduceByKeyAndWindow((a, b) => a + b, Minutes(1), Seconds(5), {
      schema: { version: 2, migrate: (old: { sum: number }) => old.sum },
    })
    .print();
  pairs.window(Minutes(1), Seconds(5), {
    schema: { version: 2, migrate: (old: string): [string, number] => [old, 1] },
  });
  const kept: DStream<readonly [string, number]> = pairs.checkpoint(Minutes(1), { uid: 'kept' });
  kept.print();
}
