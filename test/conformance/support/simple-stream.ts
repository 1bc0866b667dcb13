import { type DStream, Milliseconds, StreamingContext, type StreamingContextOptions } from '../../../src/index.ts';
import { ManualClock, MemoryStore, SeededRandom } from '../../../src/testing.ts';
import { DrivenStream } from '../../support/driven-stream.ts';
import { CaseSource } from './case-source.ts';
import { nextContext, nothing } from './threads-of-case.ts';

export interface SimpleStream {
  readonly ssc: StreamingContext;
  readonly driven: DrivenStream;
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly printed: string[];
}

export interface SimpleOptions extends Partial<StreamingContextOptions> {
  readonly batchMs?: number;
  readonly numPartitions?: number;
  /** Of an earlier life of the stream. */
  readonly after?: SimpleStream;
  readonly startMs?: number;
  readonly hasCheckpoint?: boolean;
}

/** A context on a manual clock whose source yields one of `batches` per batch; not started. */
export async function simpleStream<T>(
  batches: readonly (readonly T[] | null)[],
  define: (rows: DStream<T>, ssc: StreamingContext) => void,
  options: SimpleOptions = {},
): Promise<SimpleStream> {
  const threads = nextContext();
  if (threads.isOther) return nothing();
  const { batchMs = 1000, numPartitions = 2, startMs = 0, hasCheckpoint = true, after: before, ...given } = options;
  const after = threads.hasPast ? before : undefined;
  const rest = { ...given, ...threads.options };
  const clock = after?.clock ?? new ManualClock(startMs);
  const store = after?.store ?? new MemoryStore({ clock });
  const printed: string[] = [];
  const create = (): StreamingContext => {
    const ssc = new StreamingContext({
      appName: 'conformance',
      batchInterval: Milliseconds(batchMs),
      startReport: false,
      ...rest,
      environment: {
        clock,
        random: new SeededRandom(clock.now()),
        print: (text) => printed.push(text),
        ...rest.environment,
      },
    });
    define(ssc.sourceStream(new CaseSource(batches, numPartitions), { uid: 'rows' }), ssc);
    return ssc;
  };
  const ssc = hasCheckpoint ? await StreamingContext.getOrCreate(store, create) : create();
  return { ssc, driven: new DrivenStream(ssc, clock, batchMs), clock, store, printed };
}

/** Runs it for `count` batches and stops. */
export async function runFor(stream: SimpleStream, count: number, batchMs = 1000): Promise<void> {
  await stream.ssc.start();
  await stream.driven.runTo(stream.driven.lastBatchTimeMs + count * batchMs);
  await stream.driven.stop();
}

/** Everything a stream gives, by batch. */
export function collectInto<T>(stream: DStream<T>, batches: T[][]): void {
  stream.foreachRDD(async (rdd) => {
    batches.push(await rdd.collect());
  });
}
