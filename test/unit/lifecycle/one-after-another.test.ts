import { expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { Seconds } from '../../../src/base/time.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { settle } from '../engine/support.ts';
import { numbers, testContext } from './support.ts';

function signalListeners(): number {
  return process.listenerCount('SIGTERM') + process.listenerCount('SIGINT');
}

function resources(): number {
  return process.getActiveResourcesInfo().length;
}

test('the last event of a context may start the next one', async () => {
  const names: string[] = [];
  const last = Promise.withResolvers<StreamingContext>();
  const begin = async (n: number): Promise<void> => {
    const context = testContext({ appName: `context ${n}` });
    context.sourceStream(numbers().source()).print();
    context.addStreamingListener({ onStreamingStopped: () => (n === 5 ? undefined : begin(n + 1)) });
    await context.start();
    names.push(context.appName);
    expect(StreamingContext.getActive()).toBe(context);
    if (n === 5) last.resolve(context);
    else void context.stop();
  };
  await begin(1);
  const context = await last.promise;
  // Called from outside, so it is over when it resolves.
  await context.stop();
  expect(context.status).toBe('stopped');
  expect(StreamingContext.getActive()).toBeUndefined();
  expect(names).toEqual([1, 2, 3, 4, 5].map((n) => `context ${n}`));
});

test('fifty contexts in a row leave no listener, timer or handle behind', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on('warning', onWarning);
  const before = { signals: signalListeners(), resources: resources() };
  for (let i = 0; i < 50; i++) {
    const clock = new ManualClock(0);
    const topic = numbers();
    const seen: number[] = [];
    const context = await StreamingContext.getOrCreate(`memory:row-${i}`, () => {
      const ssc = testContext({ environment: { clock } });
      ssc.sourceStream(topic.source()).foreachRDD(async (rdd) => void seen.push(...(await rdd.collect())));
      return ssc;
    });
    const driven = new DrivenStream(context, clock, 1000);
    await context.start();
    expect(signalListeners()).toBe(before.signals + 2);
    await driven.runTo(2000);
    if (i % 2 === 0) await driven.stop();
    else await driven.stopGracefully();
    expect(seen.slice(0, 2)).toEqual([1, 2]);
    expect(await context.awaitTerminationOrTimeout(Seconds(1))).toBe(true);
    expect(StreamingContext.getActive()).toBeUndefined();
  }
  await settle();
  expect(signalListeners()).toBe(before.signals);
  // The test runner has a few of its own that come and go.
  expect(resources()).toBeLessThan(before.resources + 10);
  expect(warnings).toEqual([]);
  process.off('warning', onWarning);
});
