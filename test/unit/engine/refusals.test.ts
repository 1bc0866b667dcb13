import { describe, expect, test } from 'vitest';
import { Milliseconds, Seconds } from '../../../src/base/time.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { errorOf, Shelf, TestStream } from './support.ts';

type Pair = readonly [string, number];

function pairs(...rows: readonly Pair[]): MemoryTopic<Pair> {
  const topic = new MemoryTopic<Pair>('pairs', 1);
  topic.send(500, 0, ...rows);
  return topic;
}

function thrownBy(define: () => unknown): unknown {
  try {
    define();
  } catch (error) {
    return error;
  }
  return expect.unreachable('nothing was thrown');
}

describe('a program is refused where it is defined', () => {
  const ok = { appName: 'x', batchInterval: Seconds(1) };
  test.each<[string, () => unknown, string, RegExp]>([
    [
      'an unknown option',
      () => new StreamingContext({ ...ok, batchIntervall: Seconds(1) } as never),
      'OPTION_INVALID',
      /StreamingContext has no option 'batchIntervall'. Accepted: appName, batchInterval,/,
    ],
    [
      'an unknown option of the checkpoint',
      () => new StreamingContext({ ...ok, checkpoint: { inlineBytes: 5 } as never }),
      'OPTION_INVALID',
      /checkpoint has no option 'inlineBytes'. Accepted: .*inlineBytesMax/,
    ],
    [
      'an unknown part of the environment',
      () => new StreamingContext({ ...ok, environment: { clok: 1 } as never }),
      'OPTION_INVALID',
      /environment has no option 'clok'. Accepted: clock,/,
    ],
    [
      'a batch interval that is no duration',
      () => new StreamingContext({ appName: 'x', batchInterval: 1000 as never }),
      'OPTION_INVALID',
      /batchInterval is 1000; give a positive duration such as Seconds\(1\)/,
    ],
    [
      'a batch interval of nothing',
      () => new StreamingContext({ appName: 'x', batchInterval: Milliseconds(0) }),
      'OPTION_INVALID',
      /batchInterval is 0 ms; give a positive duration/,
    ],
    [
      'a batch interval that is not whole',
      () => new StreamingContext({ appName: 'x', batchInterval: Seconds(0.0005) }),
      'OPTION_INVALID',
      /whole number of milliseconds, not 0.5/,
    ],
    [
      'no parallelism',
      () => new StreamingContext({ ...ok, defaultParallelism: 0 }),
      'OPTION_INVALID',
      /defaultParallelism is 0; give a whole number of at least 1/,
    ],
  ])('%s', (_what, define, code, message) => {
    expect(thrownBy(define)).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test.each<[string, (ssc: StreamingContext) => unknown, string, RegExp]>([
    [
      'a window length that is no multiple of the batch interval',
      (ssc) => ssc.sourceStream(pairs().source()).window(Milliseconds(1500)),
      'GRAPH_INVALID',
      /window: the length of 1500 ms must be a positive multiple of the parent stream's slide of 1000 ms/,
    ],
    [
      'a slide that is no multiple of the slide of the parent',
      (ssc) => ssc.sourceStream(pairs().source()).window(Seconds(4), Seconds(2)).window(Seconds(4), Seconds(3)),
      'GRAPH_INVALID',
      /window: the slide of 3000 ms must be a positive multiple of the parent stream's slide of 2000 ms/,
    ],
    [
      'a window of nothing',
      (ssc) => ssc.sourceStream(pairs().source()).reduceByKeyAndWindow((a, b) => a + b, Seconds(0)),
      'GRAPH_INVALID',
      /reduceByKeyAndWindow: the length of 0 ms must be a positive multiple/,
    ],
    [
      'a uid that is used twice',
      (ssc) => {
        const rows = ssc.sourceStream(pairs().source(), { uid: 'same' });
        rows.window(Seconds(2), Seconds(2), { uid: 'same' });
      },
      'OPTION_INVALID',
      /uid 'same' is used twice: give window a uid of its own/,
    ],
    [
      'a uid that could not be a name',
      (ssc) => ssc.sourceStream(pairs().source(), { uid: 'a/b' }),
      'OPTION_INVALID',
      /uid 'a\/b' of memory-topic is not usable: letters, digits/,
    ],
    [
      'streams of different contexts',
      (ssc) => {
        const other = new TestStream().context();
        ssc.sourceStream(pairs().source()).union(other.sourceStream(pairs().source()));
      },
      'GRAPH_INVALID',
      /union: the streams have different contexts/,
    ],
    [
      'a function that is none',
      (ssc) => ssc.sourceStream(pairs().source()).map('x' as never),
      'OPTION_INVALID',
      /map\(x\): the argument must be a function/,
    ],
    [
      'a timeout of nothing',
      () => StateSpec.function(() => 1).timeout(Seconds(0)),
      'OPTION_INVALID',
      /timeout\(0 ms\): the timeout must be positive/,
    ],
    [
      'no row to print',
      (ssc) => ssc.sourceStream(pairs().source()).print(0),
      'OPTION_INVALID',
      /print\(0\).*positive integer/,
    ],
    [
      'no partition of a state',
      (ssc) => ssc.sourceStream(pairs().source()).updateStateByKey(() => 1, { numPartitions: 0 }),
      'OPTION_INVALID',
      /numPartitions.*0/,
    ],
    [
      'one sink for two outputs',
      (ssc) => {
        const sink = new Shelf().sink();
        const rows = ssc.sourceStream(pairs().source());
        rows.saveTo(sink, { uid: 'one' });
        rows.saveTo(sink, { uid: 'two' });
      },
      'GRAPH_INVALID',
      /sink of 'two' is that of 'one' already.*one of its own/,
    ],
    [
      'one source for two inputs',
      (ssc) => {
        const source = pairs().source();
        ssc.sourceStream(source, { uid: 'one' });
        ssc.sourceStream(source, { uid: 'two' });
      },
      'GRAPH_INVALID',
      /source of 'two' is that of 'one' already.*one of its own/,
    ],
  ])('%s', (_what, define, code, message) => {
    const ssc = new TestStream().context();
    expect(thrownBy(() => define(ssc))).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe('a program is refused at its start', () => {
  test('without an output, saying how to give it one', async () => {
    const ssc = new TestStream().context();
    ssc.sourceStream(pairs().source()).map((row) => row);
    expect(await errorOf(ssc.start())).toMatchObject({
      code: 'GRAPH_INVALID',
      message: expect.stringMatching(/No output operations registered.*print\(\), foreachRDD\(\) or saveTo\(\)/),
    });
    expect(ssc.status).toBe('stopped');
  });

  test('with state and without a checkpoint, naming the operators', async () => {
    const ssc = new TestStream().context();
    ssc
      .sourceStream(pairs().source())
      .updateStateByKey(() => 1, { uid: 'totals' })
      .print();
    expect(await errorOf(ssc.start())).toMatchObject({
      code: 'GRAPH_INVALID',
      message: expect.stringMatching(/totals.*checkpoint\(url\).*getOrCreate/s),
    });
  });

  test('without state it needs no checkpoint', async () => {
    const stream = new TestStream();
    const ssc = stream.context();
    ssc.sourceStream(pairs(['a', 1]).source()).print();
    await ssc.start();
    stream.clock.advanceTo(1000);
    await ssc.stop({ graceful: true, timeout: Seconds(1) });
  });

  test('on a checkpoint(url) that holds a stream already', async () => {
    const url = 'memory:exists-already';
    const start = async (): Promise<StreamingContext> => {
      const ssc = new TestStream().context();
      ssc.checkpoint(url);
      ssc.sourceStream(pairs().source()).print();
      await ssc.start();
      return ssc;
    };
    await (await start()).stop();
    expect(await errorOf(start())).toMatchObject({
      code: 'CHECKPOINT_EXISTS',
      message: expect.stringMatching(
        /memory:exists-already already holds a stream.*getOrCreate\(url, create\).*another URL/,
      ),
    });
  });

  test.each(['ftp://somewhere/x', 'https://account.blob.core.windows.net'])('on a URL like %s', async (url) => {
    const ssc = new TestStream().context();
    ssc.checkpoint(url);
    ssc.sourceStream(pairs().source()).print();
    const error = await errorOf(ssc.start());
    expect(error).toMatchObject({ code: 'URL_INVALID' });
    expect(error.message).toContain(url.slice(0, 12));
    expect(await errorOf(StreamingContext.getOrCreate(url, () => ssc))).toMatchObject({ code: 'URL_INVALID' });
  });

  test('with a bound of the checkpoint outside its range', async () => {
    const stream = new TestStream();
    const driven = await stream.open((ssc) => ssc.sourceStream(pairs().source()).print(), {
      checkpoint: { manifestEveryRecords: 0 },
    });
    expect(await errorOf(driven.context.start())).toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringMatching(/manifestEveryRecords is 0; give a whole number from 1/),
    });
    expect(await stream.objects()).toEqual(new Map());
  });
});

describe('a batch is refused', () => {
  async function failure(define: (ssc: StreamingContext) => void): Promise<unknown> {
    const stream = new TestStream();
    const driven = await stream.start(define);
    await expect(driven.runTo(1000)).rejects.toThrow();
    const fingerprint = driven.recovery;
    expect(fingerprint).toBeDefined();
    expect(driven.batches).toEqual([]);
    return errorOf(driven.context.awaitTermination());
  }

  test('for a key that has no canonical encoding, at its first record', async () => {
    let calls = 0;
    const error = await failure((ssc) =>
      ssc
        .sourceStream(pairs(['a', 1], ['b', 2]).source())
        .map(([, value]) => {
          calls += 1;
          return [new Date(value), 1];
        })
        .reduceByKey((a, b) => a + b)
        .print(),
    );
    expect(error).toMatchObject({ code: 'KEY_UNSUPPORTED', message: expect.stringMatching(/Date.*numbers, strings/s) });
    expect(calls).toBe(1);
  });

  test.each<[string, (ssc: StreamingContext) => void]>([
    [
      'in updateStateByKey',
      (ssc) =>
        ssc
          .sourceStream(pairs(['a', 1]).source())
          .updateStateByKey(() => ({ inner: { callback: () => {} } }), { uid: 'keeper' })
          .print(),
    ],
    [
      'in mapWithState',
      (ssc) =>
        ssc
          .sourceStream(pairs(['a', 1]).source())
          .mapWithState(
            StateSpec.function((_key, _value: number | undefined, state: State<unknown>) =>
              state.update({ inner: { callback: () => {} } }),
            ),
            { uid: 'keeper' },
          )
          .print(),
    ],
    [
      'in a row of window',
      (ssc) =>
        ssc
          .sourceStream(pairs(['a', 1]).source())
          .map(() => ({ inner: { callback: () => {} } }))
          .window(Seconds(2), Seconds(1), { uid: 'keeper' })
          .print(),
    ],
    [
      'in a value of reduceByKeyAndWindow',
      (ssc) =>
        ssc
          .sourceStream(pairs(['a', 1]).source())
          .mapValues((): unknown => ({ inner: { callback: () => {} } }))
          .reduceByKeyAndWindow((a) => a, Seconds(2), Seconds(2), { uid: 'keeper' })
          .print(),
    ],
  ])('for a value that cannot be stored, %s', async (_where, define) => {
    expect(await failure(define)).toMatchObject({
      code: 'VALUE_UNSUPPORTED',
      message: expect.stringMatching(/operator 'keeper'.*inner\.callback is a function.*plain data/s),
    });
  });

  test('when the function of transform throws or gives no RDD', async () => {
    const cause = new Error('no such table');
    expect(
      await failure((ssc) =>
        ssc
          .sourceStream(pairs(['a', 1]).source())
          .transform(() => {
            throw cause;
          })
          .print(),
      ),
    ).toMatchObject({
      code: 'TASK_FAILED',
      cause,
      message: expect.stringMatching(/transform.*no such table.*next start/s),
    });
    for (const result of [undefined, Promise.resolve(), []]) {
      expect(
        await failure((ssc) =>
          ssc
            .sourceStream(pairs(['a', 1]).source())
            .transform(() => result as never)
            .print(),
        ),
      ).toMatchObject({ code: 'GRAPH_INVALID', message: expect.stringMatching(/transform must return an RDD/) });
    }
  });
});
