import { describe, expect, test } from 'vitest';
import type { CrashPoint } from '../../../src/base/crash-points.ts';
import { Seconds, Time } from '../../../src/base/time.ts';
import type { DStream } from '../../../src/dstream/dstream.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import type { DrivenStream } from '../../support/driven-stream.ts';
import { errorOf, type LifeOptions, wrapped } from '../engine/support.ts';
import { Deployed } from './support.ts';

/** Two partitions; the batch of t seconds has the rows `t` and, at even times, `t + 0.5` in the other one. */
function topic(): MemoryTopic<number> {
  const numbers = new MemoryTopic<number>('numbers', 2);
  for (let t = 1; t <= 60; t++) {
    numbers.send(t * 1000, 0, t);
    if (t % 2 === 0) numbers.send(t * 1000, 1, t + 0.5);
  }
  return numbers;
}

class Checkpointed extends Deployed {
  reads = 0;
  stream!: DStream<number>;

  define(intervalSeconds: number, rememberSeconds?: number): (ssc: StreamingContext) => void {
    return (ssc) => {
      if (rememberSeconds !== undefined) ssc.remember(Seconds(rememberSeconds));
      const source = wrapped(topic(), (inner) => ({
        read: (plan, partition, push) => {
          this.reads += 1;
          return inner.read(plan, partition, push);
        },
      }));
      this.stream = ssc.sourceStream(source, { uid: 'numbers' }).map((x) => x * 10);
      this.stream.checkpoint(Seconds(intervalSeconds), { uid: 'kept' });
      this.stream.foreachRDD(() => {});
    };
  }

  slice(fromSeconds: number, toSeconds = fromSeconds): Promise<number[][][]> {
    const rdds = this.stream.slice(new Time(fromSeconds * 1000), new Time(toSeconds * 1000));
    return Promise.all(rdds.map((rdd) => rdd.glom().collect()));
  }
}

async function runTo(stream: Deployed, define: (ssc: StreamingContext) => void, to: number, options: LifeOptions = {}) {
  const driven: DrivenStream = await stream.start(define, options);
  await driven.runTo(to * 1000);
  return driven;
}

