import { describe, expect, test } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { Seconds } from '../../../src/base/time.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import type { Source } from '../../../src/sources/source.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { difference, errorOf, Shelf, settle, sum, TestStream } from './support.ts';

function numbers(until = 30): MemoryTopic<number> {
  const topic = new MemoryTopic<number>('numbers', 2);
  for (let t = 1; t <= until; t++) topic.send(t * 1000, t % 2, t);
  return topic;
}

describe('a function of the program that throws', () => {
  test('row 3: is tried four times, then ends the stream with its cause; the next start runs the same batch', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const shelf = new Shelf();
    const cause = new Error('no good');
    let calls = 0;
    const define = (isBroken: boolean) => (ssc: StreamingContext) => {
      const rows = ssc.sourceStream(topic.source()).map((n) => {
        if (n === 3 && isBroken) {
          calls += 1;
          throw cause;
        }
        return ['sum', n];
      });
      rows
        .updateStateByKey((values, total: number | undefined) => values.reduce((a, b) => a + (b as number), total ?? 0))
        .saveTo(shelf.sink());
    };
    const driven = await stream.start(define(true));
    await expect(driven.runTo(5000)).rejects.toThrow('no good');
    const error = await errorOf(driven.context.awaitTermination());
    expect(error).toMatchObject({
      code: 'TASK_FAILED',
      kind: 'user',
      cause,
      message: expect.stringMatching(/all 4 tries of partition \d.*no good/),
      context: { attempts: 4 },
    });
    expect(calls).toBe(4);
    expect(driven.context.status).toBe('stopped');
    expect((await readCheckpoint(stream.store))?.status).toMatchObject({
      lastBatch: { batchTimeMs: 2000 },
      drained: false,
    });
    expect([...shelf.published.keys()]).toEqual(['shelf@1000', 'shelf@2000']);

    const next = await stream.start(define(false));
    await next.runTo(4000);
    await next.stop();
    expect(next.batches[0]).toMatchObject({ batchTimeMs: 3000, records: 1 });
    expect([...shelf.published.values()].flat(2)).toEqual(['sum', 1, 'sum', 3, 'sum', 6, 'sum', 10]);
  });

  test('row 3: sees the state as it was when its task is tried again', async () => {
    const stream = new TestStream();
    const topic = new MemoryTopic<readonly [string, number]>('pairs', 1);
    for (let t = 1; t <= 4; t++) topic.send(t * 1000, 0, ['a', 1], ['b', 1]);
    const seen: unknown[] = [];
    let failures = 0;
    const driven = await stream.start(
      (ssc) => {
        const rows = ssc.sourceStream(topic.source());
        let calls = 0;
        rows
          .updateStateByKey((values, state: { n: number; log: number[] } | undefined) => {
            const next = state ?? { n: 0, log: [] };
            next.n += values.length;
            next.log.push(next.n);
            if (++calls % 3 === 0) {
              failures += 1;
              throw new Error('now and then');
            }
            return next;
          })
          .foreachRDD(async (rdd) => {
            seen.push(await rdd.collect());
          });
        rows
          .reduceByKeyAndWindow(
            (a, b) => {
              if (++calls % 3 === 0) throw new Error('now and then');
              return a + b;
            },
            difference,
            Seconds(3),
            Seconds(1),
          )
          .foreachRDD(async (rdd) => {
            seen.push(Object.fromEntries(await rdd.collect()));
          });
      },
      { defaultParallelism: 1 },
    );
    await driven.runTo(4000);
    await driven.stop();
    expect(failures).toBeGreaterThan(1);
    const state = (n: number): unknown => ({ n, log: Array.from({ length: n }, (_, i) => i + 1) });
    expect(seen).toEqual(
      [1, 2, 3, 4].flatMap((t) => [
        [
          ['a', state(t)],
          ['b', state(t)],
        ],
        { a: Math.min(t, 3), b: Math.min(t, 3) },
      ]),
    );
  });

  test('in foreachRDD ends the stream at once, naming the output and the batch', async () => {
    const stream = new TestStream();
    const cause = new Error('table is locked');
    let calls = 0;
    const driven = await stream.start((ssc) =>
      ssc.sourceStream(numbers().source()).foreachRDD(
        () => {
          calls += 1;
          throw cause;
        },
        { uid: 'to-table' },
      ),
    );
    await expect(driven.runTo(1000)).rejects.toThrow();
    expect(await errorOf(driven.context.awaitTermination())).toMatchObject({
      code: 'TASK_FAILED',
      cause,
      message: expect.stringMatching(/output 'to-table' failed in batch 2 \(1000 ms\): table is locked.*not committed/),
      context: { uid: 'to-table', batchId: 2, batchTimeMs: 1000 },
    });
    expect(calls).toBe(1);
  });
});

