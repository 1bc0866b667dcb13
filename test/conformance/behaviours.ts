import { expect } from 'vitest';
import { type DStream, HashPartitioner, Milliseconds, Seconds, type State, StateSpec, Time } from '../../src/index.ts';
import type { RDD } from '../../src/rdd/rdd.ts';
import { expectBag } from './support/check.ts';
import { collectInto, runFor, simpleStream } from './support/simple-stream.ts';

type Counts = readonly [string, number];

const plus = (a: number, b: number): number => a + b;

async function sliceBeforeStart(): Promise<void> {
  let rows: DStream<number> | undefined;
  await simpleStream<number>([[1]], (source, ssc) => {
    ssc.remember(Seconds(10));
    rows = source;
    source.foreachRDD(() => {});
  });
  expect(() => rows!.slice(new Time(0), new Time(1000))).toThrow(/has not been initialized/);
}

async function oldRddsAreUnpersisted(): Promise<void> {
  const rdds: RDD<number>[] = [];
  const stream = await simpleStream<number>([[1], [2], [3], [4]], (rows, ssc) => {
    ssc.remember(Seconds(1));
    rows
      .map((x) => x)
      .persist()
      .foreachRDD(async (rdd) => {
        rdds.push(rdd);
        await rdd.count();
      });
  });
  await runFor(stream, 4);
  expect(rdds.map((rdd) => rdd.isPersisted)).toEqual([false, false, false, true]);
}

/** Spark's rule for levels has no meaning here; that a windowed stream hands persist on to its parent has. */
async function windowPersistsItsParent(): Promise<void> {
  const parents: RDD<number>[] = [];
  const windows: RDD<number>[] = [];
  const stream = await simpleStream<number>([[1], [2]], (rows) => {
    const parent = rows.map((x) => x);
    const windowed = parent.window(Seconds(2)).persist();
    parent.foreachRDD((rdd) => void parents.push(rdd));
    windowed.foreachRDD((rdd) => void windows.push(rdd));
  });
  await runFor(stream, 2);
  expect(parents.map((rdd) => rdd.isPersisted)).toEqual([true, true]);
  expect(windows.map((rdd) => rdd.isPersisted)).toEqual([false, false]);
}

async function foreachRuns(): Promise<void> {
  let rddCalls = 0;
  let elementCalls = 0;
  const times: number[] = [];
  const stream = await simpleStream<number>(
    [
      [1, 1, 1],
      [1, 1, 1],
    ],
    (rows) => {
      rows.foreachRDD(async (rdd) => {
        rddCalls += 1;
        await rdd.foreach(() => {
          elementCalls += 1;
        });
      });
      rows.foreachRDD((_rdd, time) => void times.push(time.milliseconds));
    },
  );
  await runFor(stream, 2);
  expect({ rddCalls, elementCalls }).toEqual({ rddCalls: 2, elementCalls: 6 });
  expect(times).toEqual([1000, 2000]);
}

async function statesFromPairs(): Promise<void> {
  const states: (readonly [number, string])[][] = [];
  const mapped: unknown[][] = [];
  const partitioner = new HashPartitioner(10);
  const numPartitions: number[] = [];
  const spec = StateSpec.function((_key: number, _value: string | undefined, _state: State<string>) => 'called')
    .initialState([
      [1, '1'],
      [2, '2'],
      [3, '3'],
    ])
    .partitioner(partitioner);
  const stream = await simpleStream<readonly [number, string]>([[]], (rows) => {
    const out = rows.mapWithState(spec);
    collectInto(out, mapped);
    const snapshots = out.stateSnapshots();
    collectInto(snapshots, states);
    snapshots.foreachRDD(async (rdd) => {
      numPartitions.push(rdd.getNumPartitions());
      (await rdd.collectPartitions()).forEach((rows, partition) => {
        for (const [key] of rows) expect(partitioner.partition(key)).toBe(partition);
      });
    });
  });
  await runFor(stream, 1);
  expectBag(states[0]!, [
    [1, '1'],
    [2, '2'],
    [3, '3'],
  ]);
  expect(mapped).toEqual([[]]);
  expect(numPartitions).toEqual([10]);
}

