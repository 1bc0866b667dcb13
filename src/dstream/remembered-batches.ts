import { TidemarkError } from '../base/errors.ts';
import { type Duration, Time } from '../base/time.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { Batch } from './batch.ts';
import type { StreamNode } from './stream-node.ts';

/**
 * Batches of the near past whose RDDs can still be read: what `remember` promises and `slice` gives.
 *
 * A source may forget the rows of a batch once it is committed, and state moves on. So the rows of every RDD that a
 * remembered batch has generated are kept in memory before it commits. A restart remembers nothing: batches from
 * before it were the business of another process.
 */
export class RememberedBatches {
  #rememberMs: number | undefined;
  #batches: Batch[] = [];

  /** @throws OPTION_INVALID when called twice, as in Spark. */
  remember(duration: Duration): void {
    if (duration.milliseconds <= 0) {
      throw new TidemarkError('OPTION_INVALID', `remember(${duration}): the duration must be positive.`);
    }
    if (this.#rememberMs !== undefined) {
      throw new TidemarkError(
        'OPTION_INVALID',
        `remember(${duration}): the context remembers ${this.#rememberMs} ms already; call remember() once.`,
      );
    }
    this.#rememberMs = duration.milliseconds;
  }

  get isActive(): boolean {
    return this.#rememberMs !== undefined;
  }

  /** Before the batch commits: computes and keeps every row it has generated, and those of the sources. */
  async keepRows(batch: Batch, sources: readonly StreamNode<unknown>[]): Promise<void> {
    if (!batch.isRemembered) return;
    for (const source of sources) source.rdd(batch);
    for (const rdd of batch.generated()) {
      if (!rdd.isFullyKept) await rdd.count();
    }
  }

  /** After the commit: the batch can be read, and those that are too old are let go. */
  add(batch: Batch): void {
    if (this.#rememberMs === undefined) return;
    this.#batches.push(batch);
    const oldestMs = batch.timeMs - this.#rememberMs;
    const forgotten = this.#batches.filter(({ timeMs }) => timeMs <= oldestMs);
    this.#batches = this.#batches.filter(({ timeMs }) => timeMs > oldestMs);
    for (const old of forgotten) for (const rdd of old.generated()) rdd.unpersist();
  }

  /** The RDDs of `stream` in [from, to], both floored to its slide. @throws STATUS_INVALID */
  slice<T>(stream: StreamNode<T>, from: Time, to: Time): RDD<T>[] {
    const last = this.#batches.at(-1);
    if (this.#rememberMs === undefined || last === undefined) {
      throw new TidemarkError(
        'STATUS_INVALID',
        `slice: the stream '${stream.operator}' has not been initialized or remembers nothing. Call remember(duration) ` +
          'before start(), and slice() once a batch is through.',
      );
    }
    const zero = new Time(last.zeroTimeMs);
    const first = this.#floor(from, zero, stream.slideMs);
    const end = this.#floor(to, zero, stream.slideMs);
    const rdds: RDD<T>[] = [];
    for (let timeMs = first; timeMs <= end; timeMs += stream.slideMs) {
      if (timeMs <= last.zeroTimeMs) continue;
      const batch = this.#batches.find((candidate) => candidate.timeMs === timeMs);
      if (batch === undefined) throw this.#notRemembered(stream, timeMs);
      const rdd = stream.rdd(batch);
      if (rdd !== undefined) rdds.push(rdd);
    }
    return rdds;
  }

  #floor(time: Time, zero: Time, slideMs: number): number {
    const sinceZero = time.milliseconds - zero.milliseconds;
    return Math.floor(sinceZero / slideMs) * slideMs + zero.milliseconds;
  }

  #notRemembered(stream: StreamNode<unknown>, timeMs: number): TidemarkError {
    const { timeMs: newestMs } = this.#batches.at(-1)!;
    const { timeMs: oldestMs } = this.#batches[0]!;
    return new TidemarkError(
      'STATUS_INVALID',
      `slice: the batch of ${timeMs} ms of stream '${stream.operator}' is not remembered; those of ${oldestMs} ms to ` +
        `${newestMs} ms are. Batches that have not run yet have no rows; for older ones call remember() with more.`,
    );
  }
}
