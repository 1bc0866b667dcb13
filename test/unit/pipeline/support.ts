import type { Clock } from '../../../src/base/clock.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import type { CrashHook } from '../../../src/base/crash-points.ts';
import { Milliseconds } from '../../../src/base/time.ts';
import type { LogRecord } from '../../../src/checkpoint/log-record.ts';
import { logName } from '../../../src/checkpoint/object-names.ts';
import { decodeRecord } from '../../../src/checkpoint/record-codec.ts';
import type { DStream } from '../../../src/dstream/dstream.ts';
import type { ContextCheckpointOptions } from '../../../src/execution/context-options.ts';
import type { BatchInfo } from '../../../src/observe/streaming-listener.ts';
import type { StagedSink } from '../../../src/sinks/sink.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ObjectStore, PutOutcome } from '../../../src/storage/object-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';

/** A store whose writes of records, segments and manifests are answered after `putMs`, having taken effect just before. */
export class SlowStore extends MemoryStore {
  readonly puts: { readonly name: string; readonly startMs: number }[] = [];
  readonly #clock: Clock;
  readonly #putMs: number;
  /** Called when a write would take effect; throws instead of the store. */
  onPut: (name: string) => void | Promise<void> = () => {};

  constructor(clock: Clock, putMs: number) {
    super({ clock });
    this.#clock = clock;
    this.#putMs = putMs;
  }

  override async putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    this.puts.push({ name, startMs: this.#clock.now() });
    await this.#clock.waitUntil(this.#clock.now() + this.#putMs);
    await this.onPut(name);
    return super.putIfAbsent(name, bytes, commitId);
  }

  async record(slot: number): Promise<LogRecord | undefined> {
    const outcome = await this.get(logName(slot));
    return outcome.status === 'found' ? decodeRecord(slot, outcome.bytes).record : undefined;
  }

  /** Of every batch record: the ids in it. */
  async groups(): Promise<readonly (readonly number[])[]> {
    const groups: number[][] = [];
    for (let slot = 1; ; slot++) {
      const record = await this.record(slot);
      if (record === undefined) return groups;
      if (record.kind === 'batch') groups.push(record.batches.map(({ batchId }) => batchId));
    }
  }
}

export interface TimedOptions {
  readonly intervalMs: number;
  readonly computeMs: number;
  readonly putMs: number;
  readonly checkpoint?: ContextCheckpointOptions;
  /** Adds to the program. */
  readonly define?: (ssc: StreamingContext) => void;
  readonly acts?: boolean;
}

/** Of one driver. */
export interface LifeOptions {
  /** What it uses instead of the store itself. */
  readonly store?: ObjectStore;
  readonly crashHook?: CrashHook;
}

/** What became visible, in order, and when. */
export interface Shown {
  readonly batchId: number;
  readonly timeMs: number;
}

/**
 * A program on simulated time: computing a batch takes `computeMs`, a write `putMs`, everything else nothing. Counts per key
 * and a sink that shows when a batch becomes visible.
 */
export class TimedStream {
  readonly clock = new ManualClock(0);
  readonly store: SlowStore;
  readonly topic = new MemoryTopic<readonly [string, number]>('pairs', 1);
  readonly shown: Shown[] = [];
  readonly completed: BatchInfo[] = [];
  readonly warnings: string[] = [];
  context!: StreamingContext;
  counts!: DStream<readonly [string, number]>;
  error: Error | undefined;
  isStopped = false;
  /** Called while a batch is being computed. */
  onCompute: (batchId: number) => void = () => {};
  readonly #options: TimedOptions;

  constructor(options: TimedOptions) {
    this.#options = options;
    this.store = new SlowStore(this.clock, options.putMs);
    for (let t = 1; t <= 2000; t++) this.topic.send(t * options.intervalMs, 0, [`k${t % 5}`, t]);
  }

  async start({ store = this.store, crashHook }: LifeOptions = {}): Promise<void> {
    const { intervalMs, checkpoint = {}, define, acts } = this.#options;
    this.isStopped = false;
    this.error = undefined;
    this.context = await this.#whileTimePasses(
      StreamingContext.getOrCreate(store, () => {
        const ssc = new StreamingContext({
          appName: 'timed',
          batchInterval: Milliseconds(intervalMs),
          defaultParallelism: 1,
          checkpoint: { manifestEveryRecords: 10_000, ...checkpoint },
          environment: {
            clock: this.clock,
            allowSeveral: true,
            crashHook,
            print: () => {},
            warn: (text) => this.warnings.push(text),
          },
        });
        const counts = ssc
          .sourceStream(this.topic.source(), { uid: 'pairs' })
          .updateStateByKey((values, count: number | undefined) => (count ?? 0) + values.length, { uid: 'counts' });
        this.counts = counts;
        counts.saveTo(this.#sink(), { uid: 'out' });
        if (acts) counts.foreachRDD(() => {});
        define?.(ssc);
        return ssc;
      }),
    );
    this.context.addStreamingListener({
      onBatchCompleted: (info) => {
        this.completed.push(info);
      },
      onStreamingStopped: (error) => {
        this.error = error;
        this.isStopped = true;
      },
    });
    await this.#whileTimePasses(this.context.start());
  }

  /** Lets time pass, a millisecond after the other. */
  async runTo(timeMs: number): Promise<void> {
    for (;;) {
      await settle();
      if (this.clock.now() >= timeMs) return;
      this.clock.advanceBy(1);
    }
  }

  async stop(graceful = false): Promise<void> {
    await this.#whileTimePasses(this.context.stop({ graceful }));
  }

  /** Until it has ended by itself. */
  async ended(): Promise<void> {
    for (let ms = 0; !this.isStopped; ms++) {
      if (ms > 100_000) throw new Error('It does not end.');
      await settle();
      this.clock.advanceBy(1);
    }
  }

  #sink(): StagedSink<unknown> {
    return {
      sinkClass: 'staged',
      kind: 'shown',
      guarantee: 'exactly once',
      description: 'shown',
      stage: async ({ batchId }) => {
        this.onCompute(batchId);
        await this.clock.waitUntil(this.clock.now() + this.#options.computeMs);
        return batchId;
      },
      publish: async (handle) => {
        this.shown.push({ batchId: handle as number, timeMs: this.clock.now() });
      },
    };
  }

  async #whileTimePasses<R>(work: Promise<R>): Promise<R> {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    while (!isDone) {
      await settle();
      if (!isDone) this.clock.advanceBy(1);
    }
    return done;
  }
}

/** Everything that can happen without time passing has happened. */
async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}
