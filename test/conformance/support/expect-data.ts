import { expect } from 'vitest';
import type { SparkCase } from './cases.ts';
import { comparable, expectedBatches } from './compare.ts';
import type { Seen, SeenBatch } from './run-pipeline.ts';

function rowsOf(batches: readonly SeenBatch[], { compare, operation }: SparkCase): unknown[][] {
  return batches.map(({ partitions }) => comparable(partitions.flat(), compare, operation));
}

/** What a data case gave, in each of its lives, is what Spark gives. */
export function expectData(sparkCase: SparkCase, lives: readonly Seen[]): void {
  const { compare, operation, expectedBeforeRestart, expectedAfterRestart, expectedPartitions } = sparkCase;
  const expected = (batches: unknown): unknown[][] => expectedBatches(batches as unknown[][], compare, operation);
  if (expectedBeforeRestart !== undefined && expectedAfterRestart !== undefined) {
    expect(rowsOf(lives[0]!.results, sparkCase)).toEqual(expected(expectedBeforeRestart));
    // Spark runs the last batch of the first life once more.
    expect(rowsOf(lives[1]!.results, sparkCase)).toEqual(expected(expectedAfterRestart.slice(1)));
    return;
  }
  const [seen] = lives;
  expect(rowsOf(seen!.results, sparkCase)).toEqual(expected(sparkCase.expected));
  if (expectedPartitions !== undefined) {
    expect(seen!.results.map(({ partitions }) => partitions.length)).toEqual(
      seen!.results.map((_, i) => expectedPartitions[i] ?? expectedPartitions.at(-1)),
    );
  }
  if (sparkCase.expectedStateSnapshots !== undefined) {
    const bag = { ...sparkCase, compare: 'bag' } as const;
    expect(rowsOf(seen!.snapshots, bag)).toEqual(expectedBatches(sparkCase.expectedStateSnapshots, 'bag', undefined));
  }
}
