import type { CheckpointCommitInfo } from './checkpoint-metrics.ts';
import type { BatchInfo, StreamingListener } from './streaming-listener.ts';

const shares = [0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1];

/**
 * Prints how the delays of the last batches are distributed, after every batch. Failed batches don't count. With a
 * checkpoint also how long commits take, and what a batch costs in it.
 * Source: Spark's `StatsReportListener`, which has nothing of the latter.
 */
export class StatsReportListener implements StreamingListener {
  readonly #batchesMax: number;
  readonly #print: (text: string) => void;
  #batches: BatchInfo[] = [];
  #commits: CheckpointCommitInfo[] = [];

  /** Of the last `batches`; `print` defaults to standard output. */
  constructor(batches = 10, print: (text: string) => void = (text) => console.log(text)) {
    this.#batchesMax = Math.max(1, Math.trunc(batches));
    this.#print = print;
  }

  onCheckpointCommitted(info: CheckpointCommitInfo): void {
    this.#commits = [...this.#commits, info].slice(-this.#batchesMax);
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
      ...describeCommits(this.#commits),
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

/** From the moment a batch was ready until its record was durable. */
function describeCommits(commits: readonly CheckpointCommitInfo[]): string[] {
  if (commits.length === 0) return [];
  const sumOf = (numbers: Iterable<number>): number => [...numbers].reduce((sum, number) => sum + number, 0);
  const batches = sumOf(commits.map(({ groupSize }) => groupSize));
  const bytes = sumOf(commits.flatMap((commit) => Object.values(commit.bytes)));
  const requests = sumOf(commits.flatMap(({ operations }) => Object.values(operations)));
  return [
    ...describe(
      'Commit time',
      commits.map(({ waitMs, encodeMs, uploadMs }) => waitMs + encodeMs + uploadMs),
    ),
    `Checkpoint: ${Math.round(bytes / batches).toLocaleString('en-US')} bytes and ${(requests / batches).toFixed(1)} requests per batch`,
  ];
}

function formatMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${(ms / 60_000).toFixed(1)} min`;
}
