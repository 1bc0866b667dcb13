import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Packr } from 'msgpackr';
import { hashKey, keyIdentity } from '../src/base/canonical-key.ts';
import { SeededRandom } from '../src/base/random.ts';
import { ownValue } from '../src/state/pane.ts';
import type { Bench, BenchOutcome, BenchTable } from './bench.ts';
import { median } from './median.ts';
import { installStores, loadStore } from './peers/stores.ts';
import { compared, notRun, type ResultRow } from './result.ts';
import { type Device, device, fill, keyOf, newTable } from './state-data.ts';

const changed = 100_000;
const keysPerFill = 50_000;
// The first is that of the compiler.
const batchesOfWarming = 1;

/** A store under the same work: so many keys, then batches that read, change and write some of them. */
interface Store {
  readonly name: string;
  fill(from: number, to: number): Promise<void>;
  update(touched: Uint32Array, n: number): Promise<void>;
  close(): Promise<void>;
}

function next(value: Device, n: number): Device {
  return { ...value, sum: value.sum + 1.5, count: value.count + 1, lastMs: n };
}

/** Encoded for the log, as always; nothing is uploaded. */
function ourTable(): Store {
  const state = newTable(0);
  const partitions = state.numPartitions;
  return {
    name: 'state table',
    fill: async (from, to) => {
      fill(state, to, from);
    },
    update: async (touched, n) => {
      for (const i of touched) {
        const key = keyOf(i);
        const id = keyIdentity(key);
        const partition = state.partition(hashKey(key) % partitions);
        const cell = partition.get(0, id)!;
        partition.put(0, id, key, next(ownValue(cell) as Device, n), 0, cell);
      }
      state.seal();
      state.merge();
    },
    close: async () => {},
  };
}

interface Lmdb {
  open(options: object): {
    get(key: string): unknown;
    putSync(key: string, value: unknown): void;
    transactionSync(work: () => void): void;
    close(): Promise<void>;
  };
}

/** One synchronous transaction per batch, msgpack values, no fsync: the fastest it has. */
async function lmdb(folder: string): Promise<Store> {
  const { open } = (await loadStore('lmdb')) as Lmdb;
  const db = open({ path: join(folder, 'lmdb'), noSync: true, sharedStructuresKey: Symbol.for('structures') });
  return {
    name: 'lmdb 3.5, a transaction per batch, no fsync',
    fill: async (from, to) => {
      db.transactionSync(() => {
        for (let i = from; i < to; i++) db.putSync(keyOf(i), device(i, 0));
      });
    },
    update: async (touched, n) => {
      db.transactionSync(() => {
        for (const i of touched) {
          const key = keyOf(i);
          db.putSync(key, next(db.get(key) as Device, n));
        }
      });
    },
    close: () => db.close(),
  };
}

interface SlateDb {
  readonly ObjectStore: { resolve(url: string): { dispose(): void } };
  readonly DbBuilder: new (path: string, store: unknown) => { build(): Promise<SlateDbHandle>; dispose(): void };
  readonly WriteBatch: new () => { put(key: Uint8Array, value: Uint8Array): void; dispose(): void };
}

interface SlateDbHandle {
  get(key: Uint8Array): Promise<Uint8Array>;
  write_with_options(batch: unknown, options: { readonly await_durable: boolean }): Promise<unknown>;
  shutdown(): Promise<void>;
  dispose(): void;
}

const readsAtOnce = 256;

/** A write batch per batch that nobody waits to be durable for, reads side by side, files on disk. */
async function slatedb(folder: string): Promise<Store> {
  const { ObjectStore, DbBuilder, WriteBatch } = (await loadStore('@slatedb/uniffi')) as SlateDb;
  const store = ObjectStore.resolve(`file://${folder}`);
  const builder = new DbBuilder('slatedb', store);
  const db = await builder.build();
  const packr = new Packr({ useRecords: false });
  const write = async (put: (batch: InstanceType<SlateDb['WriteBatch']>) => unknown): Promise<void> => {
    const batch = new WriteBatch();
    await put(batch);
    await db.write_with_options(batch, { await_durable: false });
    batch.dispose();
  };
  return {
    name: '@slatedb/uniffi 0.12, a write batch per batch, not awaited to be durable',
    fill: (from, to) =>
      write((batch) => {
        for (let i = from; i < to; i++) batch.put(Buffer.from(keyOf(i)), packr.pack(device(i, 0)));
      }),
    update: (touched, n) =>
      write(async (batch) => {
        for (let from = 0; from < touched.length; from += readsAtOnce) {
          const keys = Array.from(touched.subarray(from, from + readsAtOnce), (i) => Buffer.from(keyOf(i)));
          const values = await Promise.all(keys.map((key) => db.get(key)));
          for (const [at, key] of keys.entries()) {
            batch.put(key, packr.pack(next(packr.unpack(values[at]!) as Device, n)));
          }
        }
      }),
    close: async () => {
      await db.shutdown();
      db.dispose();
      builder.dispose();
      store.dispose();
    },
  };
}

