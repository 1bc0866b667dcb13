import { SystemClock } from '../src/base/clock.ts';
import { SeededRandom } from '../src/base/random.ts';
import { CheckpointLog } from '../src/checkpoint/checkpoint-log.ts';
import { readCheckpoint } from '../src/checkpoint/read-checkpoint.ts';
import type { BatchCommit } from '../src/checkpoint/records.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import type { ObjectStore, PutOutcome } from '../src/storage/object-store.ts';
import { openObjectStore } from '../src/storage/open-store.ts';
import { startAzurite } from '../src/testing/azurite.ts';
import { drawLatencyMs } from '../src/testing/simulation/latency.ts';
import type { Bench, BenchOutcome } from './bench.ts';
import { quantile } from './quantile.ts';
import { compared, type ResultRow } from './result.ts';

const commits = 120;
const clock = new SystemClock();
const random = new SeededRandom(7);

/** A store whose writes take as long as published figures say of a cloud's. */
class DistantStore extends MemoryStore {
  override async putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    await clock.waitUntil(clock.now() + drawLatencyMs('write', random));
    return super.putIfAbsent(name, bytes, commitId);
  }
}

/** Commits, and plain writes of as many bytes, in turn. */
async function compare(
  where: string,
  store: ObjectStore,
  deltaBytes: number,
): Promise<{ readonly cells: Record<string, string | number>; readonly result: ResultRow }> {
  const log = await CheckpointLog.takeOver(
    store,
    await readCheckpoint(store),
    { zeroTimeMs: 0, graph: {}, settings: {} },
    { clock, random, manifestEveryRecords: 100_000, manifestEveryBytes: 2 ** 40 },
  );
  const bytes = new Uint8Array(deltaBytes).map((_, i) => (i * 31) & 255);
  const puts: number[] = [];
  const commitTimes: number[] = [];
  for (let batchId = 1; batchId <= commits; batchId++) {
    let start = performance.now();
    await store.putIfAbsent(`plain/${deltaBytes}-${batchId}`, bytes, random.id());
    puts.push(performance.now() - start);
    const batch: BatchCommit = {
      batchId,
      batchTimeMs: batchId * 1000,
      positions: { in: { next: batchId } },
      deltas: [{ uid: 'state', bytes, fingerprint: '1:1' }],
      handles: [],
      receipts: [],
    };
    start = performance.now();
    await log.commitBatch(batch);
    commitTimes.push(performance.now() - start);
  }
  const ratio = (share: number): number =>
    Math.round((quantile(commitTimes, share) / quantile(puts, share)) * 100) / 100;
  const delta = deltaBytes < 1024 * 1024 ? `${deltaBytes / 1024} KiB` : `${Math.round(deltaBytes / 1024 / 1024)} MiB`;
  const result = compared({
    what: `a batch of ${delta} made durable, ${where}`,
    against: 'a plain write of as many bytes',
    unit: 'ms',
    ours: [quantile(commitTimes, 0.5)],
    peer: [quantile(puts, 0.5)],
    better: 'less',
  });
  const cells = {
    store: where,
    delta,
    'put p50 ms': quantile(puts, 0.5),
    'commit p50 ms': quantile(commitTimes, 0.5),
    'p50 ratio': String(ratio(0.5)),
    'put p99 ms': quantile(puts, 0.99),
    'commit p99 ms': quantile(commitTimes, 0.99),
    'p99 ratio': String(ratio(0.99)),
  };
  return { cells, result };
}

async function run(): Promise<BenchOutcome> {
  const sizes = [4 * 1024, 4 * 1024 * 1024 - 1024, 12 * 1024 * 1024];
  const measured: Awaited<ReturnType<typeof compare>>[] = [];
  for (const size of sizes) measured.push(await compare('cloud latency', new DistantStore({ clock }), size));
  const azurite = await startAzurite();
  try {
    for (const [i, size] of sizes.entries()) {
      const store = await openObjectStore(`az://commits/${i}`, {
        connectionString: azurite.connectionString,
        createContainer: true,
      });
      measured.push(await compare('Azurite', store, size));
      await store.close();
    }
  } finally {
    await azurite.stop();
  }
  const title = `latency of a commit over that of a plain write of the same bytes, ${commits} each`;
  return {
    tables: [{ title, rows: measured.map(({ cells }) => cells) }],
    rows: measured.map(({ result }) => result),
  };
}

export const bench: Bench = {
  title: 'Latency of a commit',
  isByHand: true,
  measures:
    'A batch with a delta of that size is handed to the log, until it is durable; beside it a plain conditional write of as many bytes to ' +
    'the same store, in turn. 12 MiB is above the inline limit: segments first, then the record, so two round trips. Cloud latency: ' +
    'the published distribution that the simulator uses (docs/simulation.md); it does not grow with the size.',
  run,
};
