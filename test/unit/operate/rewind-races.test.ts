import { describe, expect, test } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { CheckpointLog } from '../../../src/checkpoint/checkpoint-log.ts';
import { pin, rewind } from '../../../src/checkpoint/operator-records.ts';
import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { readLogIndex } from '../../../src/inspect/state-at.ts';
import { listState } from '../../../src/inspect/state-queries.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import { findBatch, pointStateOf, readBatch } from '../../../src/operate/find-point.ts';
import { planRewind, rewindStream } from '../../../src/operate/rewind-stream.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { MiniDriver } from '../checkpoint/mini-driver.ts';
import { fence, JumpingClock, loadCounters } from '../checkpoint/support.ts';
import { everything, Run } from '../inspect/support.ts';

/** A process that dies at its n-th write: that one and everything after it never arrives, or it arrives unheard. */
function dyingAt(
  store: MemoryStore,
  deadAt: number,
  lastArrives: boolean,
): { store: ObjectStore; writes: () => number } {
  let writes = 0;
  const dead = (): never => {
    throw new TidemarkError('CANCELLED', 'The process is dead.');
  };
  const dying = new Proxy(store as ObjectStore, {
    get: (_, property) => {
      const member = Reflect.get(store, property, store) as unknown;
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]) => {
        const isWrite = property === 'putIfAbsent' || property === 'compareAndSwap' || property === 'delete';
        if (writes >= deadAt) dead();
        if (isWrite && ++writes === deadAt) {
          if (lastArrives) await (member as (...all: unknown[]) => unknown).apply(store, args);
          dead();
        }
        return (member as (...all: unknown[]) => unknown).apply(store, args);
      };
    },
  });
  // A listing is no promise.
  const list = store.list.bind(store);
  return {
    store: new Proxy(dying, {
      get: (target, property) => (property === 'list' ? list : Reflect.get(target, property)),
    }),
    writes: () => writes,
  };
}

describe.each([
  ['before', false],
  ['after', true],
])('row 23: a rewind that dies %s a write', (_when, lastArrives) => {
  test('leaves the stream as it was or gone back; again, it bumps the generation once', async () => {
    const outcomes = new Set<number>();
    for (let deadAt = 1; deadAt < 30; deadAt++) {
      const run = new Run();
      const store = run.store as MemoryStore;
      await run.to(30_000, { ...everything, retainManifests: 4 });
      const before = await listState(store, 'sums');
      const target = await listState(store, 'sums', { batchId: 27 });
      const dying = dyingAt(store, deadAt, lastArrives);
      const done = await rewindStream(dying.store, 27, { clock: run.clock }).then(
        () => true,
        () => false,
      );
      expect((await verifyCheckpoint(store)).findings, `dead at ${deadAt}`).toEqual([]);
      const { generation, openRewind } = (await readCheckpoint(store))!.status;
      outcomes.add(generation);
      const { entries } = await listState(store, 'sums');
      expect(entries).toEqual(generation === 0 ? before.entries : target.entries);
      expect(openRewind?.generation).toBe(generation === 0 ? undefined : 1);
      if (generation === 0) {
        await rewindStream(store, 27, { takeOver: true, clock: run.clock });
        expect((await readCheckpoint(store))!.status).toMatchObject({ generation: 1, drained: true });
      }
      await run.to(32_000, { ...everything, retainManifests: 4 });
      const end = await listState(store, 'sums');
      expect(end.entries.find(({ key }) => key === 'every')?.value).toMatchObject({ n: 32 });
      expect((await verifyCheckpoint(store)).findings).toEqual([]);
      if (done && dying.writes() < deadAt) break;
    }
    expect(outcomes).toEqual(new Set([0, 1]));
  });
});

const policy = { manifestEveryRecords: 8, silenceThresholdMs: 4_000, inlineBytesMax: 60, segmentBytesMax: 200 };

