/** Checked by the compiler only: what must infer on streams, and what must not compile. */
import { Minutes, Seconds } from '../../src/base/time.ts';
import type { DStream } from '../../src/dstream/dstream.ts';
import { type State, StateSpec } from '../../src/dstream/map-with-state.ts';
import { blobSink } from '../../src/sinks/blob-sink.ts';
import type { Sink } from '../../src/sinks/sink.ts';
import type { StreamingContext } from '../../src/streaming-context.ts';
import type { MemoryTopic } from '../../src/testing/memory-topic.ts';

type Equal<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;

function same<A, B>(_: Equal<A, B>): void {}

interface Reading {
  readonly device: string;
  readonly celsius: number;
}

export function infersThroughChains(ssc: StreamingContext, topic: MemoryTopic<Reading>): void {
  const readings = ssc.sourceStream(topic.source());
  same<typeof readings, DStream<Reading>>(true);

  const words = readings.flatMap((r) => r.device.split(' '));
  same<typeof words, DStream<string>>(true);

  const literal = words.map((w) => [w, 1]).reduceByKey((a, b) => a + b);
  same<typeof literal, DStream<[string, number]>>(true);
  const constant = words.map((w) => [w, 1] as const).reduceByKey((a, b) => a + b);
  same<typeof constant, DStream<[string, number]>>(true);
  const flat = words.flatMap((w) => [[w, 1]]).reduceByKey((a, b) => a + b);
  same<typeof flat, DStream<[string, number]>>(true);

  const windowed = words.map((w) => [w, 1]).reduceByKeyAndWindow((a, b) => a + b, Minutes(1), Seconds(5));
  same<typeof windowed, DStream<[string, number]>>(true);
  const incremental = words
    .map((w) => [w, 1] as const)
    .reduceByKeyAndWindow(
      (a, b) => a + b,
      (a, b) => a - b,
      Minutes(1),
      Seconds(5),
      { uid: 'words', filter: ([word, n]) => word.length > 0 && n > 0 },
    );
  same<typeof incremental, DStream<[string, number]>>(true);

  const averages = readings
    .map((r) => [r.device, { sum: r.celsius, n: 1 }])
    .reduceByKeyAndWindow(
      (a, b) => ({ sum: a.sum + b.sum, n: a.n + b.n }),
      (a, b) => ({ sum: a.sum - b.sum, n: a.n - b.n }),
      Minutes(1),
      Seconds(5),
    )
    .mapValues((a) => a.sum / a.n);
  same<typeof averages, DStream<[string, number]>>(true);

  const counts = words
    .map((w) => [w, 1])
    .updateStateByKey((values, state: number | undefined) => (state ?? 0) + values.length, { uid: 'counts' });
  same<typeof counts, DStream<[string, number]>>(true);

  const joined = counts.join(averages);
  same<typeof joined, DStream<[string, [number, number]]>>(true);
  const grouped = counts.cogroup(words.map((w) => [w, { w }]));
  same<typeof grouped, DStream<[string, [number[], { w: string }[]]]>>(true);
  const groups = readings.map((r) => [r.device, r]).groupByKey();
  same<typeof groups, DStream<[string, Reading[]]>>(true);

  same<ReturnType<typeof words.count>, DStream<number>>(true);
  const mixed = words.union(words.map((w) => w.length));
  same<typeof mixed, DStream<string | number>>(true);
  const narrowed = mixed.filter((row) => typeof row === 'string');
  same<typeof narrowed, DStream<string>>(true);
  const changed = words.transform((rdd, time) => rdd.map((w) => [w, time.milliseconds] as const));
  same<typeof changed, DStream<[string, number]>>(true);
  const both = words.transformWith(counts, (rdd, other) => rdd.map((w) => [w, w]).join(other));
  same<typeof both, DStream<[string, [string, number]]>>(true);
  const recent = readings.window(Minutes(1));
  same<typeof recent, DStream<Reading>>(true);

  counts.foreachRDD(async (rdd, time, { batchId, generation }) => {
    same<[typeof batchId, typeof generation, typeof time.milliseconds], [number, number, number]>(true);
    const rows = await rdd.collect();
    same<typeof rows, [string, number][]>(true);
  });
}

