import { Milliseconds, StreamingContext } from '../src/index.ts';
import { GeneratedSource } from './generated-source.ts';

/** One life of the recovery benchmark: argument 1 the checkpoint URL, 2 the keys, 3 the batches to run. */
const [url = '', keys = '0', batches = '1'] = process.argv.slice(2);
let left = Number(batches);
const ssc = await StreamingContext.getOrCreate(
  url,
  () => {
    const context = new StreamingContext({
      appName: 'recovery',
      batchInterval: Milliseconds(100),
      catchUpBatchesMax: 1,
    });
    context
      // The first batch of the stream touches every key once, those after it a hundredth of them.
      .sourceStream(
        new GeneratedSource(
          Number(keys) / 100,
          (n) => [`device-${n % Number(keys)}`, { total: n / 10, count: n }] as const,
        ),
      )
      .updateStateByKey((values: readonly object[], state: object | undefined) => values.at(-1) ?? state, {
        uid: 'state',
      })
      .foreachRDD(() => {});
    return context;
  },
  { createContainer: true },
);
ssc.addStreamingListener({
  onStreamingStarted: (info) => process.send?.({ type: 'started', ...info }),
  onBatchCompleted: ({ processingDelayMs }) => {
    process.send?.({ type: 'batch', processingDelayMs, importMs: 0 });
    left -= 1;
    if (left === 0) void ssc.stop();
  },
});
await ssc.start();
await ssc.awaitTermination();
process.exit(0);