async function restoresAnInputOnce(): Promise<void> {
  const started: string[] = [];
  const define = (rows: DStream<number>): void => {
    for (let i = 0; i < 3; i++) rows.map((x) => x + i).foreachRDD(() => {});
  };
  const first = await simpleStream<number>([[1]], define);
  await runFor(first, 1);
  const second = await simpleStream<number>([[1], [2]], define, {
    after: first,
    environment: {
      crashHook: (point) => {
        if (point.startsWith('recovery:')) started.push(point);
      },
    },
  });
  await runFor(second, 1);
  expect(started.filter((point) => point === 'recovery:sources-started')).toHaveLength(1);
  expect(second.driven.batches.map(({ batchTimeMs, records }) => [batchTimeMs, records])).toEqual([[2000, 1]]);
}

/** Two stacked states, both durable in the same record. The second counts how often each state was seen. */
function stacked(rows: DStream<Counts>): DStream<readonly [string, number]> {
  return rows
    .updateStateByKey<string, number, number>((values, sum) => (sum ?? 0) + values.reduce(plus, 0))
    .updateStateByKey<string, number, number>((values, n) => (n ?? 0) + values.length);
}

async function lineageStaysBounded(): Promise<void> {
  const lineages: string[] = [];
  const batches = Array.from({ length: 30 }, (): Counts[] => [['a', 1]]);
  const seen: (readonly [string, number])[][] = [];
  const stream = await simpleStream<Counts>(batches, (rows) => {
    const out = stacked(rows);
    collectInto(out, seen);
    out.foreachRDD((rdd) => void lineages.push(rdd.toDebugString()));
  });
  await runFor(stream, batches.length);
  expect(seen.at(-1)).toEqual([['a', 30]]);
  expect(lineages.at(-1)).toHaveLength(lineages[0]!.length);
}

async function stackedStatesAreBothDurable(): Promise<void> {
  const batches: Counts[][] = [[['a', 1]], [['a', 1]], [['a', 1]]];
  const seen: (readonly [string, number])[][] = [];
  const define = (rows: DStream<Counts>): void => collectInto(stacked(rows), seen);
  const first = await simpleStream<Counts>(batches, define);
  await runFor(first, 1);
  const second = await simpleStream<Counts>(batches, define, { after: first });
  await runFor(second, 2);
  expect(seen).toEqual([[['a', 1]], [['a', 2]], [['a', 3]]]);
}

async function survivesManyFailures(): Promise<void> {
  const batches = Array.from({ length: 30 }, (_, i) => [i + 1]);
  const published: number[] = [];
  let creates = 0;
  let stream: Awaited<ReturnType<typeof simpleStream<number>>> | undefined;
  const lives = [7, 1, 9, 4, 10, 30];
  for (const life of lives) {
    const out: number[] = [];
    stream = await simpleStream<number>(
      batches,
      (rows) => {
        creates += 1;
        rows.map((x) => x).foreachRDD(async (rdd) => void out.push(...(await rdd.collect())));
      },
      stream && { after: stream },
    );
    await stream.ssc.start();
    await stream.driven.runTo(Math.min(30_000, stream.driven.lastBatchTimeMs + life * 1000));
    await stream.driven.stop();
    published.push(...out);
    stream.clock.advanceBy(300);
  }
  expect(published).toEqual(batches.flat());
  expect(creates).toBe(lives.length);
}

async function startAfterStop(): Promise<void> {
  const { ssc, driven } = await simpleStream<number>([], (rows) => rows.foreachRDD(() => {}));
  await ssc.start();
  await driven.stop();
  await expect(ssc.start()).rejects.toMatchObject({ code: 'STATUS_INVALID' });
  expect(ssc.status).toBe('stopped');
}

/** Of a source that is asked for what has arrived. The receiver's form of it comes with the receivers. */
async function stopsGracefully(): Promise<void> {
  const seen: number[] = [];
  const batches = [[1, 2], [3], [4, 5, 6]];
  const stream = await simpleStream<number>(batches, (rows) => {
    rows.foreachRDD(async (rdd) => void seen.push(...(await rdd.collect())));
  });
  await stream.ssc.start();
  await stream.driven.runTo(2000);
  await stream.driven.stopGracefully();
  expect(seen).toEqual(batches.flat());
}

async function awaitAfterStop(): Promise<void> {
  const { ssc, driven } = await simpleStream<number>([], (rows) => rows.foreachRDD(() => {}));
  await ssc.start();
  await driven.stop();
  await ssc.awaitTermination();
  expect(await ssc.awaitTerminationOrTimeout(Milliseconds(1))).toBe(true);
}