interface Alarm {
  readonly since: number;
}

function trackAlarm(device: string, reading: Reading | undefined, state: State<Alarm>): string | undefined {
  if (reading === undefined) return `${device} silent`;
  if (!state.exists()) state.update({ since: reading.celsius });
  return undefined;
}

export function infersStateSpecs(readings: DStream<Reading>): void {
  const byDevice = readings.map((r) => [r.device, r]);
  const alarms = byDevice.mapWithState(StateSpec.function(trackAlarm).timeout(Minutes(10)), { uid: 'alarms' });
  const lines: DStream<string> = alarms;
  void lines;
  const spec = StateSpec.function(trackAlarm);
  same<typeof spec, StateSpec<string, Reading, Alarm, string | undefined>>(true);

  const inline = byDevice.mapWithState(
    StateSpec.function((device: string, reading: Reading | undefined, state: State<number>) => {
      state.update((state.getOption() ?? 0) + 1);
      return [device, reading?.celsius ?? 0] as const;
    }),
  );
  const again: DStream<[string, number]> = inline.reduceByKey((a, b) => a + b);
  void again;
}

export function takesSinksOfItsRows(
  readings: DStream<Reading>,
  ofReadings: Sink<Reading>,
  ofNumbers: Sink<number>,
  ofAnything: Sink<unknown>,
  ofDevices: Sink<{ readonly device: string }>,
): void {
  readings.saveTo(ofReadings, { uid: 'out' });
  readings.saveTo(ofAnything);
  readings.saveTo(ofDevices);
  readings.saveTo(blobSink({ url: 'memory:x' }));
  // @ts-expect-error the sink takes other rows
  readings.saveTo(ofNumbers);
}

export function isCovariant(pairs: DStream<[string, number]>): DStream<readonly [string, number | undefined]> {
  const unknowns: DStream<unknown> = pairs;
  void unknowns;
  return pairs;
}

export function worksOnTypeParameters<T, K, V>(
  rows: DStream<T>,
  pairs: DStream<readonly [K, V]>,
  f: (a: V, b: V) => V,
) {
  const kept: DStream<T> = rows.filter((row) => row !== undefined);
  const reduced: DStream<[K, V]> = pairs.reduceByKey(f);
  const windowed: DStream<[K, V]> = pairs.reduceByKeyAndWindow(f, f, Seconds(2), Seconds(1));
  return { kept, reduced, windowed };
}

export function refusesPairOperationsOnOtherRows(
  words: DStream<string>,
  pairs: DStream<[string, number]>,
  triples: DStream<[string, number, boolean]>,
): void {
  // @ts-expect-error rows are no pairs
  words.reduceByKey((a, b) => a + b);
  // @ts-expect-error rows are no pairs
  words.mapValues((value) => value);
  // @ts-expect-error rows are no pairs
  words.flatMapValues((value) => [value]);
  // @ts-expect-error rows are no pairs
  words.groupByKey();
  // @ts-expect-error rows are no pairs
  words.reduceByKeyAndWindow((a, b) => a + b, Seconds(1));
  // @ts-expect-error rows are no pairs
  words.updateStateByKey((values) => values.length);
  // @ts-expect-error rows are no pairs
  words.mapWithState(StateSpec.function(trackAlarm));
  // @ts-expect-error rows are no pairs
  triples.groupByKey();
  // @ts-expect-error the other side has no pairs
  pairs.join(words);
  // @ts-expect-error the key types differ
  pairs.join(words.map((word) => [word.length, word]));
  // @ts-expect-error the result of f has another type
  pairs.reduceByKey((a, b) => `${a}${b}`);
  // @ts-expect-error the state function takes other values
  pairs.mapWithState(StateSpec.function(trackAlarm));
  // @ts-expect-error a length is a duration
  words.window(1000);
  // @ts-expect-error an option nobody knows
  pairs.updateStateByKey((values) => values.length, { udi: 'x' });
  // @ts-expect-error transform must give an RDD
  words.transform((rdd) => rdd.collect());
}
