import { describe, expect, test } from 'vitest';
import type {
  BatchInfo,
  OutputOperationInfo,
  StartedBatchInfo,
  StreamingListener,
  SubmittedBatchInfo,
} from '../../../src/observe/streaming-listener.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { Shelf, TestStream } from '../engine/support.ts';
import { numbers } from '../lifecycle/support.ts';

/** Every event in the order it came. */
class Recorder implements StreamingListener {
  readonly order: string[] = [];
  readonly submitted: SubmittedBatchInfo[] = [];
  readonly started: StartedBatchInfo[] = [];
  readonly outputs: OutputOperationInfo[] = [];
  readonly completed: BatchInfo[] = [];

  onStreamingStarted(): void {
    this.order.push('streaming started');
  }

  onBatchSubmitted(info: SubmittedBatchInfo): void {
    this.order.push(`submitted ${info.batchTimeMs}`);
    this.submitted.push(info);
  }

  onBatchStarted(info: StartedBatchInfo): void {
    this.order.push(`started ${info.batchTimeMs}`);
    this.started.push(info);
  }

  onOutputOperationStarted({ id, batchTimeMs, endTimeMs }: OutputOperationInfo): void {
    expect(endTimeMs).toBeUndefined();
    this.order.push(`output ${id} started ${batchTimeMs}`);
  }

  onOutputOperationCompleted(info: OutputOperationInfo): void {
    this.order.push(`output ${info.id} completed ${info.batchTimeMs}`);
    this.outputs.push(info);
  }

  onBatchCompleted(info: BatchInfo): void {
    this.order.push(`completed ${info.batchTimeMs}`);
    this.completed.push(info);
  }

  onStreamingStopped(error: Error | undefined): void {
    this.order.push(`streaming stopped ${error === undefined ? '' : 'with an error'}`.trim());
  }
}

