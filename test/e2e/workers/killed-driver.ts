import { isMainThread } from 'node:worker_threads';
import { blobSink, Milliseconds, StreamingContext } from '../../../src/index.ts';
import { type Pair, rowsSource } from './rows-source.ts';

/**
 * A program with worker threads in a process of its own, which kills itself with SIGKILL when it passes a named point for
 * the n-th time: `KILL_AT=<point>:<n>`. It ends by itself after `LAST_BATCH`.
 */
const { FOLDER, KILL_AT = '', LAST_BATCH } = process.env;
const [point, count] = KILL_AT.split(/:(?=\d+$)/);
let passed = 0;

const ssc = await StreamingContext.getOrCreate(`${FOLDER}/checkpoint`, () => {
  const context = new StreamingContext({
    appName: 'killed',
    batchInterval: Milliseconds(20),
    master: 'local[2]',
    module: import.meta.url,
    startReport: false,
    checkpoint: { manifestEveryRecords: 7 },
    environment: {
      crashHook: (reached) => {
        if (reached === point && ++passed === Number(count)) process.kill(process.pid, 'SIGKILL');
      },
    },
  });
  const rows = context.sourceStream(rowsSource(4, 'workers'), { uid: 'rows' });
  rows
    .map((row) => JSON.stringify(row))
    .saveTo(blobSink({ url: `${FOLDER}/rows`, format: 'text' }), { uid: 'rows-out' });
  rows
    .reduceByKey((a, b) => a + b)
    .updateStateByKey(
      (values: readonly number[], total: number | undefined) => values.reduce((a, b) => a + b, total ?? 0),
      {
        uid: 'totals',
      },
    )
    .map(([key, total]): Pair => [key, total])
    .saveTo(blobSink({ url: `${FOLDER}/totals` }), { uid: 'totals-out' });
  return context;
});
ssc.addStreamingListener({
  onBatchCompleted: ({ batchId, failureReason }) => {
    if (failureReason === undefined && batchId >= Number(LAST_BATCH)) void ssc.stop();
  },
});
await ssc.start();
// A worker never comes here.
if (!isMainThread) throw new Error('start() has resolved in a worker thread.');
await ssc.awaitTermination();
