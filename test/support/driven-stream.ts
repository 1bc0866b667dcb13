import type { ManualClock } from '../../src/base/clock.ts';
import type { BatchInfo, RecoveryInfo } from '../../src/observe/streaming-listener.ts';
import type { StreamingContext } from '../../src/streaming-context.ts';

/** Steps a context on a manual clock, batch by batch: time moves only when the batch of the moment is through. */
export class DrivenStream {
  readonly context: StreamingContext;
  readonly batches: BatchInfo[] = [];
  recovery: RecoveryInfo | undefined;
  /** Of the stream, when the batch interval may be another one than in the driver before. */
  zeroTimeMs: number | undefined;
  readonly #clock: ManualClock;
  readonly #intervalMs: number;
  #wake: () => void = () => {};
  #ended = false;
  #error: unknown;

  constructor(context: StreamingContext, clock: ManualClock, intervalMs: number) {
    this.context = context;
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    context.addStreamingListener({
      onStreamingStarted: (info) => {
        this.recovery = info;
      },
      onBatchCompleted: (info) => {
        // A failed batch ends the stream, which tells why.
        if (info.failureReason !== undefined) return;
        this.batches.push(info);
        this.#wake();
      },
      onStreamingStopped: (error) => {
        this.#ended = true;
        this.#error = error;
        this.#wake();
      },
    });
  }

  get lastBatchTimeMs(): number {
    return this.batches.at(-1)?.batchTimeMs ?? this.recovery?.lastBatchTimeMs ?? 0;
  }

  /** Runs every batch up to `timeMs`. Rejects with what ended the stream. */
  async runTo(timeMs: number): Promise<void> {
    await this.#caughtUp(this.#clock.now());
    while (this.lastBatchTimeMs < timeMs) {
      const nextMs = this.#nextTimeMs();
      this.#clock.advanceTo(nextMs);
      await this.#caughtUp(nextMs);
    }
  }

  /** Between two batches: nothing more runs. */
  async stop(): Promise<void> {
    await this.context.stop();
    if (this.#error !== undefined) throw this.#error;
  }

  /** A graceful stop needs one more batch time to come. */
  async stopGracefully(): Promise<void> {
    const stopped = this.context.stop({ graceful: true });
    this.#clock.advanceTo(this.lastBatchTimeMs + this.#intervalMs);
    await stopped;
    if (this.#error !== undefined) throw this.#error;
  }

  #nextTimeMs(): number {
    const last = this.lastBatchTimeMs;
    const offset = this.zeroTimeMs === undefined ? 0 : (last - this.zeroTimeMs) % this.#intervalMs;
    return last - offset + this.#intervalMs;
  }

  async #caughtUp(nowMs: number): Promise<void> {
    while (this.#nextTimeMs() <= nowMs) {
      if (this.#ended) throw this.#error ?? new Error('The stream was stopped.');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#ended) throw this.#error ?? new Error('The stream was stopped.');
  }
}
