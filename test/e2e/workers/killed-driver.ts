import { BroadcastChannel, isMainThread, workerData } from 'node:worker_threads';
import { blobSink, Milliseconds, StreamingContext } from '../../../src/index.ts';
import { type Pair, rowsSource } from './rows-source.ts';

/**
 * A program with worker threads in a process of its own, which ends by itself after `LAST_BATCH`.
 *
 * `KILL_AT=<point>:<n>`: the process kills itself with SIGKILL when it passes a named point for the n-th time.
 * `EXIT_AT=<point>:<n>,...`: a worker thread ends while the driver stands at the point, for the n-th time or, when there is
 * no worker then, a later one.
 */
const { FOLDER, KILL_AT = '', EXIT_AT = '', LAST_BATCH } = process.env;
const passed = new Map<string, number>();
const deaths = new BroadcastChannel('deaths');
deaths.unref();

interface Order {
  readonly worker: number;
  /** Becomes 1 when the worker has heard of it, 2 when it is too late. */
  readonly heard: SharedArrayBuffer;
}

const pending = EXIT_AT.split(',')
  .filter((at) => at !== '')
  .map((at) => ({ point: at.replace(/:\d+$/, ''), from: Number(/\d+$/.exec(at)![0]) }));

function crashHook(reached: string): void {
  const count = (passed.get(reached) ?? 0) + 1;
  passed.set(reached, count);
  if (KILL_AT === `${reached}:${count}`) process.kill(process.pid, 'SIGKILL');
  const due = pending.findIndex(({ point, from }) => point === reached && count >= from);
  if (due >= 0 && endsWorker()) pending.splice(due, 1);
}

/** Stands still until the worker is about to end. False: there is none, or not yet. */
function endsWorker(): boolean {
  const heard = new Int32Array(new SharedArrayBuffer(4));
  deaths.postMessage({ worker: 1, heard: heard.buffer } satisfies Order);
  Atomics.wait(heard, 0, 0, 300);
  return Atomics.compareExchange(heard, 0, 0, 2) === 1;
}

deaths.onmessage = ({ data }) => {
  const { worker, heard } = data as Order;
  if (isMainThread || (workerData as { readonly index: number }).index !== worker) return;
  if (Atomics.compareExchange(new Int32Array(heard), 0, 0, 1) !== 0) return;
  Atomics.notify(new Int32Array(heard), 0);
  process.exit(3);
};

const ssc = await StreamingContext.getOrCreate(`${FOLDER}/checkpoint`, () => {
  const context = new StreamingContext({
    appName: 'killed',
    batchInterval: Milliseconds(20),
    master: 'local[2]',
    module: import.meta.url,
    startReport: false,
    checkpoint: { manifestEveryRecords: 7 },
    environment: { crashHook },
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
