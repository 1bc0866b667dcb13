import { describe, expect, test } from 'vitest';
import type { ManualClock } from '../../../src/base/clock.ts';
import type { DStream } from '../../../src/dstream/dstream.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { Shelf, settle, TestStream } from '../engine/support.ts';
import { numbers } from '../lifecycle/support.ts';

/** Runs a stream that stops itself, until it has ended; fails by the time limit of the test when it never does. */
async function run(define: (rows: DStream<number>, ssc: StreamingContext, clock: ManualClock) => void): Promise<void> {
  const stream = new TestStream();
  const driven = await stream.open((ssc) => define(ssc.sourceStream(numbers().source()), ssc, stream.clock));
  await driven.context.start();
  let isOver = false;
  const ended = driven.context.awaitTermination().finally(() => {
    isOver = true;
  });
  for (let t = 1000; !isOver; t += 1000) {
    stream.clock.advanceTo(t);
    await settle();
  }
  await ended;
}

describe('a stop that is awaited', () => {
  test.each([false, true])('in the body of foreachRDD does not wait for itself (graceful: %s)', async (graceful) => {
    const seen: number[] = [];
    await run((rows, ssc) =>
      rows.foreachRDD(async (rdd, time) => {
        seen.push(...(await rdd.collect()));
        if (time.milliseconds === 2000) await ssc.stop({ graceful });
      }),
    );
    // A graceful one processes what has arrived since, in one more batch.
    expect(seen).toEqual(graceful ? [1, 2, 3] : [1, 2]);
  });

  test('in an async operator does not wait for itself', async () => {
    await run((rows, ssc) =>
      rows
        .mapAsync(async (n) => {
          if (n === 2) await ssc.stop();
          return n;
        })
        .foreachRDD(async (rdd) => void (await rdd.count())),
    );
  });

  test('listener.don-t-call-ssc-stop-in-listener: in a listener does not wait for itself', async () => {
    const seen: string[] = [];
    await run((rows, ssc) => {
      rows.print();
      ssc.addStreamingListener({
        onBatchCompleted: async ({ batchTimeMs }) => {
          if (batchTimeMs < 2000) return;
          await ssc.stop();
          seen.push('resolved');
        },
        onStreamingStopped: (error) => void seen.push(`stopped: ${error?.message ?? 'cleanly'}`),
      });
    });
    expect(seen).toEqual(['resolved', 'stopped: cleanly']);
  });

  test('in the start of a source does not wait for itself', async () => {
    const stream = new TestStream();
    const topic = numbers().source();
    const driven = await stream.open((ssc) =>
      ssc
        .sourceStream({
          ...topic,
          kind: 'stopping',
          identity: {},
          start: async () => ssc.stop(),
          position: () => 0,
          plan: async () => ({ partitions: [], position: 0, records: 0 }),
          adopt: () => {},
          read: async () => {},
          committed: () => {},
          backlog: () => 0,
          stop: async () => {},
        })
        .print(),
    );
    await driven.context.start();
    await driven.context.awaitTermination();
    expect(driven.context.status).toBe('stopped');
    expect(driven.batches).toEqual([]);
  });

  test('in a sink does not wait for itself', async () => {
    const shelf = new Shelf();
    await run((rows, ssc) => {
      const sink = shelf.sink();
      rows.saveTo({
        ...sink,
        publish: async (handle) => {
          await sink.publish(handle);
          if (shelf.published.size === 2) await ssc.stop();
        },
      });
    });
    expect([...shelf.published.keys()]).toEqual(['shelf@1000', 'shelf@2000']);
  });

  test('in the last event of a stream resolves', async () => {
    const seen: string[] = [];
    await run((rows, ssc) => {
      rows.foreachRDD((_rdd, time) => {
        if (time.milliseconds === 1000) void ssc.stop();
      });
      ssc.addStreamingListener({
        onStreamingStopped: async () => {
          await ssc.stop();
          seen.push('resolved');
        },
      });
    });
    expect(seen).toEqual(['resolved']);
  });

  test('outside waits for the end, also when it was called by an event of another stream', async () => {
    const outer = new TestStream();
    const inner = new TestStream();
    const other = await inner.start((ssc) => ssc.sourceStream(numbers().source()).print());
    const statuses: string[] = [];
    const driven = await outer.start((ssc) => {
      ssc.sourceStream(numbers().source()).foreachRDD(async () => {
        await other.context.stop();
        statuses.push(other.context.status);
        await other.context.awaitTermination();
      });
    });
    await driven.runTo(1000);
    await driven.stop();
    expect(statuses).toEqual(['stopped']);
  });
});

describe('the error that ended a stream', () => {
  test('comes from awaitTermination, with what was thrown as its cause', async () => {
    const thrown = new RangeError('the database is down');
    const stream = new TestStream();
    const driven = await stream.start((ssc) =>
      ssc.sourceStream(numbers().source()).foreachRDD(() => {
        throw thrown;
      }),
    );
    await expect(driven.runTo(1000)).rejects.toMatchObject({ code: 'TASK_FAILED', cause: thrown });
    await expect(driven.context.awaitTermination()).rejects.toMatchObject({ code: 'TASK_FAILED', cause: thrown });
  });
});
