import { expect, test } from 'vitest';
import { type CrashPoint, crashPoints } from '../../src/base/crash-points.ts';
import { readCheckpoint } from '../../src/checkpoint/read-checkpoint.ts';
import { listState } from '../../src/inspect/state-queries.ts';
import { verifyCheckpoint } from '../../src/inspect/verify-checkpoint.ts';
import { FaultyStore } from '../../src/testing/faulty-store.ts';
import { TimedStream } from '../unit/pipeline/support.ts';

/**
 * Drivers that die with batches on their way into the log while the next one is being computed: 20 ms batches on a store
 * that takes 50 ms, so that records hold two or three of them. Records that were sent still arrive.
 */
const points = crashPoints.filter((point) => /^(batch|commit|publish):/.test(point));
const variants = {
  inline: { manifestEveryRecords: 4 },
  'in segments': { manifestEveryRecords: 4, inlineBytesMax: 0 },
} as const;

interface Death {
  readonly point: CrashPoint;
  readonly occurrence: number;
}

async function runWith(checkpoint: (typeof variants)[keyof typeof variants], deaths: readonly Death[]) {
  const stream = new TimedStream({ intervalMs: 20, computeMs: 15, putMs: 50, checkpoint });
  const left = [...deaths];
  const computed = { whileUploading: 0 };
  let died = 0;
  stream.onCompute = (batchId) => {
    if (batchId > (stream.shown.at(-1)?.batchId ?? 1) + 1) computed.whileUploading += 1;
  };
  for (let isDead = true; isDead; ) {
    const store = new FaultyStore(stream.store);
    const death = left.shift();
    let seen = 0;
    isDead = false;
    const crashHook = (point: CrashPoint): void => {
      if (point !== death?.point || ++seen !== death.occurrence) return;
      isDead = true;
      died += 1;
      const error = new Error(`died at ${point}`);
      store.crash({ signal: error });
      throw error;
    };
    await stream.start({ store, crashHook });
    const untilMs = stream.clock.now() + 500;
    while (!stream.isStopped && stream.clock.now() < untilMs) await stream.runTo(stream.clock.now() + 20);
    if (!isDead) await stream.stop(true);
    else if (!stream.isStopped) await stream.ended();
  }
  return { stream, died, computed };
}

async function expectExact(stream: TimedStream): Promise<void> {
  const { status } = (await readCheckpoint(stream.store))!;
  const [consumed] = status.positions.pairs as [number];
  const { entries } = await listState(stream.store, 'counts');
  const expected = ['k0', 'k1', 'k2', 'k3', 'k4'].map((key, index) => {
    return [key, Math.floor((consumed - index) / 5) + (index === 0 ? 0 : 1)];
  });
  expect(entries.map(({ key, value }) => [key, value]).toSorted()).toEqual(expected);
  const ids = [...new Set(stream.shown.map(({ batchId }) => batchId))];
  expect(ids).toEqual(ids.map((_, index) => index + 2));
  expect(ids.at(-1)).toBe(status.lastBatch?.batchId);
  expect((await verifyCheckpoint(stream.store)).findings).toEqual([]);
}

test('an uninterrupted run computes batches while others are on their way, in groups', async () => {
  const { stream, computed } = await runWith(variants.inline, []);
  await expectExact(stream);
  expect(computed.whileUploading).toBeGreaterThan(10);
});

test.each(Object.keys(variants) as (keyof typeof variants)[])(
  'row 16: deltas %s, killed anywhere > all or none of a group',
  async (name) => {
    let died = 0;
    for (const point of points) {
      const run = await runWith(variants[name], [{ point, occurrence: 6 }]);
      died += run.died;
      await expectExact(run.stream);
    }
    // A point that is passed less often than that in half a second is of manifests, segments or nothing to publish.
    expect(died).toBeGreaterThan(points.length * 0.7);
  },
);

test('row 16: killed three times in a row around the record of a group > all or none of it', async () => {
  const places: readonly CrashPoint[] = ['commit:grouped', 'commit:before-record', 'commit:record-written'];
  for (const point of places) {
    const deaths = [2, 3, 2].map((occurrence) => ({ point, occurrence }));
    const { stream, died } = await runWith(variants.inline, deaths);
    expect(died).toBe(3);
    await expectExact(stream);
  }
});
