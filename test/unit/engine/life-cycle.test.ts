import { describe, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { Milliseconds, Seconds } from '../../../src/base/time.ts';
import type { StatefulNode } from '../../../src/dstream/stateful-node.ts';
import type { Source, SourceStart } from '../../../src/sources/source.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { errorOf, settle, TestStream } from './support.ts';

/** A source on a MemoryTopic whose calls can be held up and made to fail. */
function wrapped<T>(topic: MemoryTopic<T>, changes: (source: Source<T>) => Partial<Source<T>>): Source<T> {
  const source = topic.source();
  const changed = changes(source);
  return new Proxy(source, {
    get(target, name) {
      const value: unknown = name in changed ? changed[name as keyof Source<T>] : target[name as keyof Source<T>];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function numbers(partitions = 1, until = 20): MemoryTopic<number> {
  const topic = new MemoryTopic<number>('numbers', partitions);
  for (let t = 1; t <= until; t++) topic.send(t * 1000, t % partitions, t);
  return topic;
}

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

describe('awaiting', () => {
  test('awaitTerminationOrTimeout tells whether the stream was stopped in time', async () => {
    const stream = new TestStream();
    const driven = await stream.start((ssc) => ssc.sourceStream(numbers().source()).print());
    const late = driven.context.awaitTerminationOrTimeout(Seconds(2));
    await driven.runTo(2000);
    expect(await late).toBe(false);
    const inTime = driven.context.awaitTerminationOrTimeout(Seconds(2));
    await driven.stop();
    expect(await inTime).toBe(true);
  });
});

describe('starting', () => {
  test('a second start warns and changes nothing; inputs after it, and a start after the end, are refused', async () => {
    const stream = new TestStream();
    const driven = await stream.open((ssc) => ssc.sourceStream(numbers().source()).print());
    const { context } = driven;
    const more = new MemoryTopic<number>('more', 1);
    await context.start();
    await context.start();
    expect(stream.warnings).toEqual([expect.stringMatching(/started already; this start\(\) changes nothing/)]);
    const refusal = /the context is active.*build a new StreamingContext/s;
    expect(() => context.sourceStream(more.source())).toThrow(refusal);
    expect(() => context.checkpoint('memory:elsewhere')).toThrow(refusal);
    expect(() => context.dropState('x')).toThrow(refusal);
    await driven.runTo(1000);
    await driven.stop();
    expect(driven.batches).toHaveLength(1);
    expect(await errorOf(context.start())).toMatchObject({
      code: 'STATUS_INVALID',
      message: expect.stringMatching(/the context is stopped.*build a new StreamingContext/s),
    });
  });

  test('streams, outputs and state cannot be added to a stream that runs', async () => {
    const stream = new TestStream();
    const driven = await stream.open(() => {});
    const rows = driven.context.sourceStream(numbers().source());
    rows.print();
    await driven.context.start();
    for (const add of [
      () => rows.map((n) => n + 1),
      () => rows.print(),
      () => rows.foreachRDD(() => {}),
      () => rows.window(Seconds(2)),
      () => rows.union(rows),
    ]) {
      expect(add).toThrow(/Adding inputs, transformations and output operations after starting/);
    }
    await driven.stop();
  });

  test('a start that fails stops what had started and leaves nothing waiting', async () => {
    const stream = new TestStream();
    const order: string[] = [];
    const good = wrapped(numbers(), () => ({
      stop: async () => {
        order.push('good stopped');
      },
    }));
    const bad = wrapped(new MemoryTopic<number>('bad', 1), () => ({
      start: async (_: SourceStart) => {
        throw new TidemarkError('SOURCE_NOT_FOUND', 'There is no such hub.');
      },
    }));
    const driven = await stream.open((ssc) => {
      ssc.sourceStream(good, { uid: 'good' }).print();
      ssc.sourceStream(bad, { uid: 'bad' }).print();
    });
    expect(await errorOf(driven.context.start())).toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    expect(order).toEqual(['good stopped']);
    expect(driven.context.status).toBe('stopped');
    expect(await errorOf(driven.context.awaitTermination())).toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    await driven.context.stop();
  });

  test('a source that fails before the first batch ends the start with its error', async () => {
    const stream = new TestStream();
    const source = wrapped(numbers(), (topic) => ({
      start: async (start) => {
        await topic.start(start);
        start.fail(new TidemarkError('SOURCE_FENCED', 'Taken at once.'));
      },
    }));
    const driven = await stream.open((ssc) => ssc.sourceStream(source).print());
    expect(await errorOf(driven.context.start())).toMatchObject({ code: 'SOURCE_FENCED' });
  });

  test('getOrCreate refuses a context that was started or names another checkpoint', async () => {
    const stream = new TestStream();
    const started = stream.context();
    started.sourceStream(numbers().source()).print();
    await started.start();
    const error = await errorOf(StreamingContext.getOrCreate(stream.store, () => started));
    expect(error).toMatchObject({ code: 'STATUS_INVALID' });
    await started.stop();
    const elsewhere = stream.context();
    elsewhere.checkpoint('memory:elsewhere');
    expect(await errorOf(StreamingContext.getOrCreate('memory:here', () => elsewhere))).toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringMatching(/memory:here.*memory:elsewhere/),
    });
  });
});

describe('sources and listeners', () => {
  test('a source that fails outside a batch ends the stream with that error', async () => {
    const stream = new TestStream();
    let fail: (error: Error) => void = () => {};
    const source = wrapped(numbers(), (topic) => ({
      start: (start) => {
        fail = start.fail;
        return topic.start(start);
      },
    }));
    const driven = await stream.start((ssc) => ssc.sourceStream(source).print());
    await driven.runTo(2000);
    fail(new TidemarkError('SOURCE_FENCED', 'Another reader took partition 0.'));
    expect(await errorOf(driven.context.awaitTermination())).toMatchObject({
      code: 'SOURCE_FENCED',
      message: 'Another reader took partition 0.',
    });
    expect(driven.context.status).toBe('stopped');
  });

  test('a source that fails during a batch wins over the error the batch ends with', async () => {
    const stream = new TestStream();
    const reading = Promise.withResolvers<void>();
    const broken = Promise.withResolvers<void>();
    let fail: (error: Error) => void = () => {};
    const source = wrapped(numbers(), (topic) => ({
      start: (start) => {
        fail = start.fail;
        return topic.start(start);
      },
      read: () => {
        reading.resolve();
        return broken.promise;
      },
    }));
    const driven = await stream.start((ssc) => ssc.sourceStream(source).print());
    stream.clock.advanceTo(1000);
    await reading.promise;
    fail(new TidemarkError('SOURCE_FENCED', 'Another reader took partition 0.'));
    broken.reject(new Error('link closed'));
    expect(await errorOf(driven.context.awaitTermination())).toMatchObject({ code: 'SOURCE_FENCED' });
  });

  test('a source that fails while a graceful stop waits ends it with that error', async () => {
    const stream = new TestStream();
    let fail: (error: Error) => void = () => {};
    const source = wrapped(numbers(), (topic) => ({
      start: (start) => {
        fail = start.fail;
        return topic.start(start);
      },
    }));
    const driven = await stream.start((ssc) => ssc.sourceStream(source).print());
    const stopped = driven.context.stop({ graceful: true });
    await settle();
    fail(new TidemarkError('SOURCE_FENCED', 'Taken.'));
    await stopped;
    expect(await errorOf(driven.context.awaitTermination())).toMatchObject({ code: 'SOURCE_FENCED' });
  });

  test('listeners that throw or reject are reported, and the others are still told', async () => {
    const stream = new TestStream();
    const driven = await stream.open((ssc) => {
      ssc.addStreamingListener({
        onBatchCompleted: () => {
          throw new Error('bad listener');
        },
      });
      ssc.addStreamingListener({
        onBatchCompleted: async () => {
          throw new Error('bad async listener');
        },
      });
      ssc.sourceStream(numbers().source()).print();
    });
    const removed = { onBatchCompleted: () => expect.unreachable() };
    driven.context.addStreamingListener(removed);
    driven.context.removeStreamingListener(removed);
    await driven.context.start();
    await driven.runTo(2000);
    await driven.stop();
    expect(stream.warnings.filter((text) => text.includes('bad listener'))).toHaveLength(2);
    expect(stream.warnings.filter((text) => text.includes('bad async listener'))).toHaveLength(2);
    expect(driven.batches).toHaveLength(2);
  });
});

describe('batch times', () => {
  test('the first batch time is the first multiple of the interval after the start', async () => {
    const stream = new TestStream(12_345);
    const topic = new MemoryTopic<number>('numbers', 1);
    const driven = await stream.start((ssc) => ssc.sourceStream(topic.source()).print(), {
      batchInterval: Milliseconds(700),
    });
    await driven.runTo(13_300);
    expect(driven.batches.map(({ batchTimeMs }) => batchTimeMs)).toEqual([12_600, 13_300]);
    await driven.stop();
  });

  test('batch times missed by a slow batch run in order, without waiting', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const driven = await stream.start((ssc) =>
      ssc.sourceStream(topic.source()).foreachRDD((_rdd, time) => {
        if (time.milliseconds === 2000) stream.clock.advanceTo(5500);
      }),
    );
    await driven.runTo(6000);
    await driven.stop();
    expect(driven.batches.map(({ batchTimeMs }) => batchTimeMs)).toEqual([1000, 2000, 3000, 4000, 5000, 6000]);
    expect(driven.batches.map(({ schedulingDelayMs }) => schedulingDelayMs)).toEqual([0, 0, 2500, 1500, 500, 0]);
  });

  test('batch times missed while no driver ran are run by the next one', async () => {
    const stream = new TestStream();
    const topic = numbers();
    const define = (ssc: StreamingContext): void => ssc.sourceStream(topic.source()).print();
    const first = await stream.start(define);
    await first.runTo(2000);
    await first.stop();
    stream.clock.advanceTo(6400);
    const next = await stream.start(define);
    expect(next.recovery?.batchesToCatchUp).toBe(4);
    await next.runTo(7000);
    await next.stop();
    expect(next.batches.map(({ batchTimeMs, records }) => [batchTimeMs, records])).toEqual([
      [3000, 4],
      [4000, 0],
      [5000, 0],
      [6000, 0],
      [7000, 1],
    ]);
  });
});

describe('a stream without a checkpoint', () => {
  test('runs plain windows, and keeps nothing of the panes that left them', async () => {
    const stream = new TestStream();
    const topic = numbers(1, 200);
    const context = stream.context();
    const windowed = context.sourceStream(topic.source()).window(Seconds(3));
    const seen: number[][] = [];
    windowed.foreachRDD(async (rdd) => {
      seen.push(await rdd.collect());
    });
    const driven = new DrivenStream(context, stream.clock, 1000);
    await context.start();
    const { table } = windowed.node as StatefulNode<number>;
    await driven.runTo(20_000);
    const size = table.encodeForManifest('delta').length;
    await driven.runTo(80_000);
    expect(table.encodeForManifest('delta')).toHaveLength(size);
    await driven.stop();
    expect(seen.at(-1)).toEqual([78, 79, 80]);
  });
});
