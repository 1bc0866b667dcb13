import { expect } from 'vitest';
import { PidRateEstimator } from '../../src/execution/backpressure/pid-rate-estimator.ts';
import {
  type BatchInfo,
  type DStream,
  Milliseconds,
  type StartedBatchInfo,
  StreamingContext,
  type SubmittedBatchInfo,
} from '../../src/index.ts';
import { SeededRandom } from '../../src/testing.ts';
import { CaseSource } from './support/case-source.ts';
import { expectRefused, rddContext } from './support/check.ts';
import { collectInto, runFor, type SimpleStream, simpleStream } from './support/simple-stream.ts';

const plain = (rows: DStream<number>): void => rows.foreachRDD(() => {});

async function pidStaysBelow(): Promise<void> {
  const estimator = new PidRateEstimator(20, { proportional: 1, integral: 0.01, derived: 0, minRate: 10 });
  const random = new SeededRandom(5);
  for (let i = 0; i < 50; i++) {
    const records = 1000 + Math.floor(random.next() * 1000);
    const schedulingDelayMs = 1 + Math.floor(random.next() * 19);
    const rate = estimator.compute({ timeMs: i * 20, records, processingDelayMs: 20, schedulingDelayMs });
    if (i === 0) {
      expect(rate).toBeUndefined();
    } else {
      expect(rate).toBeLessThan((records / 20) * 1000);
      expect(rate).toBeGreaterThanOrEqual(10);
    }
  }
}

class ThrottledSource extends CaseSource<number> {
  readonly rates: number[] = [];

  setRate(recordsPerSecond: number): void {
    this.rates.push(recordsPerSecond);
  }
}

async function rateIsPublishedAfterBatches(): Promise<void> {
  const batches = Array.from({ length: 4 }, () => [1, 2, 3]);
  const source = new ThrottledSource(batches, 1);
  const stream: SimpleStream = await simpleStream<number>(
    [],
    (_rows, ssc) =>
      ssc.sourceStream(source).foreachRDD(() => {
        // A processing time: without one a batch says nothing.
        stream.clock.advanceBy(10);
      }),
    { backpressure: { enabled: true } },
  );
  await runFor(stream, 4);
  // The first batch is the starting point of the estimates.
  expect(source.rates).toHaveLength(3);
}

async function batchInfos(): Promise<void> {
  const order: string[] = [];
  const submitted: SubmittedBatchInfo[] = [];
  const started: StartedBatchInfo[] = [];
  const completed: BatchInfo[] = [];
  const stream = await simpleStream<number>([[1], [2], [3], [4]], plain);
  stream.ssc.addStreamingListener({
    onBatchSubmitted: (info) => {
      order.push('submitted');
      submitted.push(info);
    },
    onBatchStarted: (info) => {
      order.push('started');
      started.push(info);
    },
    onBatchCompleted: (info) => {
      order.push('completed');
      completed.push(info);
    },
  });
  await runFor(stream, 4);
  expect(order).toEqual(Array.from({ length: 4 }, () => ['submitted', 'started', 'completed']).flat());
  for (const info of submitted) expect(info).not.toHaveProperty('schedulingDelayMs');
  for (const info of started) {
    expect(info.schedulingDelayMs).toBeGreaterThanOrEqual(0);
    expect(info).not.toHaveProperty('processingDelayMs');
    expect(info).not.toHaveProperty('totalDelayMs');
  }
  for (const info of completed) {
    expect(info.schedulingDelayMs).toBeGreaterThanOrEqual(0);
    expect(info.processingDelayMs).toBeGreaterThanOrEqual(0);
    expect(info.totalDelayMs).toBe(info.schedulingDelayMs + info.processingDelayMs);
  }
  for (const info of [...submitted, ...started, ...completed]) {
    expect(info.records).toBe(1);
    expect(info.streamIdToInputInfo[0]?.records).toBe(1);
  }
}

/** Spark refuses; here the stop is taken and the listener need not wait for it. */
async function listenerStops(): Promise<void> {
  const { ssc, clock } = await simpleStream<number>([[1], [2]], plain);
  const stopped = Promise.withResolvers<void>();
  ssc.addStreamingListener({
    onBatchCompleted: () => void ssc.stop().then(stopped.resolve, stopped.reject),
  });
  await ssc.start();
  clock.advanceTo(1000);
  await stopped.promise;
  await ssc.awaitTermination();
  expect(ssc.status).toBe('stopped');
}

async function inputInfoByStream(): Promise<void> {
  const rows = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  const stream = await simpleStream<number>([rows(100)], (first, ssc) => {
    plain(first);
    plain(ssc.sourceStream(new CaseSource([rows(300)], 2)));
  });
  await runFor(stream, 1);
  const [batch] = stream.driven.batches;
  const records = Object.entries(batch!.streamIdToInputInfo).map(([id, info]) => [id, info.records]);
  expect(Object.fromEntries(records)).toEqual({ 0: 100, 1: 300 });
}