describe('an output', () => {
  test('that cannot be published ends the stream after the commit, and the next start publishes it', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const shelf = new Shelf();
    const define = (ssc: StreamingContext): void => ssc.sourceStream(topic.source()).saveTo(shelf.sink());
    const driven = await stream.start(define);
    await driven.runTo(1000);
    shelf.failPublish = new TidemarkError('STORE_UNAVAILABLE', 'gone');
    await expect(driven.runTo(2000)).rejects.toThrow('gone');
    expect((await readCheckpoint(stream.store))?.status).toMatchObject({
      lastBatch: { batchTimeMs: 2000 },
      unpublished: [{ batchTimeMs: 2000 }],
    });
    shelf.failPublish = undefined;
    const next = await stream.start(define);
    expect(next.recovery?.republished).toBe(1);
    expect([...shelf.published]).toEqual([
      ['shelf@1000', [1]],
      ['shelf@2000', [2]],
    ]);
    await next.runTo(3000);
    await next.stop();
    expect((await readCheckpoint(stream.store))?.status).toMatchObject({ unpublished: [], drained: true });
  });

  test('of print is laid out as in Spark', async () => {
    const stream = new TestStream();
    const topic = new MemoryTopic<unknown>('things', 1);
    topic.send(1000, 0, 'text', ['key', 1, ['nested', null]], { n: 5n, list: [1] }, 7, null, undefined);
    const driven = await stream.start((ssc) => {
      const rows = ssc.sourceStream(topic.source());
      rows.print();
      rows.print(2);
      rows.print(6);
    });
    await driven.runTo(2000);
    await driven.stop();
    const line = '-------------------------------------------';
    const all = ['text', '(key,1,(nested,null))', '{"n":"5","list":[1]}', '7', 'null', 'undefined'];
    const empty = [line, 'Time: 2000 ms', line, ''].join('\n');
    expect(stream.printed).toEqual([
      [line, 'Time: 1000 ms', line, ...all, ''].join('\n'),
      [line, 'Time: 1000 ms', line, ...all.slice(0, 2), '...', ''].join('\n'),
      [line, 'Time: 1000 ms', line, ...all, ''].join('\n'),
      empty,
      empty,
      empty,
    ]);
  });

  test.each<[CrashPoint, number]>([
    ['batch:staged', 0],
    ['commit:before-record', 0],
    ['commit:record-written', 0],
    ['batch:committed', 0],
    ['batch:end', 1],
  ])('of print shows a batch only when it is committed, and at most once: killed at %s', async (point, shown) => {
    const stream = new TestStream();
    const topic = numbers();
    let armed = false;
    const define = (ssc: StreamingContext): void => ssc.sourceStream(topic.source()).print();
    const driven = await stream.start(define, {
      crashHook: (at) => {
        if (armed && at === point) throw new Error('died');
      },
    });
    armed = true;
    stream.clock.advanceTo(1000);
    await expect(driven.context.awaitTerminationOrTimeout(Seconds(9))).rejects.toThrow('died');
    expect(stream.printed).toHaveLength(shown);
    const next = await stream.start(define);
    await next.runTo(2000);
    await next.stop();
    const times = stream.printed.map((text) => /Time: (\d+)/.exec(text)![1]);
    const isCommitted = point !== 'batch:staged' && point !== 'commit:before-record';
    expect(times).toEqual(shown === 1 || !isCommitted ? ['1000', '2000'] : ['2000']);
  });
});

