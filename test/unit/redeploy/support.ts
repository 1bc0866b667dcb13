import { expect } from 'vitest';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import type { StreamStatus } from '../../../src/checkpoint/records.ts';
import type { DStream } from '../../../src/dstream/dstream.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { MemoryTopic } from '../../../src/testing/memory-topic.ts';
import { errorOf, type LifeOptions, TestStream } from '../engine/support.ts';

/** Rows of a batch by time in seconds. */
export type Seen = Map<number, Record<string, unknown>>;

/** A stream whose program changes from deploy to deploy. */
export class Deployed extends TestStream {
  readonly seen: Seen = new Map();

  /** One deploy: starts, runs the batches up to `toSeconds`, stops. */
  async run(define: (ssc: StreamingContext) => void, toSeconds: number, options: LifeOptions = {}): Promise<void> {
    const driven = await this.start(define, options);
    driven.zeroTimeMs = (await this.status()).zeroTimeMs;
    await driven.runTo(toSeconds * 1000);
    await driven.stop();
  }

  /** The table a start is refused with; asserts that it wrote nothing. */
  async refusal(define: (ssc: StreamingContext) => void, options: LifeOptions = {}): Promise<string> {
    const objects = await this.objects();
    const driven = await this.open(define, options);
    const error = await errorOf(driven.context.start());
    expect(error).toMatchObject({ code: 'CHECKPOINT_INCOMPATIBLE' });
    expect(await this.objects()).toEqual(objects);
    return error.message;
  }

  async status(): Promise<StreamStatus> {
    const found = await readCheckpoint(this.store);
    if (found === undefined) throw new Error('There is no stream.');
    return found.status;
  }

  /** An output that notes the pairs of each batch. */
  look(stream: DStream<readonly [string, unknown]>, seen: Seen = this.seen): void {
    stream.foreachRDD(async (rdd, time) => {
      seen.set(time.milliseconds / 1000, Object.fromEntries((await rdd.collect()).sort()));
    });
  }
}

/** One row every second: [k0 or k1, the second]. */
export function everySecond(until = 60): MemoryTopic<readonly [string, number]> {
  const topic = new MemoryTopic<readonly [string, number]>('pairs', 1);
  for (let t = 1; t <= until; t++) topic.send(t * 1000, 0, [`k${t % 2}`, t]);
  return topic;
}
