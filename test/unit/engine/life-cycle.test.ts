import { describe, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { Milliseconds, Seconds } from '../../../src/base/time.ts';
import type { StatefulNode } from '../../../src/dstream/stateful-node.ts';
import type { SourceStart } from '../../../src/sources/source.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { errorOf, numbers, settle, TestStream, wrapped } from './support.ts';

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
    const sizeOf = (): number => [...table.extents(100)].reduce((sum, { bytes }) => sum + bytes.length, 0);
    const size = sizeOf();
    await driven.runTo(80_000);
    // Ordinals and times get longer, by a byte now and then.
    expect(sizeOf()).toBeLessThan(size + 8);
    await driven.stop();
    expect(seen.at(-1)).toEqual([78, 79, 80]);
  });
});
