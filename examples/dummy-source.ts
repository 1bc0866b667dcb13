/**
 * The custom receiver of the Azure HDInsight article on Spark Streaming: a counter and the time every 5 seconds, in batches
 * of 30 seconds, seen through a window of one minute.
 *
 *   node examples/dummy-source.ts
 *   node examples/dummy-source.ts --every 200ms --batch 1s --window 3s --duration 5s
 */
import { parseArgs } from 'node:util';
import { type Duration, Milliseconds, Receiver, StreamingContext } from '../src/index.ts';

/** Stores a counter and the time, again and again. */
class DummySource extends Receiver<readonly [value: number, timeMs: number]> {
  readonly #every: Duration;
  #counter = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(every: Duration) {
    super();
    this.#every = every;
  }

  override onStart(): void {
    const next = (): void => {
      // What cannot be stored is told to the listeners.
      this.storeAll([[this.#counter, Date.now()]]).catch(() => {});
      this.#counter += 1;
    };
    next();
    this.#timer = setInterval(next, this.#every.milliseconds);
  }

  override onStop(): void {
    clearInterval(this.#timer);
  }
}

const { values } = parseArgs({
  options: {
    every: { type: 'string', default: '5s' },
    batch: { type: 'string', default: '30s' },
    window: { type: 'string', default: '1m' },
    /** Without it the example runs until Ctrl-C. */
    duration: { type: 'string' },
  },
});

/** `200ms`, `5s` or `1m`. */
function duration(name: string, text: string): Duration {
  const [, count, unit] = /^(\d+)(ms|s|m)$/.exec(text) ?? [];
  const unitMs = { ms: 1, s: 1000, m: 60_000 }[unit ?? ''];
  if (unitMs !== undefined && Number(count) > 0) return Milliseconds(Number(count) * unitMs);
  console.error(`--${name} is '${text}'; give a time such as 200ms, 5s or 1m.`);
  process.exit(2);
}

const ssc = new StreamingContext({ appName: 'dummy-source', batchInterval: duration('batch', values.batch) });
const stream = ssc.receiverStream(new DummySource(duration('every', values.every)));

// The numbers of each batch, as they come.
stream.map(([value, timeMs]) => `${value} at ${new Date(timeMs).toISOString()}`).print(100);

// What the window of the last minute holds, once per batch.
stream.window(duration('window', values.window)).foreachRDD(async (rdd, time) => {
  const numbers = (await rdd.collect()).map(([value]) => value);
  const shown = numbers.length === 0 ? 'nothing' : `${numbers.length} numbers, ${numbers[0]} to ${numbers.at(-1)}`;
  console.log(`window up to ${new Date(time.milliseconds).toISOString()}: ${shown}`);
});

await ssc.start();
if (values.duration !== undefined) {
  await ssc.awaitTerminationOrTimeout(duration('duration', values.duration));
  await ssc.stop({ graceful: true });
}
await ssc.awaitTermination();
