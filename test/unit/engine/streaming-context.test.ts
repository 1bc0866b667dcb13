import { expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { DrivenStream } from '../../support/driven-stream.ts';

test('counts words with state and goes on after a graceful stop', async () => {
  const clock = new ManualClock(0);
  const topic = new MemoryTopic<string>('lines', 2);
  const store = new MemoryStore({ clock });
  for (let t = 1; t <= 20; t++) topic.send(t * 1000, t % 2, `a b${t % 3}`);
  const seen: unknown[] = [];
  const create = (): StreamingContext => {
    const ssc = new StreamingContext({
      appName: 't',
      batchInterval: Seconds(1),
      environment: { clock, random: new SeededRandom(clock.now()) },
    });
    const pairs = ssc
      .sourceStream(topic.source())
      .flatMap((line) => line.split(' '))
      .map((word) => [word, 1] as const);
    pairs
      .updateStateByKey((values, n: number | undefined) => (n ?? 0) + values.reduce((a, b) => a + b, 0))
      .foreachRDD(async (rdd, time) => {
        seen.push(['count', time.milliseconds, Object.fromEntries(await rdd.collect())]);
      });
    pairs
      .reduceByKeyAndWindow(
        (a, b) => a + b,
        (a, b) => a - b,
        Seconds(4),
        Seconds(2),
      )
      .foreachRDD(async (rdd, time) => {
        seen.push(['win', time.milliseconds, Object.fromEntries(await rdd.collect())]);
      });
    pairs.window(Seconds(3), Seconds(3)).foreachRDD(async (rdd, time) => {
      seen.push(['rows', time.milliseconds, (await rdd.collect()).map(([w]) => w).join()]);
    });
    pairs
      .mapWithState(
        StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
          if (value === undefined) return `${key} gone`;
          state.update((state.getOption() ?? 0) + value);
          return undefined;
        }).timeout(Seconds(2)),
      )
      .foreachRDD(async (rdd, time) => {
        for (const e of await rdd.collect()) seen.push(['gone', time.milliseconds, e]);
      });
    return ssc;
  };
  let driven = new DrivenStream(await StreamingContext.getOrCreate(store, create), clock, 1000);
  await driven.context.start();
  await driven.runTo(7000);
  await driven.stopGracefully();
  driven = new DrivenStream(await StreamingContext.getOrCreate(store, create), clock, 1000);
  await driven.context.start();
  await driven.runTo(12000);
  await driven.stopGracefully();
  console.log(JSON.stringify(seen, null, 0).replaceAll('],[', '],\n['));
  console.log(driven.recovery, driven.batches.at(-1), store.operations.snapshot());
  expect(seen.length).toBeGreaterThan(0);
});
