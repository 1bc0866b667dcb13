import { expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { planRewind, rewindStream } from '../../../src/operate/rewind-stream.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { settle, TestReceiver } from '../receivers/support.ts';

/** A stream with two receivers: of one something arrives before every batch, of the other never. */
class ReceivingRun {
  readonly clock = new ManualClock(0);
  readonly store = new MemoryStore({ clock: this.clock });
  readonly seen: string[][] = [];

  /** Runs a driver for `batches` more batches and stops it. */
  async live(batches: number, rows: (batch: number) => readonly string[]): Promise<void> {
    const { clock, seen } = this;
    const receiver = new TestReceiver<string>();
    const context = await StreamingContext.getOrCreate(this.store, () => {
      const ssc = new StreamingContext({
        appName: 'receiving',
        batchInterval: Seconds(1),
        environment: { clock, random: new SeededRandom(clock.now()), allowSeveral: true, print: () => {} },
      });
      ssc
        .receiverStream(receiver, { uid: 'orders' })
        .union(ssc.receiverStream(new TestReceiver<string>(), { uid: 'silent' }))
        .foreachRDD(async (rdd) => {
          seen.push(await rdd.collect());
        });
      return ssc;
    });
    const driven = new DrivenStream(context, clock, 1000);
    await context.start();
    const startMs = Math.floor(clock.now() / 1000) * 1000;
    for (let batch = 1; batch <= batches; batch++) {
      const arriving = rows(batch);
      if (arriving.length > 0) await receiver.storeAll(arriving);
      await driven.runTo(startMs + batch * 1000);
    }
    await driven.stop();
    await settle();
  }
}

test('a stream is not taken back behind records of a receiver that were removed, and is told which and what else can be done', async () => {
  const run = new ReceivingRun();
  const { clock, store } = run;
  await run.live(4, (batch) => [`order ${batch}`]);
  const before = await readCheckpoint(store);
  const puts = store.operations.snapshot().put.requests;

  for (const attempt of [planRewind(store, 3, { clock }), rewindStream(store, 3, { clock })]) {
    const error = await attempt.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'BATCH_NOT_RETAINED', context: { uid: 'orders', batchId: 3 } });
    const { message } = error as Error;
    expect(message).toContain(store.url);
    expect(message).toContain("receiver of 'orders'");
    expect(message).toContain('back to batch 3');
    expect(message).toMatch(/\(2 of 2 stored objects\)/);
    expect(message).toContain('Fork the stream there');
  }
  expect(store.operations.snapshot().put.requests).toBe(puts);
  expect((await readCheckpoint(store))!.status).toEqual(before!.status);
});

test('a stream is taken back over batches in which its receivers took in nothing', async () => {
  const run = new ReceivingRun();
  const { clock, store } = run;
  await run.live(2, (batch) => [`order ${batch}`]);
  await run.live(3, () => []);
  const { lastBatch } = (await readCheckpoint(store))!.status;
  const report = await rewindStream(store, lastBatch!.batchId - 1, { clock });
  expect(report).toMatchObject({ generation: 1, abandonedBatches: 1 });
  await run.live(2, (batch) => [`later ${batch}`]);
  expect(run.seen.flat()).toEqual(['order 1', 'order 2', 'later 1', 'later 2']);
});
