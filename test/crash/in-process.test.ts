import { beforeAll, describe, expect, test } from 'vitest';
import { type CrashPoint, crashPoints } from '../../src/base/crash-points.ts';
import { allRows, type Crash, type Outcome, runScenario } from './crash-scenario.ts';

const often = { manifestEveryRecords: 4, retainManifests: 1, silenceThresholdMs: 1000 };
// Its foreachRDD makes batches wait for each other; pipelined.test.ts has groups.
const variants = [
  { name: 'deltas inline', checkpoint: often, absent: ['commit:segments-written', 'commit:grouped'] as CrashPoint[] },
  {
    name: 'deltas in segments',
    checkpoint: { ...often, inlineBytesMax: 64, segmentBytesMax: 200 },
    absent: ['commit:grouped'] as CrashPoint[],
  },
];
const occurrences = [1, 2, 7, 13];
const recoveryPoints = crashPoints.filter((point) => point.startsWith('recovery:'));
const laterPoints = crashPoints.filter((point) => !point.startsWith('recovery:'));

describe.each(variants)('$name', ({ checkpoint, absent }) => {
  let uninterrupted: Outcome;
  beforeAll(async () => {
    uninterrupted = await runScenario([], checkpoint);
  });

  function expectSame(outcome: Outcome): void {
    expect(outcome.published).toEqual(uninterrupted.published);
    expect(outcome.written).toEqual(uninterrupted.written);
    expect(outcome.fingerprints).toEqual(uninterrupted.fingerprints);
    expect(outcome.lastBatchTimeMs).toBe(uninterrupted.lastBatchTimeMs);
  }

  async function expectRecovered(crashes: readonly Crash[]): Promise<void> {
    const outcome = await runScenario(crashes, checkpoint);
    expectSame(outcome);
    const [crash] = crashes;
    const happens = crash !== undefined && (uninterrupted.passed.get(crash.point) ?? 0) >= crash.occurrence;
    expect(outcome.crashes).toBe(happens ? 1 : 0);
  }

  test('an uninterrupted run passes every crash point and publishes every kind of output', () => {
    expect(crashPoints.filter((point) => !uninterrupted.passed.has(point))).toEqual(absent);
    const outputs = new Set(Object.keys(uninterrupted.published).map((name) => name.split('/')[0]));
    expect(outputs).toEqual(new Set(['sums-out', 'sliding-out', 'recent-out', 'rows-out']));
    expect(Object.keys(uninterrupted.written)).toHaveLength(24);
    expect(uninterrupted.lastBatchTimeMs).toBe(24_000);
  });

  test('a second uninterrupted run leaves the same behind', () => expectRecovered([]));

  describe.each(crashPoints.filter((point) => !absent.includes(point)))('%s', (point) => {
    test.each(occurrences)('killed at occurrence %i > everything equals the uninterrupted run', async (occurrence) => {
      await expectRecovered([{ point, occurrence }]);
    });
  });

  describe.each(laterPoints.filter((point) => !absent.includes(point)))('%s, then again', (point) => {
    test.each(recoveryPoints)(
      'killed during recovery at %s > everything equals the uninterrupted run',
      async (again) => {
        const outcome = await runScenario(
          [
            { point, occurrence: point === 'stop:before-drain' ? 1 : 3 },
            { point: again, occurrence: 1 },
            { point: again, occurrence: 1 },
          ],
          checkpoint,
        );
        expectSame(outcome);
        expect(outcome.crashes).toBe(3);
      },
    );
  });

  describe('down for 2.5 batches', () => {
    test.each(laterPoints)('after a kill at %s > every row is counted once and replays repeat', async (point) => {
      const crashes = [2, 4, 3].map((occurrence) => ({ point, occurrence }));
      const outcome = await runScenario(crashes, checkpoint, 2500);
      const objects = Object.entries(outcome.published).filter(([name]) => name.startsWith('rows-out/'));
      expect(objects.flatMap(([, content]) => content.trimEnd().split('\n')).sort()).toEqual(allRows());
    });
  });
});