/** What the timer drives are batches: a jump of the clock passes over none. */
async function everyTickRuns(): Promise<void> {
  const stream = await simpleStream<number>([], plain, { batchMs: 100 });
  await stream.ssc.start();
  await stream.driven.runTo(100);
  stream.clock.advanceBy(200);
  await stream.driven.runTo(300);
  await stream.driven.stop();
  expect(stream.driven.batches.map(({ batchTimeMs }) => batchTimeMs)).toEqual([100, 200, 300]);
}

async function secondStartChangesNothing(): Promise<void> {
  const warnings: string[] = [];
  const stream = await simpleStream<number>([[1]], plain, { environment: { warn: (text) => warnings.push(text) } });
  await stream.ssc.start();
  await stream.ssc.start();
  expect(warnings).toHaveLength(1);
  await stream.driven.runTo(1000);
  await stream.driven.stop();
  expect(stream.driven.batches).toHaveLength(1);
}

async function activeContextWins(): Promise<void> {
  const first = await simpleStream<number>([[1]], plain);
  const create = (): StreamingContext => {
    const ssc = new StreamingContext({ appName: 'created', batchInterval: Milliseconds(1000), startReport: false });
    plain(ssc.sourceStream(new CaseSource<number>([], 1)));
    return ssc;
  };
  await runFor(first, 1);
  const recovered = await StreamingContext.getActiveOrCreate(first.store, create);
  expect(recovered.appName).toBe('created');
  await recovered.stop();

  const second = await simpleStream<number>([[1], [2]], plain, { after: first });
  await second.ssc.start();
  expect(await StreamingContext.getActiveOrCreate(first.store, create)).toBe(second.ssc);
  expect(StreamingContext.getActive()).toBe(second.ssc);
  await second.driven.stop();
  expect(StreamingContext.getActive()).toBeUndefined();

  for await (const { name } of second.store.list('')) {
    const object = await second.store.get(name);
    if (object.status === 'found')
      await second.store.compareAndSwap(name, new Uint8Array([1]), object.etag, 'd'.repeat(32));
  }
  await expectRefused(() => StreamingContext.getActiveOrCreate(second.store, create));
}

async function rddCheckpoints(): Promise<void> {
  const context = rddContext();
  let computed = 0;
  const count = (x: number): number => {
    computed += 1;
    return x;
  };
  const rows = context.parallelize([1, 2, 3], 2).map(count);
  await expectRefused(() => rows.checkpoint());
  context.setCheckpointDir('memory:conformance-rdd-checkpoints');
  rows.checkpoint();
  expect(computed).toBe(0);
  expect(rows.isCheckpointed).toBe(false);
  await rows.count();
  expect(rows.isCheckpointed).toBe(true);
  expect(computed).toBe(6);
  expect(await rows.collect()).toEqual([1, 2, 3]);
  expect(computed).toBe(6);

  computed = 0;
  const cached = context.parallelize([1, 2, 3], 2).map(count).cache();
  cached.checkpoint();
  await cached.count();
  expect(computed).toBe(3);
}

/** Three entries that are there before, one taken per batch, no checkpoint. */
async function queueGivesOnePerBatch(): Promise<void> {
  const seen: number[][] = [];
  const queue = [
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ];
  const stream = await simpleStream<number>(
    [],
    (_rows, ssc) =>
      collectInto(
        ssc.queueStream(queue).map((x) => x),
        seen,
      ),
    { hasCheckpoint: false },
  );
  await runFor(stream, 3);
  expect(seen).toEqual([
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ]);
}

async function queueCannotBeRecovered(): Promise<void> {
  const warnings: string[] = [];
  const environment = { warn: (text: string) => void warnings.push(text) };
  const define = (_rows: DStream<number>, ssc: StreamingContext): void => plain(ssc.queueStream([[1]]));
  const first = await simpleStream<number>([], define, { environment });
  await runFor(first, 1);
  const second = await simpleStream<number>([], define, { after: first, environment });
  await expect(second.ssc.start()).rejects.toMatchObject({ code: 'CHECKPOINT_INCOMPATIBLE' });
  expect(warnings.join()).toContain("queueStream doesn't support checkpointing");
}

export const engineBehaviours: Readonly<Record<string, () => Promise<void>>> = {
  'java.testqueuestream': queueGivesOnePerBatch,
  'ssc.queuestream-doesn-t-support-checkpointing': queueCannotBeRecovered,
  'pid.with-some-accumulated-and-some-positive-error-i-0-stay-below-the': pidStaysBelow,
  'ratectl.ratecontroller-rate-controller-publishes-updates-after-batches-c': rateIsPublishedAfterBatches,
  'listener.batch-info-reporting': batchInfos,
  'listener.don-t-call-ssc-stop-in-listener': listenerStops,
  'inputinfo.report-and-get-input-info': inputInfoByStream,
  'timer.basic': everyTickRuns,
  'ssc.start-multiple-times': secondStartChangesNothing,
  'ssc.getactiveorcreate-with-checkpoint': activeContextWins,
  'rddckpt.rdd-checkpoint-without-directory': rddCheckpoints,
};
