import { readCheckpoint } from '../../../src/checkpoint/read-checkpoint.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { MiniDriver } from './mini-driver.ts';
import { batch, JumpingClock, loadCounters } from './support.ts';

/** The stream of the format fixtures: every kind of object and record, the same bytes on every run. */
export async function buildStream(): Promise<MemoryStore> {
  const clock = new JumpingClock();
  const store = new MemoryStore({ clock });
  const policy = { manifestEveryRecords: 6, silenceThresholdMs: 2_000 };
  const first = await MiniDriver.start(store, clock, 1, { ...policy, inlineBytesMax: 10 });
  for (let i = 0; i < 19; i++) {
    clock.advanceBy(1000);
    await first.runBatch();
  }
  await first.log.drain([]);
  const second = await MiniDriver.start(store, clock, 2, { ...policy, manifestEveryRecords: 100 });
  await second.runBatch();
  await second.log.commitBatch(
    batch(second.nextBatchId, {
      deltas: [...second.states.values()].map((state) => state.delta([])),
      handles: [{ uid: 'out', batchId: second.nextBatchId, batchTimeMs: 500, handle: { name: 'a' } }],
      outputs: [
        { uid: 'feed', bytes: new TextEncoder().encode('rows to keep') },
        { uid: 'out', bytes: new TextEncoder().encode('rows to publish') },
      ],
    }),
  );
  // Two batches that are handed in while the record of the first is on its way: a group.
  const last = second.nextBatchId - 1;
  const wide = second.states.get('wide')!;
  await Promise.all(
    [1, 2, 3].map((n) => {
      const deltas = [wide.set({ [`group ${n}`]: n }), second.states.get('narrow')!.delta([])];
      return second.log.commitBatch(batch(last + n, { deltas }));
    }),
  );
  const id = second.nextBatchId;
  await second.log.recordPlan({
    batchId: id,
    batchTimeMs: 500 + id * 1000,
    sources: { in: { from: 200, until: 210 } },
  });
  return store;
}

export async function objectsOf(store: MemoryStore): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for await (const { name } of store.list('')) {
    const outcome = await store.get(name);
    if (outcome.status === 'found') objects.set(name, outcome.bytes);
  }
  return objects;
}

/** Status and state as JSON can hold them. */
export async function describeStream(store: MemoryStore): Promise<unknown> {
  const found = (await readCheckpoint(store))!;
  const state = await loadCounters(found);
  const values = [...state].map(([uid, { values }]) => [uid, Object.fromEntries([...values].sort())]);
  return JSON.parse(JSON.stringify({ status: found.status, state: Object.fromEntries(values) }));
}
