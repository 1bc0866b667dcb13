import { blobSink, Milliseconds, StreamingContext } from '../../../src/index.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';

/**
 * Numbers rows from 0 on, one every 5 ms until it is told to pause, and writes them to a folder in batches of 300 ms.
 * `MODE`: graceful, abrupt, hanging (a graceful one whose output never returns), own (a handler of its own for SIGTERM).
 */
const { FOLDER, MODE } = process.env;
const topic = new MemoryTopic<number>('rows', 1);
let sent = 0;
const sending = setInterval(() => {
  topic.send(Date.now(), 0, sent);
  sent += 1;
}, 5);

process.on('message', () => {
  clearInterval(sending);
  process.send?.({ type: 'paused', sent });
});

const context = await StreamingContext.getOrCreate(`${FOLDER}/checkpoint`, () => {
  const ssc = new StreamingContext({
    appName: 'shutdown',
    batchInterval: Milliseconds(300),
    stopGracefullyOnShutdown: MODE !== 'abrupt' && MODE !== 'own',
  });
  const rows = ssc.sourceStream(topic.source());
  rows.saveTo(blobSink({ url: `${FOLDER}/output` }), { uid: 'out' });
  if (MODE === 'hanging') {
    rows.foreachRDD((_rdd, time) => {
      process.send?.({ type: 'hanging', batchTimeMs: time.milliseconds });
      return new Promise(() => {});
    });
  }
  ssc.addStreamingListener({
    onBatchCompleted: ({ batchTimeMs }) => void process.send?.({ type: 'batch', batchTimeMs }),
  });
  return ssc;
});
if (MODE === 'own') {
  process.once('SIGTERM', () => {
    void context.stop({ graceful: true }).then(() => {
      process.exitCode = 7;
      process.disconnect();
    });
  });
}
await context.start();
await context.awaitTermination();
process.send?.({ type: 'terminated' });
