import type { BatchInfo, StreamingListener } from './streaming-listener.ts';

const shares = [0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1];

/**
 * Prints how the delays of the last batches are distributed, after every batch. Failed batches don't count.
 * Source: Spark's `StatsReportListener`.
 */
export class StatsReportListener implements StreamingListener {
  readonly #batchesMax: number;
  readonly #print: (text: string) => void;
  #batches: BatchInfo[] = [];

  /** Of the last `batches`; `print` defaults to standard output. */
  constructor(batches = 10, print: (text: string) => void = (text) => console.log(text)) {
    this.#batchesMax = Math.max(1, Math.trunc(batches));
    this.#print = print;
  }

  onBatchCompleted(info: BatchInfo): void {
    if (info.failureReason !== undefined) return;
    this.#batches = [...this.#batches, info].slice(-this.#batchesMax);
    const lines = [
      ...describe(
        'Total delay',
        this.#batches.map((batch) => batch.totalDelayMs),
      ),
      ...describe(
        'Processing time',
        this.#batches.map((batch) => batch.processingDelayMs),
      ),
    ];
    this.#print(lines.join('\n'));
  }
}

function describe(name: string, delaysMs: readonly number[]): string[] {
  const sorted = delaysMs.toSorted((a, b) => a - b);
  const mean = sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length;
  const deviation = Math.sqrt(sorted.reduce((sum, ms) => sum + (ms - mean) ** 2, 0) / sorted.length);
  return [
    `${name}: (count: ${sorted.length}, mean: ${formatMs(mean)}, stdev: ${formatMs(deviation)}, max: ${formatMs(sorted.at(-1)!)}, min: ${formatMs(sorted[0]!)})`,
    ['', ...shares.map((share) => `${Math.round(share * 100)}%`)].join('\t'),
    [
      '',
      ...shares.map((share) => formatMs(sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)]!)),
    ].join('\t'),
  ];
}

function formatMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${(ms / 60_000).toFixed(1)} min`;
}
