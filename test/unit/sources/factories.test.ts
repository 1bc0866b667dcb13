import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Milliseconds, Seconds } from '../../../src/base/time.ts';
import type { DStream } from '../../../src/dstream/dstream.ts';
import type { StreamingContextOptions } from '../../../src/execution/context-options.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { settle, TestReceiver } from '../receivers/support.ts';

/** A program of one input on a manual clock, and the rows of its batches. */
function program<T>(
  define: (ssc: StreamingContext) => DStream<T>,
  options: Partial<StreamingContextOptions> = {},
): { readonly clock: ManualClock; readonly driven: DrivenStream; readonly seen: T[][]; readonly warnings: string[] } {
  const clock = new ManualClock(0);
  const seen: T[][] = [];
  const warnings: string[] = [];
  const ssc = new StreamingContext({
    appName: 'factories',
    batchInterval: Seconds(1),
    ...options,
    environment: { clock, random: new SeededRandom(1), allowSeveral: true, warn: (text) => warnings.push(text) },
  });
  define(ssc).foreachRDD(async (rdd) => {
    seen.push(await rdd.collect());
  });
  return { clock, driven: new DrivenStream(ssc, clock, 1000), seen, warnings };
}

async function folder(files: Readonly<Record<string, string>>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tidemark-inputs-'));
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(path, `.${name}`), content);
    await utimes(join(path, `.${name}`), 0.5, 0.5);
    await rename(join(path, `.${name}`), join(path, name));
  }
  return path;
}

describe('inputs of a context', () => {
  test('queueStream, constantStream and rateStream', async () => {
    for (const [define, expected] of [
      [(ssc: StreamingContext) => ssc.queueStream<unknown>([[1], [2]]), [[1], [2]]],
      [(ssc: StreamingContext) => ssc.queueStream<unknown>([[1], [2]], false, null), [[1, 2], []]],
      [(ssc: StreamingContext) => ssc.constantStream<unknown>(['x'], { uid: 'x' }), [['x'], ['x']]],
      [
        (ssc: StreamingContext) => ssc.rateStream(2).map<unknown>(({ value }) => value),
        [
          [0, 1],
          [2, 3],
        ],
      ],
    ] as const) {
      const { driven, seen } = program(define);
      await driven.context.start();
      await driven.runTo(2000);
      await driven.stop();
      expect(seen).toEqual(expected);
    }
  });

  test('textFileStream, fileStream and binaryRecordsStream', async () => {
    const path = await folder({ a: 'one\ntwo\n' });
    for (const [define, expected] of [
      [(ssc: StreamingContext) => ssc.textFileStream(path), [['one', 'two']]],
      [
        (ssc: StreamingContext) => ssc.fileStream(path, { read: (bytes, { name }) => [`${name}${bytes.length}`] }),
        [['a8']],
      ],
      [
        (ssc: StreamingContext) => ssc.binaryRecordsStream(path, 4).map((record) => Buffer.from(record).toString()),
        [['one\n', 'two\n']],
      ],
    ] as const) {
      const { driven, seen } = program<string>(define);
      const described: unknown[] = [];
      driven.context.addStreamingListener({
        onBatchCompleted: ({ streamIdToInputInfo }) =>
          void described.push(streamIdToInputInfo[0]?.metadata.Description),
      });
      await driven.context.start();
      await driven.runTo(1000);
      await driven.stop();
      expect(seen).toEqual(expected);
      expect(described).toEqual([`${path}/a`]);
    }
    await rm(path, { recursive: true });
  });

  test('ssc.stop-gracefully: what a receiver has stored by the stop is processed, and it is asked for nothing more', async () => {
    for (const url of [undefined, 'memory:graceful-receiver']) {
      const receiver = new TestReceiver<number>();
      const { driven, seen } = program((ssc) => {
        if (url !== undefined) ssc.checkpoint(url);
        return ssc.receiverStream(receiver, { uid: 'received' });
      });
      await driven.context.start();
      await driven.runTo(1000);
      const stored = Array.from({ length: 100 }, (_, n) => receiver.store(n));
      await Promise.all(stored);
      await driven.stopGracefully();
      expect(seen.flat()).toEqual(Array.from({ length: 100 }, (_, n) => n));
      expect(receiver.isStopped()).toBe(true);
      await expect(receiver.store(0)).rejects.toMatchObject({ code: 'STATUS_INVALID' });
    }
  });

  test('a receiver reports to the listeners, in the words of Spark', async () => {
    const receiver = new TestReceiver<number>();
    const { driven } = program((ssc) => ssc.receiverStream(receiver));
    const events: string[] = [];
    driven.context.addStreamingListener({
      onReceiverStarted: ({ name, active }) => void events.push(`${name} started ${active}`),
      onReceiverError: ({ lastErrorMessage, lastError }) => void events.push(`${lastErrorMessage}: ${lastError}`),
      onReceiverStopped: ({ active }) => void events.push(`stopped ${active}`),
    });
    await driven.context.start();
    receiver.reportError('odd', new Error('why'));
    await driven.stop();
    expect(events).toEqual(['TestReceiver-0 started true', 'odd: why', 'stopped false']);
  });

  test("Spark's keys set what the inputs don't set themselves", async () => {
    const receiver = new TestReceiver<number>();
    const { driven, clock, seen } = program(
      (ssc) => ssc.receiverStream(receiver, { blockInterval: Milliseconds(100) }),
      {
        settings: {
          'spark.streaming.receiver.maxRate': 10,
          'spark.streaming.blockInterval': '500ms',
          'spark.streaming.receiverRestartDelay': 300,
          'spark.streaming.receiver.writeAheadLog.enable': true,
          'spark.streaming.fileStream.minRememberDuration': '30s',
        },
      },
    );
    await driven.context.start();
    for (let n = 0; n < 50; n++) receiver.store(n);
    for (let timeMs = 100; timeMs <= 1000; timeMs += 100) {
      clock.advanceTo(timeMs);
      await settle();
    }
    await driven.runTo(2000);
    const count = seen.flat().length;
    expect(count).toBeGreaterThanOrEqual(9);
    expect(count).toBeLessThanOrEqual(21);
    receiver.restart('again');
    await settle();
    clock.advanceBy(300);
    await settle();
    expect(receiver.calls).toEqual(['start', 'stop', 'start']);
    await driven.stop();
  });

  test("settings that cannot be are refused, with Spark's key", () => {
    const refused = (settings: Record<string, string | number | boolean>) => () =>
      program((ssc) => ssc.receiverStream(new TestReceiver<number>()), { settings });
    expect(refused({ 'spark.streaming.receiver.writeAheadLog.enable': false })).toThrow(/writeAheadLog.enable/);
    expect(refused({ 'spark.streaming.receiver.maxRate': 0 })).toThrow(/maxRate is 0/);
    expect(refused({ 'spark.streaming.blockInterval': 'soon' })).toThrow(/spark.streaming.blockInterval/);
  });
});