describe('data checkpoints of a stream', () => {
  test('give their batches back after a restart, without reading the source, as they were partitioned', async () => {
    const stream = new Checkpointed();
    await (await runTo(stream, stream.define(3), 11)).stop();
    stream.reads = 0;
    const next = await stream.start(stream.define(3));
    expect(await stream.slice(9)).toEqual([[[90], []]]);
    expect(await stream.slice(6)).toEqual([[[60], [65]]]);
    expect(stream.reads).toBe(0);
    expect(() => stream.stream.slice(new Time(6000), new Time(9000))).toThrow(
      "slice: the batch of 7000 ms of stream 'map' is not remembered; none is since the start, and of every 3000 ms the newest are in the checkpoint.",
    );
    expect(() => stream.stream.slice(new Time(3000), new Time(3000))).toThrow('is not remembered');
    await next.runTo(12_000);
    expect(await stream.slice(12)).toEqual([[[120], [125]]]);
    expect(await stream.slice(9)).toEqual([[[90], []]]);
    expect(() => stream.stream.slice(new Time(6000), new Time(6000))).toThrow('is not remembered');
    await next.stop();
  });

  test('are not given while their batch runs: it may still fail', async () => {
    const stream = new Deployed();
    const during: string[] = [];
    let rows!: DStream<number>;
    const driven = await stream.start((ssc) => {
      rows = ssc.sourceStream(topic().source(), { uid: 'numbers' });
      rows.checkpoint(Seconds(1)).foreachRDD(async (_rdd, time) => {
        try {
          during.push(`${rows.slice(time, time).length}`);
        } catch (error) {
          during.push((error as Error).message);
        }
      });
    });
    await driven.runTo(1000);
    expect(during).toEqual([expect.stringContaining('the batch of 1000 ms')]);
    expect(rows.slice(new Time(1000), new Time(1000))).toHaveLength(1);
    await driven.stop();
  });

  test('reach back as far as the context remembers, beside the batches in memory', async () => {
    const stream = new Checkpointed();
    await (await runTo(stream, stream.define(2, 8), 13)).stop();
    const next = await stream.start(stream.define(2, 8));
    await next.runTo(14_000);
    // Those of 8, 10 and 12 s are from before the restart.
    for (const t of [8, 10, 12]) expect(await stream.slice(t)).toEqual([[[t * 10], [t * 10 + 5]]]);
    expect(await stream.slice(14)).toEqual([[[140], [145]]]);
    expect(() => stream.stream.slice(new Time(6000), new Time(6000))).toThrow('is not remembered');
    await next.stop();
  });

  test('hold partitions of thousands of rows, and what is done to rows of a slice does not reach them', async () => {
    const stream = new Deployed();
    let rows!: DStream<{ x: number }>;
    const define = (ssc: StreamingContext): void => {
      const many = new MemoryTopic<number>('many', 1);
      for (let i = 0; i < 5000; i++) many.send(1000, 0, i);
      rows = ssc.sourceStream(many.source(), { uid: 'many' }).map((x) => ({ x }));
      rows.checkpoint(Seconds(1), { uid: 'kept' }).foreachRDD(() => {});
    };
    await (await runTo(stream, define, 2)).stop();
    const next = await stream.start(define);
    const [kept] = rows.slice(new Time(1000), new Time(1000));
    const collected = await kept!.collect();
    expect(collected).toEqual(Array.from({ length: 5000 }, (_, x) => ({ x })));
    collected[0]!.x = -1;
    expect((await kept!.take(1))[0]).toEqual({ x: 0 });
    expect(await rows.slice(new Time(2000), new Time(2000))[0]!.glom().collect()).toEqual([[]]);
    await next.stop();
  });

  test.each<CrashPoint>([
    'batch:state-advanced',
    'commit:before-record',
    'commit:record-written',
    'batch:input-freed',
    'commit:manifest-written',
  ])('are of committed batches only, whole or not at all, after a crash at %s', async (point) => {
    const stream = new Checkpointed();
    const died = new Error('died');
    const checkpoint = { manifestEveryRecords: 4, retainManifests: 1 };
    const crashHook = (at: CrashPoint): void => {
      if (at === point && stream.clock.now() >= 6000) throw died;
    };
    await expect(runTo(stream, stream.define(2), 8, { crashHook, checkpoint })).rejects.toBe(died);
    const { lastBatch } = await stream.status();
    const next = await stream.start(stream.define(2), { checkpoint });
    const last = Math.floor(lastBatch!.batchTimeMs / 2000) * 2;
    expect(await stream.slice(last)).toEqual([[[last * 10], [last * 10 + 5]]]);
    expect(() => stream.stream.slice(new Time(last * 1000 + 2000), new Time(last * 1000 + 2000))).toThrow(
      'not remembered',
    );
    await next.runTo(8000);
    for (const t of [6, 8]) expect(await stream.slice(t)).toEqual([[[t * 10], [t * 10 + 5]]]);
    await next.stop();
  });

  test('cost no write of their own: they are in the record of their batch', async () => {
    const stream = new Deployed();
    const define = (ssc: StreamingContext): void =>
      ssc.sourceStream(topic().source(), { uid: 'numbers' }).checkpoint(Seconds(5)).print();
    const driven = await stream.start(define, { checkpoint: { manifestEveryRecords: 1000, requestPollMs: 0 } });
    const before = stream.store.operations.snapshot();
    await driven.runTo(50_000);
    const after = stream.store.operations.snapshot();
    expect(after.put.requests - before.put.requests).toBe(50);
    for (const type of ['get', 'head', 'list', 'delete'] as const)
      expect(after[type].requests).toBe(before[type].requests);
    await driven.stop();
  });

  test('beyond the inline limit are objects of at most the segment size, and go with retention', async () => {
    const stream = new Deployed();
    const sizes: number[] = [];
    const store = new (class extends MemoryStore {
      override putIfAbsent(name: string, bytes: Uint8Array, id: string) {
        if (name.startsWith('seg/')) sizes.push(bytes.length);
        return super.putIfAbsent(name, bytes, id);
      }
    })({ clock: stream.clock });
    const define = (ssc: StreamingContext): void =>
      ssc
        .sourceStream(topic().source(), { uid: 'numbers' })
        .map((x) => `${x}`.repeat(300))
        .checkpoint(Seconds(5), { uid: 'kept' })
        .print();
    const checkpoint = {
      inlineBytesMax: 200,
      segmentBytesMax: 500,
      manifestEveryRecords: 5,
      retainManifests: 1,
      silenceThresholdMs: 1000,
    };
    const driven = await stream.start(define, { store, checkpoint });
    const left = async (): Promise<number> => {
      let count = 0;
      for await (const { name } of store.list('')) if (/^(seg|snap)/.test(name)) count += 1;
      return count;
    };
    await driven.runTo(30_000);
    const leftThen = await left();
    await driven.runTo(60_000);
    // 12 checkpoints of one or two rows of 600 or 1,200 bytes.
    expect(sizes.length).toBeGreaterThan(24);
    expect(Math.max(...sizes)).toBe(500);
    expect(await left()).toBeLessThanOrEqual(leftThen);
    await driven.stop();
  });

  test('may come, change their interval and go, without a word of dropState', async () => {
    const stream = new Checkpointed();
    await (await runTo(stream, stream.define(3), 6)).stop();
    let driven = await runTo(stream, stream.define(2), 11);
    expect(await stream.slice(10)).toEqual([[[100], [105]]]);
    await driven.stop();
    const counted = (ssc: StreamingContext): void => {
      const rows = ssc.sourceStream(topic().source(), { uid: 'numbers' });
      const keyed = rows.map((x): [string, number] => [`k${x % 2}`, x]);
      stream.look(
        keyed.updateStateByKey<string, number, number>((values, n) => (n ?? 0) + values.length, { uid: 'kept' }),
      );
    };
    // The uid may even become that of an operator, which starts empty.
    driven = await runTo(stream, counted, 13);
    await driven.stop();
    driven = await runTo(stream, counted, 14);
    await driven.stop();
    expect(stream.seen.get(14)).toEqual({ k0: 2, k1: 1, 'k0.5': 2 });
    // That is no checkpoint any more.
    expect(await stream.refusal(stream.define(2))).toMatch(/state 'kept' .*give the checkpoint another uid/);
  });

  test('of streams with state and of windows store nothing more, and a stream has one interval', async () => {
    const stream = new Deployed();
    const define = (ssc: StreamingContext): void => {
      const rows = ssc.sourceStream(topic().source(), { uid: 'numbers' }).map((x): [string, number] => ['k', x]);
      rows.checkpoint(Seconds(2), { uid: 'kept' });
      expect(() => rows.checkpoint(Seconds(3))).toThrow("the stream 'map' has the checkpoint interval 2000 ms already");
      rows
        .updateStateByKey<string, number, number>((values) => values.length, { uid: 'counts' })
        .checkpoint(Seconds(2))
        .print();
      rows.window(Seconds(2), Seconds(1), { uid: 'rows' }).checkpoint(Seconds(2)).print();
    };
    await (await runTo(stream, define, 2)).stop();
    expect(Object.keys((await stream.status()).fingerprints)).toEqual(['kept', 'counts', 'rows']);
  });

  test('need a checkpoint directory, as in Spark', async () => {
    const ssc = new Deployed().context();
    ssc.sourceStream(topic().source()).checkpoint(Seconds(1)).print();
    const error = await errorOf(ssc.start());
    expect(error.message).toMatch(/^The checkpoint directory has not been set, and checkpoint-1 keep state\./);
  });
});

test('RDD.checkpoint() inside transform cuts the lineage of the batch', async () => {
  const stream = new Deployed();
  const folder = `memory:rdd-checkpoints-${process.pid}`;
  const seen: [number[], boolean][] = [];
  const define = (ssc: StreamingContext): void => {
    ssc.rdds.setCheckpointDir(folder);
    ssc
      .sourceStream(topic().source(), { uid: 'numbers' })
      .transform((rdd) => {
        const doubled = rdd.map((x) => x * 2).persist();
        doubled.checkpoint();
        return doubled;
      })
      .foreachRDD(async (rdd) => {
        await rdd.count();
        seen.push([await rdd.collect(), rdd.isCheckpointed]);
      });
  };
  await (await runTo(stream, define, 2)).stop();
  await (await runTo(stream, define, 3)).stop();
  expect(seen).toEqual([
    [[2], true],
    [[4, 5], true],
    [[6], true],
  ]);
});
