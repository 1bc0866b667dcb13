import { randomBytes } from 'node:crypto';
import { ManualClock } from '../src/base/clock.ts';
import { Seconds } from '../src/base/time.ts';
import { EncryptedStore } from '../src/storage/encrypted-store.ts';
import { EncryptionKeys } from '../src/storage/encryption-keys.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import { StreamingContext } from '../src/streaming-context.ts';
import { MemoryTopic } from '../src/testing/memory-topic.ts';
import type { Bench, BenchTable } from './bench.ts';
import { median } from './median.ts';

const keys = new EncryptionKeys({ current: 'bench', keys: { bench: randomBytes(32) } });
const id = (): string => randomBytes(16).toString('hex');

function cpuUs(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

/** Writing and reading one object of each size, over memory, less what memory alone takes. */
async function objects(): Promise<BenchTable> {
  const rows: Record<string, string | number>[] = [];
  for (const size of [1_000, 10_000, 100_000, 4 * 1024 * 1024, 64 * 1024 * 1024]) {
    const rounds = Math.max(3, Math.min(2_000, Math.round(200_000_000 / size)));
    const bytes = randomBytes(size);
    const measure = async (encrypted: boolean): Promise<{ put: number; get: number }> => {
      const memory = new MemoryStore();
      const store = encrypted ? new EncryptedStore(memory, keys) : memory;
      let put = 0;
      let get = 0;
      for (let round = -Math.ceil(rounds / 4); round < rounds; round++) {
        const first = process.cpuUsage();
        await store.putIfAbsent('object', bytes, id());
        const second = process.cpuUsage();
        await store.get('object');
        const getUs = cpuUs(second);
        if (round >= 0) {
          get += getUs;
          put += cpuUs(first) - getUs;
        }
        await store.delete(['object']);
      }
      return { put: put / rounds, get: get / rounds };
    };
    const plain = await measure(false);
    const sealed = await measure(true);
    const [encryptUs, decryptUs] = [sealed.put - plain.put, sealed.get - plain.get];
    rows.push({
      bytes: size,
      'encrypt us': encryptUs.toFixed(0),
      'encrypt MB/s': (size / encryptUs).toFixed(0),
      'decrypt us': decryptUs.toFixed(0),
      'decrypt MB/s': (size / decryptUs).toFixed(0),
    });
  }
  return { title: 'One object', rows };
}

/** CPU time of a stream of small batches, with and without. */
async function batches(): Promise<BenchTable> {
  const count = 1_000;
  const run = async (encrypted: boolean): Promise<number> => {
    const clock = new ManualClock(0);
    const topic = new MemoryTopic<readonly [string, number]>('rows', 1);
    for (let t = 1; t <= count; t++) for (let i = 0; i < 20; i++) topic.send(t * 1000, 0, [`k${(t * 7 + i) % 500}`, t]);
    const memory = new MemoryStore({ clock });
    const context = await StreamingContext.getOrCreate(encrypted ? new EncryptedStore(memory, keys) : memory, () => {
      const ssc = new StreamingContext({
        appName: 'bench',
        batchInterval: Seconds(1),
        environment: { clock, warn: () => {} },
      });
      const rows = ssc.sourceStream(topic.source(), { uid: 'rows' });
      rows
        .updateStateByKey((values, n: number | undefined) => (n ?? 0) + values.length, { uid: 'counts' })
        .foreachRDD(() => {}, { uid: 'out' });
      return ssc;
    });
    let done = 0;
    let wake = (): void => {};
    context.addStreamingListener({
      onBatchCompleted: () => {
        done += 1;
        wake();
      },
    });
    await context.start();
    const start = process.cpuUsage();
    for (let t = 1; t <= count; t++) {
      const completed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      clock.advanceTo(t * 1000);
      if (done < t) await completed;
    }
    const us = cpuUs(start) / count;
    await context.stop();
    return us;
  };
  const figures = { plain: [] as number[], sealed: [] as number[] };
  for (let round = 0; round < 5; round++) {
    figures.plain.push(await run(false));
    figures.sealed.push(await run(true));
  }
  const [plain, sealed] = [median(figures.plain), median(figures.sealed)];
  return {
    title: 'A batch of 20 rows',
    rows: [{ 'clear us': plain.toFixed(0), 'encrypted us': sealed.toFixed(0), 'more us': (sealed - plain).toFixed(0) }],
  };
}

export const bench: Bench = {
  title: 'encryption: what AES-256-GCM of a checkpoint costs',
  isByHand: true,
  measures: 'CPU time in this process over a memory store, which is subtracted; no network.',
  run: async () => ({ tables: [await objects(), await batches()], rows: [] }),
};