/** A replaced driver goes on deleting; a pin, a floor and a rewind at the same time. */
describe('row 21: a driver that is replaced in the middle of its cleaning', () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'deletes nothing that a rewind goes back to (seed %i)',
    async (seed) => {
      const clock = new JumpingClock();
      const store = new MemoryStore({ clock });
      const random = new SeededRandom(500 + seed);
      const resumed = Promise.withResolvers<void>();
      let pauses = Math.floor(random.next() * 12) + 3;
      let paused = false;
      const zombie = await MiniDriver.start(store, clock, seed, {
        ...policy,
        crashHook: async (point) => {
          if (!point.startsWith('retention:') || --pauses > 0) return;
          paused = true;
          await resumed.promise;
        },
      });
      let working: Promise<void> = Promise.resolve();
      for (let i = 0; i < 400 && !paused; i++) {
        clock.advanceBy(1000);
        working = zombie.runBatch();
        working.catch(() => {});
        while (!paused && (await Promise.race([working.then(() => true), tick()])) !== true);
        if (random.next() < 0.02 && !paused) await pin(zombie.log, `p${i}`, undefined);
      }
      expect(paused).toBe(true);

      const tool = await CheckpointLog.takeOver(store, await readCheckpoint(store), fence, {
        clock,
        random: new SeededRandom(9),
        silenceThresholdMs: 0,
      });
      const index = await readLogIndex(store);
      const names = [...index.batches.values()].filter(({ batchId }) => batchId < tool.status.lastBatch!.batchId);
      const safe = names.filter(({ base, savepoint }) => savepoint || (base?.slot ?? 0) >= index.announcedFloor);
      const target = safe[Math.floor(random.next() * safe.length)]!;
      const point = await readBatch(findBatch(store, index, target.savepoint ?? target.batchId));
      const { positions, fingerprints, graph } = point.status;
      const batchId = tool.status.lastBatch!.batchId + 1;
      const { batchTimeMs } = target;
      const content = {
        batchId,
        batchTimeMs,
        toBatchId: target.batchId,
        generation: 1,
        positions,
        fingerprints,
        graph,
      };
      await rewind(tool, content, await pointStateOf(store, point));
      await tool.drain([]);

      resumed.resolve();
      await working.catch(() => {});
      await zombie.log.retain().catch(() => {});

      const { wide } = MiniDriver.expected(target.batchId);
      // It keeps the old base for long: what is listed again must not be deleted as retired.
      const next = await MiniDriver.start(store, clock, 77, { ...policy, compactionAlpha: 100 });
      expect(next.states.get('wide')!.values).toEqual(wide);
      for (let i = 0; i < 60; i++) {
        clock.advanceBy(1000);
        const id = next.nextBatchId;
        wide.set(`key ${id % 50}`, id);
        wide.set(`key ${(id * 7) % 50}`, -id);
        await next.runBatch();
      }
      const states = await loadCounters((await readCheckpoint(store))!);
      expect(states.get('wide')!.values).toEqual(wide);
      for (const savepoint of next.log.status.savepoints) {
        const found = await readBatch(findBatch(store, await readLogIndex(store), savepoint.name));
        expect((await loadCounters(found)).get('wide')!.values).toEqual(MiniDriver.expected(savepoint.batchId).wide);
        expect(savepoint.isAbandoned).toBe(savepoint.batchId > target.batchId);
      }
    },
  );
});

function tick(): Promise<boolean> {
  return new Promise((resolve) => setImmediate(() => resolve(false)));
}

test('a batch that a rewind gave up can be forked, and never gone back to', async () => {
  const run = new Run();
  await run.to(20_000, everything);
  await rewindStream(run.store, 18, { clock: run.clock });
  await expect(planRewind(run.store, 20)).rejects.toThrow(/Batch 20 .* was given up by an earlier rewind/);
  expect((await planRewind(run.store, 17)).generation).toBe(2);
});
