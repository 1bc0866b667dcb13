import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { CheckpointOptions } from '../../../src/checkpoint/checkpoint-options.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import type { Sink } from '../../../src/sinks/sink.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { DrivenStream } from '../../support/driven-stream.ts';

export type CheckpointSettings = Partial<CheckpointOptions>;

/** Records only, for a while; deltas of every size. */
export const recordsOnly: CheckpointSettings = { manifestEveryRecords: 1000 };
/** Segments, manifests with bases and deltas, and a floor that follows soon. */
export const everything: CheckpointSettings = {
  inlineBytesMax: 60,
  segmentBytesMax: 150,
  manifestEveryRecords: 5,
  silenceThresholdMs: 2_000,
};

export const keyCount = 7;

/** Key and value of the row that arrives at `second`. Every key repeats, no value does. */
export function rowAt(second: number): readonly [string, number] {
  return [`k${(second * second + second) % keyCount}`, second];
}

/** A program with a running count, a state with a timeout and a window; two rows per second, on two partitions. */
export function defineProgram(ssc: StreamingContext, sink: Sink<unknown> = quietSink(), lastSecond = 400): void {
  const topic = new MemoryTopic<readonly [string, number]>('pairs', 2);
  for (let t = 1; t <= lastSecond; t++) topic.send(t * 1000, t % 2, rowAt(t), ['every', 1]);
  const rows = ssc.sourceStream(topic.source(), { uid: 'pairs' });
  rows
    .updateStateByKey(
      (values, state: { readonly sum: number; readonly n: number } | undefined) => {
        const sum = values.reduce((total, value) => total + value, state?.sum ?? 0);
        return { sum, n: (state?.n ?? 0) + values.length };
      },
      { uid: 'sums' },
    )
    .saveTo(sink, { uid: 'out' });
  rows
    .mapWithState(
      StateSpec.function((_key: string, value: number | undefined, state: State<number>) => {
        if (value !== undefined) state.update(value);
        return value;
      }).timeout(Seconds(4)),
      { uid: 'latest' },
    )
    .foreachRDD(() => {});
  rows
    .reduceByKeyAndWindow(
      (a, b) => a + b,
      (a, b) => a - b,
      Seconds(6),
      Seconds(2),
      { uid: 'recent' },
    )
    .foreachRDD(() => {});
}

export function quietSink(): Sink<unknown> {
  return {
    sinkClass: 'staged',
    kind: 'quiet',
    guarantee: 'exactly once',
    description: 'nowhere',
    open: async () => {},
    stage: async ({ batchId }) => ({ batchId }),
    publish: async () => {},
    close: async () => {},
  };
}

/** Runs the program on a store, one driver after the other, each to its end. */
export class Run {
  readonly clock: ManualClock;
  readonly store: ObjectStore;
  #lives = 0;

  constructor(store?: ObjectStore, startMs = 0) {
    this.clock = new ManualClock(startMs);
    this.store = store ?? new MemoryStore({ clock: this.clock });
  }

  async start(checkpoint: CheckpointSettings, define = defineProgram): Promise<DrivenStream> {
    const context = await StreamingContext.getOrCreate(this.store, () => {
      this.#lives += 1;
      const ssc = new StreamingContext({
        appName: 'inspected',
        batchInterval: Seconds(1),
        defaultParallelism: 2,
        checkpoint,
        environment: {
          clock: this.clock,
          random: new SeededRandom(this.#lives),
          print: () => {},
          warn: () => {},
          // A test that fails leaves its context; the others must not fail for it.
          allowSeveral: true,
        },
      });
      define(ssc);
      return ssc;
    });
    const driven = new DrivenStream(context, this.clock, 1000);
    await context.start();
    return driven;
  }

  /** One driver up to `timeMs`, stopped between two batches. */
  async to(timeMs: number, checkpoint: CheckpointSettings, define = defineProgram): Promise<void> {
    const driven = await this.start(checkpoint, define);
    await driven.runTo(timeMs);
    await driven.stop();
  }
}

export type Objects = ReadonlyMap<string, Uint8Array>;

export async function objectsOf(store: ObjectStore): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for await (const { name } of store.list('')) {
    const outcome = await store.get(name);
    if (outcome.status === 'found') objects.set(name, outcome.bytes);
  }
  return objects;
}

/** A store that holds exactly these objects. */
export async function storeOf(objects: Objects): Promise<MemoryStore> {
  const store = new MemoryStore({ clock: new ManualClock(1_000_000) });
  for (const [name, bytes] of objects) await store.putIfAbsent(name, bytes, 'a'.repeat(32));
  return store;
}

export function changed(objects: Objects, name: string, bytes: Uint8Array | undefined): Map<string, Uint8Array> {
  const copy = new Map(objects);
  if (bytes === undefined) copy.delete(name);
  else copy.set(name, bytes);
  return copy;
}

/** One byte with one bit turned. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = new Uint8Array(bytes);
  copy[at]! ^= 0x10;
  return copy;
}
