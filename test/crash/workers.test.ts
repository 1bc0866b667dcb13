import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CrashPoint, crashPoints } from '../../src/base/crash-points.ts';
import { shareCompiledCode } from '../support/compile-cache.ts';
import { type Crash, type Outcome, runScenario } from './crash-scenario.ts';

shareCompiledCode();

const checkpoint = { manifestEveryRecords: 4, retainManifests: 1, silenceThresholdMs: 1000 };
const inSegments = { ...checkpoint, inlineBytesMax: 64, segmentBytesMax: 200 };
// See in-process.test.ts.
const notPassed: readonly CrashPoint[] = ['commit:grouped'];
const isOfRecovery = (point: CrashPoint): boolean => point.startsWith('recovery:');
const points = crashPoints.filter((point) => !notPassed.includes(point));
/** Drivers die one after the other: at a point of the batches, and the next one at a point of its recovery. */
const crashes: readonly Crash[] = points
  .filter((point) => !isOfRecovery(point))
  .flatMap((point, i) => {
    const recovery = points.filter(isOfRecovery)[i];
    return [point, recovery].flatMap((of) => (of === undefined ? [] : [{ point: of, occurrence: 1 }]));
  });

describe('drivers with two worker threads that die one after the other, at every crash point', () => {
  const threads: Worker[] = [];
  const note = (thread: Worker): number => threads.push(thread);
  let inProcess: Outcome;
  beforeAll(async () => {
    inProcess = await runScenario([], inSegments);
    process.on('worker', note);
  });
  afterAll(() => process.off('worker', note));

  test.each([
    { born: 'workers', crashes },
    { born: 'driver', crashes: crashes.filter((_, i) => i % 5 === 2) },
  ] as const)(
    'rows read by $born > everything equals an uninterrupted run in process',
    async ({ born, crashes }) => {
      const outcome = await runScenario(crashes, inSegments, 0, { master: 'local[2]', born });
      expect(outcome.crashes).toBe(crashes.length);
      expect(outcome.published).toEqual(inProcess.published);
      expect(outcome.written).toEqual(inProcess.written);
      expect(outcome.fingerprints).toEqual(inProcess.fingerprints);
      expect(outcome.lastBatchTimeMs).toBe(inProcess.lastBatchTimeMs);
    },
    120_000,
  );

  test('no thread outlives its driver', () => {
    expect(threads.length).toBeGreaterThan(2 * crashes.length);
    expect(threads.filter(({ threadId }) => threadId !== -1)).toEqual([]);
  });
});
