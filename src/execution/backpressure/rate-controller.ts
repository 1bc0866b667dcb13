import type { BatchInfo } from '../../observe/streaming-listener.ts';
import type { RateControlled, Source } from '../../sources/source.ts';
import type { BackpressureSettings } from './options.ts';
import { PidRateEstimator } from './pid-rate-estimator.ts';

/**
 * Keeps the sources at the speed of the processing: after every batch, each source that can be slowed down is told the rate
 * that the batch suggests.
 *
 * Until the first estimate, also after a restart, the initial rate holds, if there is one. Batches that say nothing about
 * the speed of arriving data don't count: those that were missed while no driver ran (they take one after another what has
 * piled up, and their delay is that of the queue), and the one whose ranges an earlier driver had recorded.
 * Source: Spark's `RateController`.
 */
export class RateController {
  readonly #sources: readonly {
    readonly source: RateControlled;
    readonly estimator: PidRateEstimator;
    streamId: number;
  }[];
  readonly #initialRate: number | undefined;

  /** `sources`: all of the program, in order of definition. */
  constructor(sources: readonly Source<unknown>[], batchIntervalMs: number, settings: BackpressureSettings) {
    this.#initialRate = settings.initialRate;
    this.#sources = sources.flatMap((source, streamId) =>
      isRateControlled(source)
        ? [{ source, streamId, estimator: new PidRateEstimator(batchIntervalMs, settings.gains) }]
        : [],
    );
  }

  /** Before the sources are started. */
  begin(): void {
    if (this.#initialRate === undefined) return;
    for (const { source } of this.#sources) source.setRate(this.#initialRate);
  }

  batchCompleted(batch: BatchInfo): void {
    const wasMissed = batch.submissionTimeMs > batch.batchTimeMs;
    if (batch.replayed || wasMissed) return;
    for (const { source, streamId, estimator } of this.#sources) {
      const rate = estimator.compute({
        timeMs: batch.processingEndTimeMs,
        records: batch.streamIdToInputInfo[streamId]?.records ?? 0,
        // While a batch is on its way into the log, the next one is computed.
        processingDelayMs: batch.computingDelayMs,
        schedulingDelayMs: batch.schedulingDelayMs,
      });
      if (rate !== undefined) source.setRate(rate);
    }
  }
}

function isRateControlled(source: object): source is RateControlled {
  return 'setRate' in source && typeof source.setRate === 'function';
}
