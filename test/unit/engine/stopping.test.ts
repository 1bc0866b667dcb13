import { describe, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { errorOf, numbers, settle, TestStream, wrapped } from './support.ts';

describe('stopping', () => {
  test('a stop while start() runs ends the context as soon as it has started', async () => {
    const stream = new TestStream();
    const held = Promise.withResolvers<void>();
    const topic = numbers();
    const driven = await stream.open((ssc) =>
      ssc
        .sourceStream(wrapped(topic, (source) => ({ start: (start) => held.promise.then(() => source.start(start)) })))
        .print(),
    );
    const started = driven.context.start();
    await settle();
    let stopped = false;
    const stop = driven.context.stop().then(() => {
      stopped = true;
    });
    await settle();
    expect(stopped).toBe(false);
    held.resolve();
    await started;
    await stop;
    expect(driven.context.status).toBe('stopped');
    expect(driven.batches).toHaveLength(0);
  });

  test('a graceful stop processes what has arrived, and a later start finds nothing left', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const seen: number[] = [];
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(topic.source()).foreachRDD(async (rdd) => {
        seen.push(...(await rdd.collect()));
      });
    const driven = await stream.start(define);
    await driven.runTo(3000);
    stream.clock.advanceTo(3999);
    const stopped = driven.context.stop({ graceful: true });
    topic.send(20_500, 0, 99);
    stream.clock.advanceTo(4000);
    await stopped;
    expect(seen).toEqual([1, 2, 3, 4]);
    expect(await driven.context.awaitTerminationOrTimeout(Seconds(1))).toBe(true);

    const next = await stream.start(define);
    expect(next.recovery).toMatchObject({ recovered: true, batchesToCatchUp: 0, lastBatchTimeMs: 4000 });
    await next.runTo(5000);
    await next.stop();
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  test('a graceful stop before a recorded batch has run again also processes what has arrived since', async () => {
    const stream = new TestStream();
    const topic = new MemoryTopic<number>('numbers', 1);
    for (let n = 1; n <= 5; n++) topic.send(500, 0, n);
    const seen: number[] = [];
    let fails = true;
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(topic.source()).foreachRDD(async (rdd) => {
        if (fails) throw new Error('after the plan is recorded');
        seen.push(...(await rdd.collect()));
      });
    const first = await stream.start(define);
    await expect(first.runTo(1000)).rejects.toThrow('after the plan is recorded');

    fails = false;
    topic.send(1500, 0, 6);
    topic.send(1500, 0, 7);
    stream.clock.advanceTo(1900);
    const next = await stream.open(define);
    next.context.addStreamingListener({ onStreamingStarted: () => next.context.stop({ graceful: true }) });
    await next.context.start();
    await settle();
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    stream.clock.advanceTo(2000);
    await next.context.awaitTermination();
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test('a stop that is not graceful leaves what has arrived to the next start', async () => {
    const stream = new TestStream();
    const topic = new MemoryTopic<number>('numbers', 1);
    topic.send(500, 0, 1);
    topic.send(1500, 0, 2);
    const seen: [number, number[]][] = [];
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(topic.source()).foreachRDD(async (rdd, time) => {
        seen.push([time.milliseconds, await rdd.collect()]);
      });
    const driven = await stream.start(define);
    await driven.runTo(1000);
    stream.clock.advanceTo(1900);
    await driven.stop();
    expect(seen).toEqual([[1000, [1]]]);
    const next = await stream.start(define);
    await next.runTo(2000);
    await next.stop();
    expect(seen).toEqual([
      [1000, [1]],
      [2000, [2]],
    ]);
  });

  test('a graceful stop ends with STOP_TIMEOUT when more has arrived than its time allows', async () => {
    const stream = new TestStream();
    const topic = numbers(1, 1);
    let backlog = 1000;
    const driven = await stream.start((ssc) =>
      ssc.sourceStream(wrapped(topic, () => ({ backlog: () => (backlog -= 1) }))).print(),
    );
    const stopped = driven.context.stop({ graceful: true, timeout: Seconds(3) });
    for (let t = 1000; t <= 6000; t += 1000) {
      stream.clock.advanceTo(t);
      await settle();
    }
    await stopped;
    const error = await errorOf(driven.context.awaitTermination());
    expect(error).toMatchObject({ code: 'STOP_TIMEOUT' });
    expect(error.message).toMatch(/left \d+ records unprocessed after 3000 ms.*next start.*longer timeout/s);
    expect(driven.batches.length).toBeLessThanOrEqual(4);
  });

  test('the time of a graceful stop counts from its request, also for a batch that hangs', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const driven = await stream.start((ssc) =>
      ssc
        .sourceStream(
          wrapped(topic, () => ({
            read: () => hanging.promise,
            stop: async () => hanging.reject(new TidemarkError('CANCELLED', 'The source was stopped.')),
          })),
        )
        .print(),
    );
    const hanging = Promise.withResolvers<void>();
    stream.clock.advanceTo(1000);
    await settle();
    const stopped = driven.context.stop({ graceful: true, timeout: Seconds(2) });
    stream.clock.advanceTo(3000);
    await stopped;
    expect(await errorOf(driven.context.awaitTermination())).toMatchObject({ code: 'STOP_TIMEOUT' });
    expect(driven.batches).toHaveLength(0);
  });

  test('a graceful stop does not wait for a batch time beyond its bound', async () => {
    const stream = new TestStream();
    const topic = new MemoryTopic<number>('numbers', 1);
    topic.send(100, 0, 1);
    const driven = await stream.start((ssc) => ssc.sourceStream(topic.source()).print(), {
      batchInterval: Seconds(3600),
    });
    stream.clock.advanceTo(200);
    const stopped = driven.context.stop({ graceful: true, timeout: Seconds(5) });
    stream.clock.advanceTo(5200);
    await stopped;
    const error = await errorOf(driven.context.awaitTermination());
    expect(error).toMatchObject({ code: 'STOP_TIMEOUT', context: { records: 1 } });
  });

  test.each(['stop', 'fail'] as const)('%s ends a batch whose source does not come up with its rows', async (how) => {
    const stream = new TestStream();
    const pending = Promise.withResolvers<void>();
    let fail: (error: Error) => void = () => {};
    const stuck = wrapped(numbers(), () => ({
      read: () => pending.promise,
      stop: async () => pending.reject(new TidemarkError('CANCELLED', 'The source was stopped.')),
    }));
    const other = wrapped(new MemoryTopic<number>('other', 1), (topic) => ({
      start: (start) => {
        fail = start.fail;
        return topic.start(start);
      },
    }));
    const driven = await stream.start((ssc) => {
      ssc.sourceStream(stuck, { uid: 'stuck' }).print();
      ssc.sourceStream(other, { uid: 'other' }).print();
    });
    stream.clock.advanceTo(1000);
    await settle();
    if (how === 'stop') {
      await driven.context.stop();
      await driven.context.awaitTermination();
    } else {
      fail(new TidemarkError('SOURCE_FENCED', 'Taken.'));
      expect(await errorOf(driven.context.awaitTermination())).toMatchObject({ code: 'SOURCE_FENCED' });
    }
    expect(driven.batches).toEqual([]);
  });

  test('a second stop without grace ends a graceful one that waits', async () => {
    const stream = new TestStream();
    const driven = await stream.start((ssc) => ssc.sourceStream(numbers().source()).print());
    const graceful = driven.context.stop({ graceful: true });
    await settle();
    await driven.context.stop();
    await graceful;
    await driven.context.awaitTermination();
    expect(driven.batches).toHaveLength(0);
  });

  test('a stop before start ends the context, and again changes nothing', async () => {
    const stream = new TestStream();
    const driven = await stream.open((ssc) => ssc.sourceStream(numbers().source()).print());
    await driven.context.stop();
    await driven.context.stop();
    await driven.context.awaitTermination();
    expect(driven.context.status).toBe('stopped');
    expect(await errorOf(driven.context.start())).toMatchObject({ code: 'STATUS_INVALID' });
    expect(await stream.objects()).toEqual(new Map());
  });

  test('a stop after the end resolves, and awaitTermination keeps its first error', async () => {
    const stream = new TestStream();
    const driven = await stream.start((ssc) =>
      ssc.sourceStream(numbers().source()).foreachRDD(() => {
        throw new Error('first');
      }),
    );
    await expect(driven.runTo(1000)).rejects.toThrow('first');
    await driven.context.stop();
    await driven.context.stop({ graceful: true });
    await expect(driven.context.awaitTermination()).rejects.toThrow('first');
  });

  test('a source whose stop() throws does not keep the context from ending', async () => {
    const stream = new TestStream();
    const order: string[] = [];
    const bad = wrapped(numbers(), () => ({
      stop: async () => {
        order.push('bad');
        throw new Error('no way to stop');
      },
    }));
    const good = wrapped(new MemoryTopic<number>('other', 1), () => ({
      stop: async () => {
        order.push('good');
      },
    }));
    const driven = await stream.start((ssc) => {
      ssc.sourceStream(bad, { uid: 'bad' }).print();
      ssc.sourceStream(good, { uid: 'good' }).print();
    });
    await driven.runTo(1000);
    await expect(driven.stop()).rejects.toThrow('no way to stop');
    expect([...new Set(order)]).toEqual(['bad', 'good']);
    expect(driven.context.status).toBe('stopped');
  });
});
