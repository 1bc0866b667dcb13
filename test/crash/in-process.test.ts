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
/** Where each crash point stands in the table of docs/crash-matrix.md. */
const rowOf: Readonly<Record<CrashPoint, string>> = {
  'recovery:read': 'row 30: in the middle of a recovery',
  'recovery:before-fence': 'row 30: in the middle of a recovery',
  'recovery:fenced': 'row 30: in the middle of a recovery',
  'recovery:state-restored': 'row 30: in the middle of a recovery',
  'recovery:sinks-told': 'row 30: in the middle of a recovery',
  'recovery:republished': 'row 30: in the middle of a recovery',
  'recovery:sources-started': 'row 30: in the middle of a recovery',
  'batch:begin': 'row 2: the plan may be known, no work is done',
  'batch:planned': 'row 2: the plan may be known, no work is done',
  'batch:plan-recorded': 'row 2: the plan may be known, no work is done',
  'batch:state-advanced': 'row 3: in the middle of a batch',
  'batch:outputs-run': 'row 3: in the middle of a batch',
  'batch:staged': 'row 4: output staged, no record',
  'batch:sealed': 'row 4: output staged, no record',
  'commit:segments-written': 'row 5: segments uploaded, no record',
  'commit:manifest-written': 'row 17: a manifest uploaded, in no record',
  'commit:grouped': 'row 16: a record of several batches',
  'commit:before-record': 'row 6: the record not sent',
  'commit:record-written': 'row 8: the record in the log, the driver gone',
  'batch:committed': 'row 13: committed, not published',
  'batch:input-freed': 'row 13: committed, not published',
  'publish:before': 'row 13: committed, not published',
  'publish:one-done': 'row 14: half published',
  'publish:all-done': 'row 15: published, no receipt',
  'batch:end': 'row 15: published, no receipt',
  'retention:floor-raised': 'row 20: in the middle of cleaning',
  'retention:half-deleted': 'row 20: in the middle of cleaning',
  'stop:before-drain': 'a stop, not yet recorded',
};
const named = (points: readonly CrashPoint[]) => points.map((point) => ({ point, row: rowOf[point] }));
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

  describe.each(named(crashPoints.filter((point) => !absent.includes(point))))('$row > $point', ({ point }) => {
    test.each(occurrences)('killed at occurrence %i > everything equals the uninterrupted run', async (occurrence) => {
      await expectRecovered([{ point, occurrence }]);
    });
  });

  describe.each(named(laterPoints.filter((point) => !absent.includes(point))))(
    '$row > $point, then again',
    ({ point }) => {
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
    },
  );

  describe('down for 2.5 batches', () => {
    test.each(laterPoints)('after a kill at %s > every row is counted once and replays repeat', async (point) => {
      const crashes = [2, 4, 3].map((occurrence) => ({ point, occurrence }));
      const outcome = await runScenario(crashes, checkpoint, 2500);
      const objects = Object.entries(outcome.published).filter(([name]) => name.startsWith('rows-out/'));
      expect(objects.flatMap(([, content]) => content.trimEnd().split('\n')).sort()).toEqual(allRows());
    });
  });
});