/** CPU time of the whole process, in milliseconds per batch: the stores work in threads of their own, too. */
async function measure(store: Store, keys: number, batches: number): Promise<number[]> {
  for (let from = 0; from < keys; from += keysPerFill) await store.fill(from, Math.min(keys, from + keysPerFill));
  const random = new SeededRandom(7);
  const batchMs: number[] = [];
  for (let n = 0; n < batches + batchesOfWarming; n++) {
    const touched = Uint32Array.from({ length: changed }, () => Math.floor(random.next() * keys));
    const start = process.cpuUsage();
    await store.update(touched, n);
    const { user, system } = process.cpuUsage(start);
    if (n >= batchesOfWarming) batchMs.push((user + system) / 1000);
  }
  await store.close();
  globalThis.gc?.();
  return batchMs;
}

/** The size we are held to, and one that slatedb can be filled with in some minutes. */
const keysByDefault = 5_000_000;
const slateKeysMax = 500_000;
const slateBatchesMax = 3;

export const bench: Bench = {
  title: 'keyed state beside embedded stores',
  measures:
    'A batch reads, changes and writes 100,000 keys at random, values of about 100 bytes: CPU time of the whole process, medians over batches. Ours encodes the changes for the log and uploads nothing; the others write to local files and wait for no disk.',
  run: async ({ rounds, progress, keep }) => {
    const keys = Number(process.env.STATE_BENCH_KEYS?.split(',')[0] ?? keysByDefault);
    const batches = rounds(7);
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-stores-'));
    const rows: ResultRow[] = [];
    const figures: { store: string; keys: number; batchMs: readonly number[] }[] = [];
    const outcome = (): BenchOutcome => ({ tables: [tableOf(figures)], rows });
    try {
      progress(`the state table, ${count(keys)} keys`);
      const ours = await measure(ourTable(), keys, batches);
      figures.push({ store: 'state table', keys, batchMs: ours });
      const missing = installStores();
      for (const [name, open, keysMax, batchesMax] of [
        ['lmdb', lmdb, keys, batches],
        // Fewer keys than ours has: that is in its favour.
        ['@slatedb/uniffi', slatedb, slateKeysMax, slateBatchesMax],
      ] as const) {
        const peerKeys = Math.min(keys, keysMax);
        const what = `${count(changed)} of ${count(keys)} keys updated per batch${peerKeys < keys ? `, ${count(peerKeys)} in the store` : ''}`;
        if (missing !== undefined) {
          rows.push(notRun(what, name, missing));
          continue;
        }
        progress(`${name}, ${count(peerKeys)} keys`);
        try {
          const store = await open(folder);
          const peer = await measure(store, peerKeys, Math.min(batches, batchesMax));
          figures.push({ store: store.name, keys: peerKeys, batchMs: peer });
          rows.push(
            compared({
              what,
              against: store.name,
              unit: 'CPU ms per batch',
              ours: [median(ours)],
              peer: [median(peer)],
              better: 'less',
              atLeast: 1,
            }),
          );
        } catch (error) {
          rows.push(notRun(what, name, error instanceof Error ? error.message : String(error)));
        }
        keep(outcome());
      }
      return outcome();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

function tableOf(
  figures: readonly { readonly store: string; readonly keys: number; readonly batchMs: readonly number[] }[],
): BenchTable {
  const ours = median(figures[0]!.batchMs);
  return {
    title: `${count(changed)} keys updated per batch`,
    rows: figures.map(({ store, keys, batchMs }) => ({
      store,
      keys: count(keys),
      'CPU ms per batch': Math.round(median(batchMs)),
      'lowest and highest': `${Math.round(Math.min(...batchMs))} - ${Math.round(Math.max(...batchMs))}`,
      'K updates per CPU second': Math.round(changed / median(batchMs)),
      'beside ours': (median(batchMs) / ours).toFixed(2),
    })),
  };
}

function count(number: number): string {
  return number.toLocaleString('en');
}