describe('two drivers on one checkpoint', () => {
  /** Without an owner level: only the log decides. */
  function ownerless<T>(topic: MemoryTopic<T>): Source<T> {
    const source = topic.source();
    return new Proxy(source, {
      get: (target, name) => {
        if (name === 'start') return (start: Parameters<Source<T>['start']>[0]) => target.start({ ...start, epoch: 1 });
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  test('row 10: the older one ends FENCED at its next commit, and publishes, prints and deletes nothing more', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const outputs = { older: new Shelf(), newer: new Shelf() };
    const define = (which: 'older' | 'newer') => (ssc: StreamingContext) => {
      const rows = ssc.sourceStream(ownerless(topic));
      rows.saveTo(outputs[which].sink(), { uid: 'out' });
      rows
        .map((n) => [n % 2, n])
        .reduceByKeyAndWindow(sum, difference, Seconds(4), Seconds(1))
        .map((row) => `${which} ${row}`)
        .print();
    };
    const held = Promise.withResolvers<void>();
    let isHeld = false;
    const older = await stream.start(define('older'), {
      crashHook: (at) => (isHeld && at === 'batch:staged' ? held.promise : undefined),
    });
    await older.runTo(2000);
    isHeld = true;
    stream.clock.advanceTo(3000);
    await settle();
    expect(outputs.older.staged).toBe(3);
    expect(older.batches).toHaveLength(2);

    const newer = await stream.start(define('newer'));
    await newer.runTo(4000);
    const printedBefore = stream.printed.filter((text) => text.includes('older')).length;
    held.resolve();
    const error = await errorOf(older.context.awaitTermination());
    expect(error).toMatchObject({
      code: 'FENCED',
      kind: 'fenced',
      message: expect.stringMatching(/newer driver took over.*Leave this process stopped/),
    });
    expect([...outputs.older.published.keys()]).toEqual(['shelf@1000', 'shelf@2000']);
    // The last batch of the older one again: its receipt was to ride in the record that never came.
    expect([...outputs.newer.published.keys()]).toEqual(['shelf@2000', 'shelf@3000', 'shelf@4000']);
    expect(outputs.newer.published.get('shelf@2000')).toEqual(outputs.older.published.get('shelf@2000'));
    expect(stream.printed.filter((text) => text.includes('older'))).toHaveLength(printedBefore);
    await newer.runTo(6000);
    await newer.stop();
    expect(newer.batches).toHaveLength(4);
  });

  test('the source tells the older one at once, if it knows owners', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const define = (ssc: StreamingContext): void => ssc.sourceStream(topic.source()).print();
    const older = await stream.start(define);
    await older.runTo(1000);
    const newer = await stream.start(define);
    expect(await errorOf(older.context.awaitTermination())).toMatchObject({ code: 'SOURCE_FENCED' });
    await newer.runTo(2000);
    await newer.stop();
  });
});

describe('a store that fails', () => {
  test('ends the stream when a commit is refused for good, and nothing of the batch shows', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const shelf = new Shelf();
    const store = new FaultyStore(stream.store);
    const define = (ssc: StreamingContext): void => ssc.sourceStream(topic.source()).saveTo(shelf.sink());
    const driven = await stream.start(define, { store });
    await driven.runTo(1000);
    store.inject({ type: 'put' }, { kind: 'fail', error: new TidemarkError('OPTION_INVALID', 'no such thing') });
    await expect(driven.runTo(2000)).rejects.toThrow('no such thing');
    expect([...shelf.published.keys()]).toEqual(['shelf@1000']);
    const next = await stream.start(define);
    await next.runTo(2000);
    await next.stop();
    expect([...shelf.published.values()].flat()).toEqual([1, 2]);
  });

  test('row 7: whose answer to a commit is lost is asked again, and the batch counts once', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const shelf = new Shelf();
    const store = new FaultyStore(stream.store);
    const define = (ssc: StreamingContext): void => ssc.sourceStream(topic.source()).saveTo(shelf.sink());
    const driven = await stream.start(define, { store });
    await driven.runTo(1000);
    store.inject({ type: 'put' }, { kind: 'lose-answer' });
    stream.clock.advanceTo(2000);
    await settle();
    expect(driven.batches).toHaveLength(1);
    stream.clock.advanceTo(2900);
    await settle();
    expect(driven.batches).toHaveLength(2);
    await driven.runTo(3000);
    await driven.stop();
    expect([...shelf.published.values()].flat()).toEqual([1, 2, 3]);
  });
});
