import { SystemRandom } from '../src/base/random.ts';
import { CheckpointPlace } from '../src/execution/checkpoint-place.ts';
import { Seconds, StreamingContext } from '../src/index.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import { DistantStore } from './distant-store.ts';
import { GeneratedSource } from './generated-source.ts';
import { lineOf } from './lines.ts';

/** Counts the words of generated lines over all batches; CHECKPOINT is `distant` (beyond 10 to 30 ms) or `off`. */
const { CHECKPOINT, LINES, BATCHES, WARM } = process.env;
const [lines, batches, warm] = [Number(LINES), Number(BATCHES), Number(WARM)];
// A program with state refuses to run without a checkpoint, which is what shall be measured.
if (CHECKPOINT === 'off') CheckpointPlace.prototype.open = () => Promise.resolve(undefined);

let words = 0;
function build(): StreamingContext {
  const context = new StreamingContext({ appName: 'words', batchInterval: Seconds(1), startReport: false });
  context
    .sourceStream(new GeneratedSource(lines, lineOf))
    .flatMap((line) => line.split(' '))
    .map((word): [string, number] => [word, 1])
    .reduceByKey((a, b) => a + b)
    .updateStateByKey((values, before: number | undefined) => {
      let total = before ?? 0;
      for (const value of values) total += value;
      return total;
    })
    .foreachRDD(async (rdd) => {
      words = await rdd.count();
    });
  return context;
}

const ssc =
  CHECKPOINT === 'off'
    ? build()
    : await StreamingContext.getOrCreate(new DistantStore(new MemoryStore(), new SystemRandom(), 10, 30), build);
let done = 0;
let startedMs = 0;
let cpu = process.cpuUsage();
ssc.addStreamingListener({
  onBatchCompleted: ({ failureReason }) => {
    if (failureReason !== undefined) throw new Error(failureReason);
    done += 1;
    if (done === warm) {
      startedMs = performance.now();
      cpu = process.cpuUsage();
    }
    if (done < batches) return;
    const { user, system } = process.cpuUsage(cpu);
    const run = { ms: performance.now() - startedMs, cpuUs: user + system, events: lines * (batches - warm), words };
    process.send?.(run, undefined, {}, () => process.exit(0));
  },
});
await ssc.start();
await ssc.awaitTermination();
