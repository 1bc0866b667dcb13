import { TidemarkError } from '../base/errors.ts';
import type { Duration, Time } from '../base/time.ts';
import type { RDD } from '../rdd/rdd.ts';
import type { RddContext } from '../rdd/rdd-context.ts';
import type { Batch } from './batch.ts';
import type { DataCheckpointNode } from './data-checkpoint.ts';
import type { StreamNode } from './stream-node.ts';

/**
 * Batches of the near past whose RDDs can still be read: what `remember` promises and `slice` gives.
 *
 * A source may forget the rows of a batch once it is committed, and state moves on. So the rows of every RDD that a
 * remembered batch has generated are kept in memory before it commits. A restart remembers nothing but the batches whose
 * rows a stream keeps in the checkpoint: see {@link DataCheckpointNode}.
 */
export class RememberedBatches {
  #rememberMs: number | undefined;
  #batches: Batch[] = [];
  readonly #checkpoints = new Map<StreamNode<unknown>, DataCheckpointNode<unknown>>();
  #stream: { readonly zeroTimeMs: number; readonly rdds: RddContext } | undefined;
  /** Of the newest committed batch. */
  #lastTimeMs = 0;

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

  get rememberMs(): number | undefined {
    return this.#rememberMs;
  }

  /** @throws GRAPH_INVALID when the stream has data checkpoints already */
  keepCheckpoints(stream: StreamNode<unknown>, make: () => DataCheckpointNode<unknown>): void {
    const other = this.#checkpoints.get(stream);
    if (other !== undefined) {
      throw new TidemarkError(
        'GRAPH_INVALID',
        `checkpoint: the stream '${stream.operator}' has the checkpoint interval ${other.slideMs} ms already.`,
      );
    }
    this.#checkpoints.set(stream, make());
  }

  /** The stream is taken over, and its state restored. */
  begin(stream: { readonly zeroTimeMs: number; readonly rdds: RddContext }, lastTimeMs: number): void {
    this.#stream = stream;
    this.#lastTimeMs = lastTimeMs;
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
    this.#lastTimeMs = batch.timeMs;
    if (this.#rememberMs === undefined) return;
    this.#batches.push(batch);
    const oldestMs = batch.timeMs - this.#rememberMs;
    const forgotten = this.#batches.filter(({ timeMs }) => timeMs <= oldestMs);
    this.#batches = this.#batches.filter(({ timeMs }) => timeMs > oldestMs);
    for (const old of forgotten) for (const rdd of old.generated()) rdd.unpersist();
  }

  /** The RDDs of `stream` in [from, to], both floored to its slide. @throws STATUS_INVALID */
  slice<T>(stream: StreamNode<T>, from: Time, to: Time): RDD<T>[] {
    const checkpoints = this.#checkpoints.get(stream) as DataCheckpointNode<T> | undefined;
    if (this.#stream === undefined || (this.#batches.length === 0 && checkpoints === undefined)) {
      throw new TidemarkError(
        'STATUS_INVALID',
        `slice: the stream '${stream.operator}' has not been initialized or remembers nothing. Call remember(duration) ` +
          'before start(), and slice() once a batch is through; or checkpoint(interval) on the stream.',
      );
    }
    const { zeroTimeMs, rdds: context } = this.#stream;
    const first = this.#floor(from, zeroTimeMs, stream.slideMs);
    const end = this.#floor(to, zeroTimeMs, stream.slideMs);
    const rdds: RDD<T>[] = [];
    for (let timeMs = first; timeMs <= end; timeMs += stream.slideMs) {
      if (timeMs <= zeroTimeMs) continue;
      const batch = this.#batches.find((candidate) => candidate.timeMs === timeMs);
      // What the running batch has put into the state may still fail.
      const stored =
        batch === undefined && timeMs <= this.#lastTimeMs
          ? checkpoints?.stored(timeMs, zeroTimeMs, context)
          : undefined;
      if (batch === undefined && stored === undefined) throw this.#notRemembered(stream, timeMs);
      const rdd = batch === undefined ? stored : stream.rdd(batch);
      if (rdd !== undefined) rdds.push(rdd);
    }
    return rdds;
  }

  #floor(time: Time, zeroTimeMs: number, slideMs: number): number {
    const sinceZero = time.milliseconds - zeroTimeMs;
    return Math.floor(sinceZero / slideMs) * slideMs + zeroTimeMs;
  }

  #notRemembered(stream: StreamNode<unknown>, timeMs: number): TidemarkError {
    const oldest = this.#batches[0];
    const newest = this.#batches.at(-1);
    const range =
      oldest && newest ? `those of ${oldest.timeMs} ms to ${newest.timeMs} ms are` : 'none is since the start';
    const { slideMs } = this.#checkpoints.get(stream) ?? {};
    const stored = slideMs === undefined ? '' : `, and of every ${slideMs} ms the newest are in the checkpoint`;
    return new TidemarkError(
      'STATUS_INVALID',
      `slice: the batch of ${timeMs} ms of stream '${stream.operator}' is not remembered; ${range}${stored}. ` +
        'Batches that have not run yet have no rows; for older ones call remember() with more.',
    );
  }
}
