import { SystemRandom } from '../src/base/random.ts';
import { Milliseconds, outboxSink, type State, StateSpec, StreamingContext } from '../src/index.ts';
import type { Source, SourcePlan } from '../src/sources/source.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import { DistantStore } from './distant-store.ts';

/** The peer of peers/SparkInterval.java, with the same arguments but the folder of the checkpoint. */
const [, , intervalText, perSecondText, secondsText] = process.argv;
const [intervalMs, perSecond, seconds] = [Number(intervalText), Number(perSecondText), Number(secondsText)];
const devices = 1000;
/** Of the store, whatever it is asked. */
const answerMs = 5;

/** A batch has the events of its interval: as many as were due between its time and the one before. */
class TimedEvents implements Source<readonly [string, number]> {
  readonly kind = 'timed';
  readonly identity = {};
  #next = Math.floor((Date.now() * perSecond) / 1000);

  async start(): Promise<void> {}

  position(): number {
    return this.#next;
  }

  async plan(batchTimeMs: number): Promise<SourcePlan> {
    const from = this.#next;
    this.#next = Math.max(from, Math.floor((batchTimeMs * perSecond) / 1000));
    const middle = Math.floor((from + this.#next) / 2);
    const partitions = [
      { from, to: middle },
      { from: middle, to: this.#next },
    ];
    return { partitions, position: this.#next, records: this.#next - from };
  }

  adopt(): void {}

  async read(
    plan: SourcePlan,
    partition: number,
    push: (chunk: readonly (readonly [string, number])[]) => void,
  ): Promise<void> {
    const { from, to } = plan.partitions[partition] as { readonly from: number; readonly to: number };
    push(
      Array.from({ length: to - from }, (_, i) => [`device-${(from + i) % devices}`, ((from + i) % 400) / 10] as const),
    );
  }

  committed(): void {}

  backlog(): number {
    return 0;
  }

  async stop(): Promise<void> {}
}

const batches: (readonly [number, number, number, number])[] = [];
let untilMs: number | undefined;
const store = new DistantStore(new MemoryStore(), new SystemRandom(), answerMs, answerMs);
const ssc = await StreamingContext.getOrCreate(store, () => {
  const context = new StreamingContext({
    appName: 'interval',
    batchInterval: Milliseconds(intervalMs),
    defaultParallelism: 2,
    startReport: false,
  });
  context
    .sourceStream(new TimedEvents())
    .mapWithState(
      StateSpec.function((device: string, value: number | undefined, highest: State<number>) => {
        const now = Math.max(value ?? 0, highest.getOption() ?? 0);
        highest.update(now);
        return [device, now] as const;
      }),
    )
    .saveTo(outboxSink());
  return context;
});
ssc.addStreamingListener({
  onBatchCompleted: ({ batchTimeMs, processingStartTimeMs, processingEndTimeMs, failureReason }) => {
    if (failureReason !== undefined) throw new Error(failureReason);
    untilMs ??= processingEndTimeMs + seconds * 1000;
    const { user, system } = process.cpuUsage();
    batches.push([batchTimeMs, processingStartTimeMs - batchTimeMs, processingEndTimeMs - batchTimeMs, user + system]);
    if (processingEndTimeMs < untilMs) return;
    console.log(`RESULT ${JSON.stringify({ batches })}`);
    process.exit(0);
  },
});
await ssc.start();
await ssc.awaitTermination();
