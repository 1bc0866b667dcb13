import { ManualClock } from '../../../src/base/clock.ts';
import type { CrashHook } from '../../../src/base/crash-points.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Seconds } from '../../../src/base/time.ts';
import type { StreamingContextOptions } from '../../../src/execution/context-options.ts';
import type { SinkBatch, StagedSink } from '../../../src/sinks/sink.ts';
import type { Source } from '../../../src/sources/source.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { DrivenStream } from '../../support/driven-stream.ts';

export interface LifeOptions extends Partial<Omit<StreamingContextOptions, 'environment'>> {
  readonly crashHook?: CrashHook | undefined;
  readonly store?: ObjectStore | undefined;
}

/** A manual clock and a store that outlive the drivers of one stream, one driver after the other. */
export class TestStream {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly printed: string[] = [];
  readonly warnings: string[] = [];
  #lives = 0;

  constructor(startMs = 0) {
    this.clock = new ManualClock(startMs);
    this.store = new MemoryStore({ clock: this.clock });
  }

  /** A context of its own, without a checkpoint. */
  context({ crashHook, store: _, ...options }: LifeOptions = {}): StreamingContext {
    this.#lives += 1;
    return new StreamingContext({
      appName: 'engine-test',
      batchInterval: Seconds(1),
      defaultParallelism: 2,
      ...options,
      environment: {
        clock: this.clock,
        random: new SeededRandom(this.#lives),
        crashHook,
        print: (text) => this.printed.push(text),
        warn: (text) => this.warnings.push(text),
        allowSeveral: true,
      },
    });
  }

  /** A driver of the stream in the store, not started. */
  async open(define: (ssc: StreamingContext) => void, options: LifeOptions = {}): Promise<DrivenStream> {
    const context = await StreamingContext.getOrCreate(options.store ?? this.store, () => {
      const ssc = this.context(options);
      define(ssc);
      return ssc;
    });
    return new DrivenStream(context, this.clock, options.batchInterval?.milliseconds ?? 1000);
  }

  async start(define: (ssc: StreamingContext) => void, options: LifeOptions = {}): Promise<DrivenStream> {
    const driven = await this.open(define, options);
    await driven.context.start();
    return driven;
  }

  /** Name to content of everything in the store. */
  async objects(): Promise<Map<string, Uint8Array>> {
    return objectsOf(this.store);
  }
}

export async function objectsOf(store: ObjectStore): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for await (const { name } of store.list('')) {
    const outcome = await store.get(name);
    if (outcome.status === 'found') objects.set(name, outcome.bytes);
  }
  return objects;
}

/** What is published, in memory: outlives the drivers, as a folder would. */
export class Shelf {
  readonly published = new Map<string, readonly unknown[]>();
  staged = 0;
  failPublish: Error | undefined;

  /** A sink for one driver. */
  sink(name = 'shelf'): StagedSink<unknown> {
    return {
      sinkClass: 'staged',
      kind: 'shelf',
      guarantee: 'exactly once',
      description: `shelf ${name}`,
      open: async () => {},
      stage: async ({ batchTimeMs }: SinkBatch, partitions) => {
        this.staged += 1;
        return { key: `${name}@${batchTimeMs}`, rows: partitions.flat() };
      },
      publish: async (handle) => {
        if (this.failPublish !== undefined) throw this.failPublish;
        const { key, rows } = handle as { key: string; rows: unknown[] };
        this.published.set(key, rows);
      },
      close: async () => {},
    };
  }
}

/** The error a promise rejects with; fails the test when it resolves. */
export async function errorOf(promise: Promise<unknown>): Promise<TidemarkError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof TidemarkError) return error;
    throw new Error(`Not a TidemarkError: ${String(error)}`, { cause: error });
  }
  throw new Error('It resolved.');
}

/** Lets everything run that does not wait for the clock. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

export function sum(a: number, b: number): number {
  return a + b;
}

export function difference(a: number, b: number): number {
  return a - b;
}

/** A source on a MemoryTopic whose calls can be held up and made to fail. */
export function wrapped<T>(topic: MemoryTopic<T>, changes: (source: Source<T>) => Partial<Source<T>>): Source<T> {
  const source = topic.source();
  const changed = changes(source);
  return new Proxy(source, {
    get(target, name) {
      const value: unknown = name in changed ? changed[name as keyof Source<T>] : target[name as keyof Source<T>];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

export function numbers(partitions = 1, until = 20): MemoryTopic<number> {
  const topic = new MemoryTopic<number>('numbers', partitions);
  for (let t = 1; t <= until; t++) topic.send(t * 1000, t % partitions, t);
  return topic;
}
