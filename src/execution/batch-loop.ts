import { TidemarkError, toError } from '../base/errors.ts';
import type { SourcePlan } from '../sources/source.ts';
import { BatchReport } from './batch-report.ts';
import { batchTimeAfter } from './batch-times.ts';
import { CommitPipeline } from './commit-pipeline.ts';
import type { Driver } from './driver.ts';
import { runMicroBatch } from './micro-batch.ts';

/** How a loop was asked to end. */
export interface StopRequest {
  /** Run what has arrived before ending; else end as soon as the running batch can be left. */
  readonly graceful: boolean;
  /** Bound of a graceful end, from the request. */
  readonly timeoutMs: number;
}

/**
 * Computes batch after batch, each when its time has come, in order and one at a time, until it is stopped or fails; a few
 * of them may be on their way into the log meanwhile (CommitPipeline). However it ends, those are finished first.
 *
 * Batch times lie on the grid of the stream. Times that have passed, while no driver ran or while a batch took too long,
 * are run one after another without waiting: windows slide through them, as they would have. After a long absence only
 * the newest missed ones are run; the first of them takes all that has arrived.
 */
export class BatchLoop {
  readonly #driver: Driver;
  readonly #pipeline: CommitPipeline;
  /** Aborts as soon as an end is asked for: the next batch time is not waited for. */
  readonly #interrupt = new AbortController();
  /** Aborts when nothing more may run: a stop without grace, a graceful one out of time, a failure. */
  readonly #halt = new AbortController();
  readonly #cancelTasks: () => void;
  readonly #betweenBatches: () => Promise<void>;
  /** Batches due before it were not waiting for us but for a driver. */
  #readySinceMs = 0;
  #request: StopRequest | undefined;
  #isOutOfTime = false;
  #failure: Error | undefined;

  /** `cancelTasks` makes the tasks of the running batch end with CANCELLED. */
  constructor(driver: Driver, cancelTasks: () => void, betweenBatches: () => Promise<void> = async () => {}) {
    this.#driver = driver;
    this.#pipeline = new CommitPipeline(driver, (error) => this.fail(error));
    this.#cancelTasks = cancelTasks;
    this.#betweenBatches = betweenBatches;
  }

  /** Asks `run` to end. A second request can only make the end sooner. */
  stop(request: StopRequest): void {
    if (!request.graceful) {
      this.#request = request;
      this.#haltNow();
    } else if (this.#request === undefined) {
      this.#request = request;
      this.#interrupt.abort();
      this.#haltAfter(request.timeoutMs);
    }
  }

  /** A failure outside a batch, such as a stolen link. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#haltNow();
  }

  /** Resolves when stopped; rejects with the first error. */
  async run(): Promise<void> {
    this.#readySinceMs = this.#driver.ports.clock.now();
    try {
      let timeMs = this.#nextTimeMs();
      while (await this.#isDue(timeMs)) {
        await this.#runBatch(timeMs);
        await this.#betweenBatches();
        timeMs = this.#nextTimeMs();
      }
      if (this.#request?.graceful) await this.#finish(this.#request);
      await this.#pipeline.settled();
    } catch (error) {
      await this.#pipeline.settled().catch(() => {});
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#request === undefined || !isCancelled(error)) throw toError(error);
      if (this.#isOutOfTime) throw outOfTime(this.#request, 'its running batch and ', this.#backlog());
    } finally {
      this.#halt.abort();
    }
  }

  /** Waits for a batch time; false when the loop should end instead. */
  async #isDue(timeMs: number): Promise<boolean> {
    await this.#waitUntil(timeMs, this.#interrupt.signal);
    await this.#pipeline.room();
    if (this.#failure !== undefined) throw this.#failure;
    return this.#request === undefined;
  }

  /** Runs the batches that take in what had arrived when the stop was asked for: at least one more, if time allows. */
  async #finish(request: StopRequest): Promise<void> {
    const { signal } = this.#halt;
    await this.#drainSources(signal);
    let waiting = this.#unprocessed();
    do {
      const timeMs = this.#nextTimeMs();
      await this.#waitUntil(timeMs, signal);
      await this.#pipeline.room();
      if (signal.aborted) break;
      const records = await this.#runBatch(timeMs);
      waiting = Math.min(waiting - records, this.#unprocessed());
    } while (waiting > 0 && !signal.aborted);
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isOutOfTime && waiting > 0) throw outOfTime(request, '', waiting);
  }

  /** Receivers stop taking in data; what they hold becomes plannable. Left when no time is left. */
  async #drainSources(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
    const drained = Promise.all(this.#driver.graph.sources.map(({ source }) => source.drain?.()));
    await Promise.race([drained, aborted]);
    // Left behind, it must not end the process.
    drained.catch(() => {});
  }

  /** Resolves with the rows the batch read. */
  async #runBatch(timeMs: number): Promise<number> {
    const report = new BatchReport(this.#driver, timeMs, Math.max(timeMs, this.#readySinceMs));
    try {
      const records = await runMicroBatch(this.#driver, this.#pipeline, timeMs, report);
      // A batch may do without tasks and I/O: when it blocks and is late, nobody else would ever have a turn.
      const { turns } = this.#driver.rdds;
      if (turns.isOver) await turns.give();
      return records;
    } catch (error) {
      // The first error is what ends the stream, whatever becomes of the batches before it; they are finished first.
      if (this.#request === undefined || !isCancelled(error)) this.#failure ??= toError(error);
      await this.#pipeline.settled().catch(() => {});
      report.failed(error);
      throw error;
    }
  }

  #nextTimeMs(): number {
    const { lastBatch, recordedPlan } = this.#driver;
    return recordedPlan?.batchTimeMs ?? batchTimeAfter(this.#driver, lastBatch.batchTimeMs);
  }

  async #waitUntil(timeMs: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#driver.ports.clock.waitUntil(timeMs, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #haltNow(): void {
    this.#interrupt.abort();
    this.#halt.abort();
    this.#cancelTasks();
  }

  #haltAfter(ms: number): void {
    const { clock } = this.#driver.ports;
    clock.waitUntil(clock.now() + ms, this.#halt.signal).then(
      () => {
        this.#isOutOfTime = true;
        this.#haltNow();
      },
      () => {}, // The end came first.
    );
  }

  #backlog(): number {
    return this.#driver.graph.sources.reduce((sum, { source }) => sum + source.backlog(), 0);
  }

  /** Rows of a recorded plan that waits to be run have left the backlog of their source. */
  #unprocessed(): number {
    const plans = Object.values(this.#driver.recordedPlan?.sources ?? {}) as SourcePlan[];
    return plans.reduce((sum, { records }) => sum + records, this.#backlog());
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof TidemarkError && error.kind === 'cancelled';
}

function outOfTime({ timeoutMs }: StopRequest, running: string, records: number): TidemarkError {
  return new TidemarkError(
    'STOP_TIMEOUT',
    `The graceful stop left ${running}${records} records unprocessed after ${timeoutMs} ms. ` +
      'They are safe at the source and run at the next start; stop with a longer timeout to finish them.',
    { context: { records } },
  );
}
