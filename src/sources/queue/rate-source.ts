import type { Clock } from '../../base/clock.ts';
import { TidemarkError } from '../../base/errors.ts';
import { positiveInteger, requireKnownOptions } from '../../base/options.ts';
import type { PushChunk, Source, SourcePlan, SourceStart } from '../source.ts';

/** A row of Spark's rate source. */
export interface RateRow {
  /** 0, 1, 2 ... */
  readonly value: number;
  /** `value / rowsPerSecond` after the first start. */
  readonly timestampMs: number;
}

export interface RateOptions {
  /** Partitions of a batch, of about equal size. Default 1. */
  readonly numPartitions?: number | undefined;
}

/**
 * Numbers at a steady rate, for demos and tests: row `value` is stamped `value / rowsPerSecond` after the first start of the
 * stream, and belongs to the first batch in which the step to the next row is over. Any batch can be made again from its
 * range alone. Source: Spark's rate source.
 *
 * @throws OPTION_INVALID
 */
export function rateSource(rowsPerSecond: number, options: RateOptions = {}): Source<RateRow> {
  requireKnownOptions('A rate stream', options, ['numPartitions']);
  if (!Number.isFinite(rowsPerSecond) || rowsPerSecond <= 0) {
    throw new TidemarkError('OPTION_INVALID', `rowsPerSecond is ${rowsPerSecond}; give a number more than 0.`);
  }
  return new RateSource(rowsPerSecond, positiveInteger('numPartitions', options.numPartitions ?? 1));
}

interface RatePosition {
  readonly startMs: number;
  /** Value of the next row. */
  readonly next: number;
}

interface RateRange {
  readonly startMs: number;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

const chunkRows = 4096;

class RateSource implements Source<RateRow> {
  readonly kind = 'rate';
  readonly identity: Readonly<Record<string, string>>;
  readonly #rowsPerSecond: number;
  readonly #numPartitions: number;
  #clock: Clock | undefined;
  #position: RatePosition = { startMs: 0, next: 0 };

  constructor(rowsPerSecond: number, numPartitions: number) {
    this.#rowsPerSecond = rowsPerSecond;
    this.#numPartitions = numPartitions;
    // A recorded range means other rows at another rate.
    this.identity = { rowsPerSecond: String(rowsPerSecond) };
  }

  async start({ position, clock }: SourceStart): Promise<void> {
    this.#clock = clock;
    this.#position = (position as RatePosition | undefined) ?? { startMs: clock.now(), next: 0 };
  }

  position(): RatePosition {
    return this.#position;
  }

  async plan(batchTimeMs: number): Promise<SourcePlan> {
    const { startMs, next } = this.#position;
    const end = Math.max(next, this.#dueAt(batchTimeMs));
    const partitions = Array.from({ length: this.#numPartitions }, (_, i): RateRange => {
      const border = (n: number): number => next + Math.floor(((end - next) * n) / this.#numPartitions);
      return { startMs, from: border(i), to: border(i + 1) };
    });
    this.#position = { startMs, next: end };
    return { partitions, position: this.#position, records: end - next };
  }

  adopt(plan: SourcePlan): void {
    this.#position = plan.position as RatePosition;
  }

  async read(plan: SourcePlan, partition: number, push: PushChunk<RateRow>): Promise<void> {
    const { startMs, from, to } = plan.partitions[partition] as RateRange;
    for (let at = from; at < to; at += chunkRows) {
      const length = Math.min(chunkRows, to - at);
      await push(
        Array.from({ length }, (_, i) => ({ value: at + i, timestampMs: this.#timestampMs(startMs, at + i) })),
      );
    }
  }

  async startReading(): Promise<void> {}

  committed(): void {}

  backlog(): number {
    return this.#clock === undefined ? 0 : Math.max(0, this.#dueAt(this.#clock.now()) - this.#position.next);
  }

  async stop(): Promise<void> {}

  /** Rows that have fallen due by `timeMs`. */
  #dueAt(timeMs: number): number {
    const elapsedMs = timeMs - this.#position.startMs;
    return elapsedMs < 0 ? 0 : Math.floor((elapsedMs * this.#rowsPerSecond) / 1000);
  }

  #timestampMs(startMs: number, value: number): number {
    return startMs + Math.floor((value * 1000) / this.#rowsPerSecond);
  }
}
