import { TidemarkError, toError } from '../base/errors.ts';
import type { Driver } from './driver.ts';
import { runMicroBatch } from './micro-batch.ts';

/** Batch times from the next one on that have come already. */
export function batchesDue(driver: Driver, nextTimeMs: number): number {
  return Math.max(0, Math.floor((driver.ports.clock.now() - nextTimeMs) / driver.graph.batchIntervalMs) + 1);
}

/** How a loop was asked to end. */
export interface StopRequest {
  /** Run what has arrived before ending; else end as soon as the running batch can be left. */
  readonly graceful: boolean;
  /** Bound of a graceful end, from the request. */
  readonly timeoutMs: number;
}

/**
 * Runs batch after batch, each when its time has come, in order and one at a time, until it is stopped or fails.
 *
 * Batch times lie on the grid of the stream. Times that have passed, while no driver ran or while a batch took too long,
 * are run one after another without waiting: windows slide through them, as they would have.
 */
export class BatchLoop {
  readonly #driver: Driver;
  /** Ends waiting; its reason is the error when the loop fails from outside. */
  readonly #interrupt = new AbortController();
  readonly #cancelTasks: () => void;
  /** Batches due before it were not waiting for us but for a driver. */
  #readySinceMs = 0;
  #request: StopRequest | undefined;
  #failure: Error | undefined;

  /** `cancelTasks` makes the tasks of the running batch end with CANCELLED. */
  constructor(driver: Driver, cancelTasks: () => void) {
    this.#driver = driver;
    this.#cancelTasks = cancelTasks;
  }

  /** Asks `run` to end. A second request can only make the end sooner. */
  stop(request: StopRequest): void {
    if (this.#request === undefined || !request.graceful) this.#request = request;
    if (!request.graceful) this.#cancelTasks();
    this.#interrupt.abort();
  }

  /** A failure outside a batch, such as a stolen link. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#cancelTasks();
    this.#interrupt.abort();
  }

  /** Resolves when stopped; rejects with the first error. */
  async run(): Promise<void> {
    try {
      for (let timeMs = this.#firstTimeMs(); await this.#isDue(timeMs); timeMs = this.#nextTimeMs()) {
        await this.#runBatch(timeMs);
      }
      if (this.#request?.graceful) await this.#finish(this.#request);
    } catch (error) {
      const stopped = this.#request !== undefined && this.#failure === undefined && isCancelled(error);
      if (!stopped) throw this.#failure ?? toError(error);
    }
  }

  /** Waits for a batch time; false when the loop should end instead. */
  async #isDue(timeMs: number): Promise<boolean> {
    const { signal } = this.#interrupt;
    try {
      await this.#driver.ports.clock.waitUntil(timeMs, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.#request === undefined;
  }

  /** Runs the batches that take in what had arrived when the stop was asked for: at least one more. */
  async #finish(request: StopRequest): Promise<void> {
    const { clock } = this.#driver.ports;
    const deadlineMs = clock.now() + request.timeoutMs;
    let waiting = this.#backlog();
    do {
      const timeMs = this.#nextTimeMs();
      await clock.waitUntil(timeMs);
      const records = await this.#runBatch(timeMs);
      waiting = Math.min(waiting - records, this.#backlog());
      if (waiting > 0 && clock.now() > deadlineMs) {
        throw new TidemarkError(
          'STOP_TIMEOUT',
          `The graceful stop left ${waiting} records unprocessed after ${request.timeoutMs} ms. ` +
            'They are safe at the source and run at the next start; stop with a longer timeout to finish them.',
          { context: { records: waiting } },
        );
      }
    } while (waiting > 0 && this.#request?.graceful && this.#failure === undefined);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves with the rows the batch read. */
  #runBatch(timeMs: number): Promise<number> {
    return runMicroBatch(this.#driver, timeMs, Math.max(timeMs, this.#readySinceMs));
  }

  /** After a long absence only the newest missed batch times are run; the first of them takes all that has arrived. */
  #firstTimeMs(): number {
    const { graph, ports, settings, recordedPlan } = this.#driver;
    this.#readySinceMs = ports.clock.now();
    const nextMs = this.#nextTimeMs();
    const passedOver = batchesDue(this.#driver, nextMs) - settings.catchUpBatchesMax;
    return recordedPlan === undefined && passedOver > 0 ? nextMs + passedOver * graph.batchIntervalMs : nextMs;
  }

  #nextTimeMs(): number {
    const { graph, lastBatch, recordedPlan } = this.#driver;
    return recordedPlan?.batchTimeMs ?? lastBatch.batchTimeMs + graph.batchIntervalMs;
  }

  #backlog(): number {
    return this.#driver.graph.sources.reduce((sum, { source }) => sum + source.backlog(), 0);
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof TidemarkError && error.kind === 'cancelled';
}
