import { describe, expect, it } from 'vitest';
import { CheckpointLog } from '../../src/checkpoint/checkpoint-log.ts';
import { rewind } from '../../src/checkpoint/operator-records.ts';
import { readCheckpoint } from '../../src/checkpoint/read-checkpoint.ts';
import { readFloor } from '../../src/checkpoint/root-objects.ts';
import { readLogIndex } from '../../src/inspect/state-at.ts';
import { verifyCheckpoint } from '../../src/inspect/verify-checkpoint.ts';
import { findBatch, pointStateOf, readBatch } from '../../src/operate/find-point.ts';
import { rewindStream } from '../../src/operate/rewind-stream.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import { FaultyStore } from '../../src/testing/faulty-store.ts';
import { MiniDriver } from '../unit/checkpoint/mini-driver.ts';
import { batch, fence, JumpingClock, loadCounters, optionsWith } from '../unit/checkpoint/support.ts';
import { everything, Run } from '../unit/inspect/support.ts';

class Crash extends Error {}

describe('row 21: a replaced driver goes on deleting after a rewind', () => {
  it('only what is dead for the rewound stream too goes', async () => {
    const clock = new JumpingClock();
    const store = new MemoryStore({ clock });
    const faulty = new FaultyStore(store);
    const policy = { manifestEveryRecords: 4, retainManifests: 4, silenceThresholdMs: 1000, inlineBytesMax: 10 };
    const old = await MiniDriver.start(faulty, clock, 1, policy);
    const goOn = Promise.withResolvers<void>();
    const runBatch = async (): Promise<void> => {
      clock.advanceBy(1000);
      await old.runBatch();
    };
    for (let i = 0; i < 40; i++) await runBatch();
    // From here on its deletes are on their way, one after the other, while others act.
    faulty.inject({ type: 'delete', times: 1000 }, { kind: 'delay', until: goOn.promise });
    let asleep = runBatch();
    for (let i = 0; i < 8; i++) {
      const isHeld = await Promise.race([asleep.then(() => false), new Promise((r) => setImmediate(() => r(true)))]);
      if (isHeld) break;
      asleep = runBatch();
    }

    const log = await CheckpointLog.takeOver(store, await readCheckpoint(store), fence, optionsWith(clock, 2, policy));
    const index = await readLogIndex(store);
    const target = Math.min(
      ...[...index.batches.values()]
        .filter(({ base }) => base !== null && base.slot >= index.announcedFloor)
        .map(({ batchId }) => batchId),
    );
    const point = await readBatch(findBatch(store, index, target));
    const { positions, fingerprints, graph, lastBatch, generation } = point.status;
    const batchId = log.status.lastBatch!.batchId + 1;
    const { batchTimeMs } = lastBatch!;
    const content = {
      batchId,
      batchTimeMs,
      toBatchId: target,
      generation: generation + 1,
      positions,
      fingerprints,
      graph,
    };
    await rewind(log, content, await pointStateOf(store, point));

    const objectsBefore = await count(store);
    goOn.resolve();
    await asleep;
    expect(await count(store)).toBeLessThan(objectsBefore);
    const state = await loadCounters((await readCheckpoint(store))!);
    expect(state.get('wide')!.values).toEqual(MiniDriver.expected(target).wide);
    expect((await readFloor(store)).value).toBeLessThanOrEqual(index.announcedFloor);
    await expect(old.runBatch()).rejects.toMatchObject({ code: 'FENCED' });
    await log.commitBatch(batch(batchId + 1));
  });
});

describe('row 23: a rewind dies', { timeout: 120_000 }, () => {
  it('at every one of its steps > the stream is where it was or gone back, and the generation rises once', async () => {
    const target = 31;
    let [before, after] = [0, 0];
    for (let step = 1; ; step++) {
      const run = new Run();
      await run.to(40_000, { ...everything, retainManifests: 10 });
      let passed = 0;
      const dying = rewindStream(run.store, target, {
        clock: run.clock,
        crashHook: () => {
          if (++passed === step) throw new Crash();
        },
      });
      const died = await dying.then(
        () => false,
        (error) => {
          if (!(error instanceof Crash)) throw error;
          return true;
        },
      );
      const { status } = (await readCheckpoint(run.store))!;
      expect([0, 1]).toContain(status.generation);
      if (status.generation === 0) {
        before += 1;
        expect(status.lastBatch?.batchId).toBe(41);
        await rewindStream(run.store, target, { clock: run.clock, takeOver: true });
      } else {
        after += 1;
      }
      expect((await verifyCheckpoint(run.store)).findings).toEqual([]);
      expect((await readCheckpoint(run.store))!.status).toMatchObject({
        generation: 1,
        lastBatch: { batchId: 42, batchTimeMs: (target - 1) * 1000 },
        openRewind: { toBatchId: target, generation: 1 },
      });
      if (!died) break;
    }
    expect(before).toBeGreaterThan(2);
    expect(after).toBeGreaterThan(1);
  });
});

async function count(store: MemoryStore): Promise<number> {
  let objects = 0;
  for await (const _ of store.list('')) objects += 1;
  return objects;
}