describe('the events of a batch', () => {
  test('listener.batch-info-reporting: four batches of one record, each submitted, started and completed', async () => {
    const recorder = new Recorder();
    const stream = new TestStream();
    const driven = await stream.open((ssc) => {
      ssc.addStreamingListener(recorder);
      ssc.sourceStream(numbers().source(), { uid: 'numbers' }).print();
    });
    await driven.context.start();
    await driven.runTo(4000);
    await driven.stop();
    const times = [1000, 2000, 3000, 4000];
    expect(recorder.order).toEqual([
      'streaming started',
      ...times.flatMap((t) => [
        `submitted ${t}`,
        `started ${t}`,
        `output 0 started ${t}`,
        `output 0 completed ${t}`,
        `completed ${t}`,
      ]),
      'streaming stopped',
    ]);
    const { submitted, started, completed } = recorder;
    for (const info of [...submitted, ...started, ...completed]) {
      expect(info.records).toBe(1);
      expect(info.streamIdToInputInfo).toEqual({ 0: { inputStreamId: 0, uid: 'numbers', records: 1, metadata: {} } });
    }
    for (const info of submitted) {
      expect(Object.keys(info).filter((name) => name.endsWith('DelayMs'))).toEqual([]);
    }
    for (const info of started) {
      expect(Object.keys(info).filter((name) => name.endsWith('DelayMs'))).toEqual(['schedulingDelayMs']);
      expect(info.schedulingDelayMs).toBeGreaterThanOrEqual(0);
    }
    for (const info of completed) {
      expect(info.processingDelayMs).toBeGreaterThanOrEqual(0);
      expect(info.totalDelayMs).toBe(info.schedulingDelayMs + info.processingDelayMs);
      expect(info.failureReason).toBeUndefined();
    }
  });

  test('inputinfo.report-and-get-input-info: say what each input gave', async () => {
    const recorder = new Recorder();
    const stream = new TestStream();
    const topic = (name: string, count: number): MemoryTopic<number> => {
      const made = new MemoryTopic<number>(name, 1);
      for (let n = 0; n < count; n++) made.send(500, 0, n);
      return made;
    };
    const driven = await stream.open((ssc) => {
      ssc.addStreamingListener(recorder);
      const first = ssc.sourceStream(topic('a', 100).source(), { uid: 'a' });
      first.union(ssc.sourceStream(topic('b', 300).source(), { uid: 'b' })).print();
    });
    await driven.context.start();
    await driven.runTo(1000);
    await driven.stop();
    const inputs = recorder.completed[0]!.streamIdToInputInfo;
    expect(Object.values(inputs).map(({ uid, records }) => [uid, records])).toEqual([
      ['a', 100],
      ['b', 300],
    ]);
    expect(recorder.completed[0]!.records).toBe(400);
  });

  test('name each output, with its times', async () => {
    const recorder = new Recorder();
    const shelf = new Shelf();
    const stream = new TestStream();
    const driven = await stream.open((ssc) => {
      ssc.addStreamingListener(recorder);
      const rows = ssc.sourceStream(numbers().source());
      rows.foreachRDD(() => stream.clock.advanceBy(30), { uid: 'slow' });
      rows.print();
      rows.saveTo(shelf.sink(), { uid: 'out' });
    });
    await driven.context.start();
    await driven.runTo(1000);
    await driven.stop();
    expect(recorder.outputs.map(({ name, description }) => [name, description])).toEqual([
      ['foreachRDD', 'slow of memory-topic'],
      ['print', 'print-1 of memory-topic'],
      ['saveTo', 'out of memory-topic'],
    ]);
    expect(recorder.outputs[0]).toMatchObject({ startTimeMs: 1000, endTimeMs: 1030, failureReason: undefined });
    expect(recorder.completed[0]!.outputOperationInfos).toEqual(
      Object.fromEntries(recorder.outputs.map((info) => [info.id, info])),
    );
    expect(recorder.completed[0]).toMatchObject({ processingStartTimeMs: 1000, processingDelayMs: 30 });
  });

  test('listener.onbatchcompleted-with-failed-batch-and-multiple-failed-jobs: both outputs carry their own reason', async () => {
    const recorder = new Recorder();
    const shelf = new Shelf();
    const stream = new TestStream();
    const driven = await stream.open((ssc) => {
      ssc.addStreamingListener(recorder);
      const rows = ssc.sourceStream(numbers().source());
      rows.foreachRDD(() => {
        throw new Error('the first is broken');
      });
      rows.foreachRDD(async () => {
        throw new Error('the second is broken');
      });
      rows.foreachRDD(() => {});
      rows.saveTo(shelf.sink());
    });
    await driven.context.start();
    await expect(driven.runTo(1000)).rejects.toThrow('the first is broken');
    const [failed] = recorder.completed;
    expect(failed!.failureReason).toContain('the first is broken');
    const reasons = Object.values(failed!.outputOperationInfos).map(({ failureReason }) => failureReason);
    expect(reasons[0]).toContain('the first is broken');
    expect(reasons[1]).toContain('the second is broken');
    expect(reasons.slice(2)).toEqual([undefined, undefined]);
    expect(recorder.order.slice(-2)).toEqual(['completed 1000', 'streaming stopped with an error']);
    // Nothing of it is committed or staged.
    expect(shelf.staged).toBe(0);
    expect(driven.batches).toEqual([]);
  });

  test('a listener that never returns cannot hold up a batch or another listener', async () => {
    const stream = new TestStream();
    const blocked: number[] = [];
    const driven = await stream.open(
      (ssc) => {
        ssc.addStreamingListener({
          onBatchCompleted: ({ batchTimeMs }) => {
            blocked.push(batchTimeMs);
            return new Promise<void>(() => {});
          },
        });
        ssc.sourceStream(numbers().source()).print();
      },
      { listenerQueueLengthMax: 2 },
    );
    await driven.context.start();
    await driven.runTo(10_000);
    expect(driven.batches).toHaveLength(10);
    expect(blocked).toEqual([1000]);
    expect(stream.warnings).toEqual([expect.stringMatching(/number 1 is too slow: 2 events wait/)]);
    // The end waits for it a moment, and no longer.
    await driven.stop();
    expect(stream.warnings.at(-1)).toMatch(/number 1 has missed 9 events/);
    expect(blocked).toEqual([1000]);
  });
});
