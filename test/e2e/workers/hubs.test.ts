import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventHubProducerClient } from '@azure/event-hubs';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { StreamingContext } from '../../../src/index.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { MemoryStore } from '../../../src/testing.ts';
import { until } from '../event-hubs/support.ts';
import { buildHubProgram, type HubProgram, hubModuleOf, type Seen } from './hub-program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tidemark-hub-workers-'));
// What the first thread has compiled, the others need not.
process.env.NODE_COMPILE_CACHE = join(folder, 'compiled');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const partitions = { readings: 3, alarms: 1 } as const;
let emulator: EventHubsEmulator;
beforeEach(async () => {
  const hubs = Object.entries(partitions).map(([name, partitionCount]) => ({ name, partitionCount }));
  emulator = await startEventHubsEmulator({ hubs });
});
afterEach(() => emulator.stop());

async function send(hub: keyof typeof partitions, count: number, from: number): Promise<void> {
  const producer = new EventHubProducerClient(emulator.connectionString, hub);
  for (let p = 0; p < partitions[hub]; p++) {
    const batch = await producer.createBatch({ partitionId: String(p) });
    for (let n = from; n < from + count; n++) expect(batch.tryAdd({ body: { p: String(p), n } })).toBe(true);
    await producer.sendBatch(batch);
  }
  await producer.close();
}

/** What a program sees until it has seen `count` rows. */
async function run(master: string, store: MemoryStore, count: number, program: Partial<HubProgram> = {}) {
  const rows: Seen[] = [];
  const counts = new Map<string, number>();
  const warnings: string[] = [];
  const options: HubProgram = {
    connectionString: emulator.connectionString,
    mark: join(folder, 'never'),
    exitAt: -1,
    observe: (output, stream) =>
      stream.foreachRDD(async (rdd) => {
        const found = await rdd.collect();
        if (output === 'rows') rows.push(...(found as Seen[]));
        else for (const [key, n] of found as [string, number][]) counts.set(key, (counts.get(key) ?? 0) + n);
      }),
    ...program,
  };
  const environment = { warn: (text: string) => warnings.push(text) };
  const ssc = await StreamingContext.getOrCreate(store, () =>
    buildHubProgram({ ...options, context: { master, module: hubModuleOf(options), environment } }),
  );
  await ssc.start();
  try {
    const died = ssc.awaitTermination().then(() => undefined);
    await Promise.race([until(() => rows.length >= count, `${count} rows were seen`, 100_000), died]);
  } finally {
    await ssc.stop({ graceful: true });
  }
  return { rows, counts, warnings };
}

function expected(count: number): string[] {
  return Object.entries(partitions)
    .flatMap(([hub, n]) => Array.from({ length: n }, (_, p) => ({ hub, p })))
    .flatMap(({ hub, p }) => Array.from({ length: count }, (_, n) => `${hub}/${p}/${n}`));
}

/** By hub and partition, in the order in which they were seen. */
function seen(rows: readonly Seen[]): string[] {
  const place = ([hub, p]: Seen): number => (hub === 'readings' ? 0 : 10) + Number(p);
  return rows.toSorted((a, b) => place(a) - place(b)).map(([hub, p, n]) => `${hub}/${p}/${n}`);
}

test('workers receive the partitions they own, and the stream goes on in one thread', async () => {
  const store = new MemoryStore();
  await send('readings', 900, 0);
  await send('alarms', 900, 0);
  const first = await run('local[2]', store, 4 * 900);
  await send('readings', 300, 900);
  await send('alarms', 300, 900);
  const second = await run('local', store, 4 * 300);

  expect(first.rows.every(([, , , inWorker]) => inWorker)).toBe(true);
  expect(second.rows.some(([, , , inWorker]) => inWorker)).toBe(false);
  expect(seen([...first.rows, ...second.rows])).toEqual(expected(1200));
  expect(first.counts).toEqual(new Map([...'012'].map((key) => [key, 900])));
  expect([...first.warnings, ...second.warnings]).toEqual([]);
}, 120_000);

test('a thread that dies in the middle of a batch loses no event and brings none twice', async () => {
  const mark = join(folder, 'exit');
  await send('readings', 1500, 0);
  await send('alarms', 1500, 0);
  const { rows, counts, warnings } = await run('local[2]', new MemoryStore(), 4 * 1500, { mark, exitAt: 700 });
  expect(existsSync(mark)).toBe(true);
  expect(warnings).toEqual([expect.stringContaining('exit code 3')]);
  expect(seen(rows)).toEqual(expected(1500));
  expect(counts).toEqual(new Map([...'012'].map((key) => [key, 1500])));
}, 120_000);