async function awaitOrTimeout(): Promise<void> {
  const { ssc, driven, clock } = await simpleStream<number>([], (rows) => rows.foreachRDD(() => {}));
  await ssc.start();
  const timedOut = ssc.awaitTerminationOrTimeout(Milliseconds(500));
  clock.advanceTo(500);
  expect(await timedOut).toBe(false);
  const stopped = ssc.awaitTerminationOrTimeout(Milliseconds(500));
  await driven.stop();
  expect(await stopped).toBe(true);
}

async function outputsRunInOrder(): Promise<void> {
  const log: string[] = [];
  const stream = await simpleStream<number>([[1], [2]], (rows) => {
    for (const name of ['first', 'second', 'third']) {
      rows.foreachRDD(async (rdd, time) => {
        log.push(`${name} begins at ${time}`);
        await rdd.count();
        log.push(`${name} ends at ${time}`);
      });
    }
  });
  await runFor(stream, 2);
  const expected = [1000, 2000].flatMap((ms) =>
    ['first', 'second', 'third'].flatMap((name) => [`${name} begins at ${ms} ms`, `${name} ends at ${ms} ms`]),
  );
  expect(log).toEqual(expected);
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Nothing is expected before the last start: see support/threads-of-case.ts. */
async function failedOutputEndsTheContext(): Promise<void> {
  const seen: number[][] = [];
  let isBroken = true;
  const define = (rows: DStream<number>): void => {
    rows.foreachRDD(() => {
      if (isBroken) throw new Error('the database is down');
    });
    collectInto(rows, seen);
  };
  const first = await simpleStream<number>([[1], [2]], define);
  await first.ssc.start();
  const failures = [await failureOf(first.driven.runTo(1000)), await failureOf(first.ssc.awaitTermination())];
  const before = [...seen];
  isBroken = false;
  await runFor(await simpleStream<number>([[1], [2]], define, { after: first }), 2);
  for (const failure of failures) expect(String(failure)).toContain('the database is down');
  expect(failures[1]).toMatchObject({ code: 'TASK_FAILED' });
  // Tried all the same, as in Spark; but the batch is not committed.
  expect(before).toEqual([[1]]);
  expect(seen).toEqual([[1], [1], [2]]);
}

async function streamsOutsideCreate(): Promise<void> {
  const seen: number[][] = [];
  let rows: DStream<number> | undefined;
  const define = (source: DStream<number>): void => {
    rows = source;
    source.foreachRDD(() => {});
  };
  const first = await simpleStream<number>([[1], [2]], define);
  await runFor(first, 1);
  const second = await simpleStream<number>([[1], [2]], define, { after: first });
  collectInto(
    rows!.map((x) => x * 10),
    seen,
  );
  await runFor(second, 1);
  expect(seen).toEqual([[20]]);
}

/** Expectations in words, each with a test of its own under the id of its case. */
export const behaviours: Readonly<Record<string, () => Promise<void>>> = {
  'basic.slice-has-not-been-initialized': sliceBeforeStart,
  'basic.rdd-cleanup-input-blocks-and-persisted-rdds': oldRddsAreUnpersisted,
  'window.window-persistence-level': windowPersistsItsParent,
  'java.testforeachrdd': foreachRuns,
  'mwsrdd.creation-from-pair-rdd': statesFromPairs,
  'ckpt.dstreamcheckpointdata-restore-invoking-times': restoresAnInputOnce,
  'ckpt.spark-6847-stack-overflow-when-updatestatebykey-is-followed-by-a': lineageStaysBounded,
  'derived-from-spark-code.stateful-lineage': stackedStatesAreBothDurable,
  'failure.multiple-failures-with-map': survivesManyFailures,
  'ssc.start-after-stop': startAfterStop,
  'ssc.stop-gracefully': stopsGracefully,
  'ssc.awaittermination-after-stop': awaitAfterStop,
  'ssc.awaitterminationortimeout': awaitOrTimeout,
  'derived-from-spark-code.output-operations-order': outputsRunInOrder,
  'derived-from-spark-code.failed-output-operation-single-output': failedOutputEndsTheContext,
  'listener.onbatchcompleted-with-failed-batch-and-multiple-failed-jobs': failedOutputEndsTheContext,
  'derived-from-spark-code.streams-outside-the-creating-function': streamsOutsideCreate,
};
