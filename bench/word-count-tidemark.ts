import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Milliseconds, StreamingContext } from '../src/index.ts';
import { GeneratedSource } from './generated-source.ts';
import { lineOf } from './lines.ts';

/** The peer of peers/SparkWordCount.java, with the same arguments, and how many threads compute. */
const [, , program, input, intervalMs, linesPerBatch, batches, checkpoint, folder, threads = '1'] = process.argv;
const startedMs = performance.timeOrigin;
let firstBatchMs = -1;
let rows = 0;
let readyMs = 0;
let waitedMs = 0;
const done: object[] = [];

const ssc = await StreamingContext.getOrCreate(pathToFileURL(resolve(checkpoint!)).href, () => {
  const context = new StreamingContext({
    appName: 'word-count',
    batchInterval: Milliseconds(Number(intervalMs)),
    master: `local[${threads}]`,
    module: import.meta.url,
    defaultParallelism: 2,
    startReport: false,
  });
  const lines =
    input === 'generated'
      ? context.sourceStream(new GeneratedSource(Number(linesPerBatch), (number) => lineOf(number), Number(threads)))
      : context.textFileStream(folder!);
  const counts = lines
    .flatMap((line) => line.split(' '))
    .map((word): [string, number] => [word, 1])
    .reduceByKey((a, b) => a + b);
  const shown =
    program === 'state'
      ? counts.updateStateByKey((values, before: number | undefined) => {
          let total = before ?? 0;
          for (const value of values) total += value;
          return total;
        })
      : counts;
  shown.foreachRDD(async (rdd) => {
    rows = await rdd.count();
  });
  return context;
});
ssc.addStreamingListener({
  onStreamingStarted: () => {
    readyMs = Date.now();
  },
  onBatchCompleted: (info) => {
    if (info.failureReason !== undefined) throw new Error(info.failureReason);
    if (firstBatchMs < 0) {
      firstBatchMs = performance.timeOrigin + performance.now() - startedMs;
      waitedMs = Math.max(0, info.batchTimeMs - readyMs);
    }
    // A file's records are not known before it is read, so the rows that came out tell whether any came in.
    if (rows === 0) return;
    const { user, system } = process.cpuUsage();
    done.push({
      processingMs: info.processingDelayMs,
      totalMs: info.totalDelayMs,
      cpuUs: user + system,
      rssKb: process.memoryUsage.rss() / 1024,
    });
    if (done.length < Number(batches)) return;
    const peakKb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
    console.log(`RESULT ${JSON.stringify({ firstBatchMs, waitedMs, peakKb, batches: done })}`);
    process.exit(0);
  },
});
await ssc.start();
await ssc.awaitTermination();
