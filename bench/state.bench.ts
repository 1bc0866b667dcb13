import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { hashKey, keyIdentity } from '../src/base/canonical-key.ts';
import { sha256Hex } from '../src/base/checksum.ts';
import { copyPlain } from '../src/base/plain-data.ts';
import { SeededRandom } from '../src/base/random.ts';
import { StateTable, type TableExtent } from '../src/state/state-table.ts';
import type { StoredOperator } from '../src/state/stored-operator.ts';
import type { Bench, BenchTable } from './bench.ts';
import { median } from './median.ts';

const changed = 100_000;
const batches = 7;
const partitions = 8;

interface Device {
  readonly model: string;
  readonly site: string;
  readonly sum: number;
  readonly count: number;
  readonly lastMs: number;
}

/** About 100 bytes when it is stored. */
function device(i: number, count: number): Device {
  return {
    model: `thermostat-${i % 977}`,
    site: `building ${i % 5003}, floor ${i % 31}, room ${i % 311}`,
    sum: (i % 4001) / 8 + count * 1.5,
    count,
    lastMs: 1_700_000_000_000 + i * 7,
  };
}

function keyOf(i: number): string {
  return `device-${String(i).padStart(9, '0')}`;
}

interface Outcome {
  readonly batchMs: number[];
  readonly longestPauseMs: number;
  readonly longestGcMs: number;
  readonly heapBytes: number;
  readonly rssBytes: number;
}

async function measured(keys: number, batch: (touched: Uint32Array) => Promise<void>): Promise<Outcome> {
  const random = new SeededRandom(7);
  globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  let longestGcMs = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longestGcMs = Math.max(longestGcMs, duration);
  });
  observer.observe({ entryTypes: ['gc'] });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const batchMs: number[] = [];
  let longestPauseMs = 0;
  for (let n = 0; n < batches; n++) {
    const touched = Uint32Array.from({ length: changed }, () => Math.floor(random.next() * keys));
    await setImmediate();
    delay.reset();
    delay.enable();
    const start = process.threadCpuUsage();
    await batch(touched);
    const { user, system } = process.threadCpuUsage(start);
    batchMs.push((user + system) / 1000);
    await setImmediate();
    delay.disable();
    longestPauseMs = Math.max(longestPauseMs, delay.max / 1e6);
  }
  observer.disconnect();
  return { batchMs, longestPauseMs, longestGcMs, heapBytes: heapUsed, rssBytes: rss };
}

async function plainMaps(keys: number): Promise<Outcome> {
  // One Map would stand still for a second while it grows, so the baseline is the best a program can do: many.
  const maps = Array.from({ length: 64 }, () => new Map<string, Device>());
  for (let i = 0; i < keys; i++) {
    const key = keyOf(i);
    maps[hashKey(key) & 63]!.set(key, device(i, 0));
  }
  let n = 0;
  return measured(keys, async (touched) => {
    n += 1;
    for (const [at, i] of touched.entries()) {
      const key = keyOf(i);
      const map = maps[hashKey(key) & 63]!;
      const before = map.get(key)!;
      map.set(key, { ...before, sum: before.sum + 1.5, count: before.count + 1, lastMs: n });
      if (at % 12_500 === 0) await setImmediate();
    }
  });
}

async function table(keys: number, cellsMax: number): Promise<Outcome> {
  const state = new StateTable({ uid: 'bench', numPartitions: partitions, cellsMax });
  let batchId = 0;
  for (let from = 0; from < keys; from += 250_000) {
    for (let i = from; i < Math.min(keys, from + 250_000); i++) {
      const key = keyOf(i);
      state.partition(hashKey(key) % partitions).put(0, keyIdentity(key), key, device(i, 0));
    }
    state.seal(++batchId);
    state.merge();
    for (const _ of state.extents(0.5));
  }
  return measured(keys, async (touched) => {
    const byPartition: string[][] = Array.from({ length: partitions }, () => []);
    for (const i of touched) {
      const key = keyOf(i);
      byPartition[hashKey(key) % partitions]!.push(key);
    }
    await setImmediate();
    batchId += 1;
    for (const [p, own] of byPartition.entries()) {
      const partition = state.partition(p);
      partition.begin();
      for (const key of own) {
        const id = keyIdentity(key);
        const value = copyPlain(partition.get(0, id)!.value) as Device;
        partition.put(0, id, key, { ...value, sum: value.sum + 1.5, count: value.count + 1, lastMs: batchId });
      }
      partition.seal();
      await setImmediate();
    }
    state.seal(batchId);
    await setImmediate();
    state.merge();
  });
}

interface Stored {
  readonly stored: StoredOperator;
  readonly fingerprint: string;
  readonly json: string;
  readonly bytes: number;
}

/** A manifest of `keys` keys, and the same entries as one JSON text. */
function storedState(keys: number): Stored {
  const state = new StateTable({ uid: 'bench', numPartitions: partitions });
  const extents: TableExtent[] = [];
  let fingerprint = '';
  let batchId = 0;
  for (let from = 0; from < keys; from += 250_000) {
    for (let i = from; i < Math.min(keys, from + 250_000); i++) {
      const key = keyOf(i);
      state.partition(hashKey(key) % partitions).put(0, keyIdentity(key), key, device(i, 0));
    }
    fingerprint = state.seal(++batchId).fingerprint;
    state.merge();
    extents.push(...state.extents(0.5));
  }
  const json = JSON.stringify(Array.from({ length: keys }, (_, i) => [keyOf(i), device(i, 0)]));
  const stored = extents.map(({ kind, buckets, summary, bytes }) => ({
    isBase: kind === 'base',
    buckets,
    summary,
    lengthBytes: bytes.length,
    read: async () => {
      sha256Hex(bytes);
      return bytes;
    },
  }));
  const bytes = extents.reduce((sum, extent) => sum + extent.bytes.length, 0);
  return { stored: { extents: stored, deltas: [] }, fingerprint, json, bytes };
}

async function cpuMs(work: () => unknown): Promise<number> {
  globalThis.gc?.();
  const start = process.threadCpuUsage();
  await work();
  const { user, system } = process.threadCpuUsage(start);
  return (user + system) / 1000;
}

async function restores(keys: number): Promise<BenchTable> {
  const { stored, fingerprint, json, bytes } = storedState(keys);
  const [parse, index, first, all]: number[][] = [[], [], [], []];
  for (let round = 0; round < 5; round++) {
    parse!.push(await cpuMs(() => new Map(JSON.parse(json) as [string, Device][])));
    const state = new StateTable({ uid: 'bench', numPartitions: partitions });
    index!.push(await cpuMs(() => state.restoreFrom(stored, fingerprint)));
    first!.push(await cpuMs(() => state.ensureLoaded([keyOf(1), keyOf(2)])));
    all!.push(await cpuMs(() => state.ensureLoaded()));
  }
  const total = median(index!) + median(first!) + median(all!);
  return {
    title: `restore of ${keys.toLocaleString('en')} keys, ${Math.round(bytes / 1e6)} MB (as JSON ${Math.round(json.length / 1e6)} MB)`,
    rows: [
      { what: 'JSON.parse and a Map', 'CPU ms': Math.round(median(parse!)), 'against JSON': '1.00' },
      {
        what: 'until a batch of two keys can run',
        'CPU ms': Math.round(median(index!) + median(first!)),
        'against JSON': ((median(index!) + median(first!)) / median(parse!)).toFixed(2),
      },
      {
        what: 'all of it, fingerprints checked',
        'CPU ms': Math.round(total),
        'against JSON': (total / median(parse!)).toFixed(2),
      },
    ],
  };
}

async function updates(keys: number): Promise<BenchTable> {
  const forms: [string, () => Promise<Outcome>][] = [
    ['Map of objects (64 Maps)', () => plainMaps(keys)],
    ['state table, decoded cells', () => table(keys, Number.POSITIVE_INFINITY)],
    ['state table, as bytes', () => table(keys, 0)],
  ];
  const rows: BenchTable['rows'][number][] = [];
  let base = 0;
  for (const [form, run] of forms) {
    globalThis.gc?.();
    const { heapUsed, rss } = process.memoryUsage();
    const { batchMs, longestPauseMs, longestGcMs, heapBytes, rssBytes } = await run();
    const ms = median(batchMs);
    base ||= ms;
    rows.push({
      state: form,
      'CPU ms per batch': Math.round(ms),
      'against the Map': (ms / base).toFixed(2),
      'longest pause ms': Math.round(longestPauseMs),
      'longest gc ms': Math.round(longestGcMs),
      'heap bytes/key': Math.round((heapBytes - heapUsed) / keys),
      'resident bytes/key': Math.round((rssBytes - rss) / keys),
    });
  }
  return { title: `${changed.toLocaleString('en')} of ${keys.toLocaleString('en')} keys per batch`, rows };
}

export const bench: Bench = {
  title: 'keyed state in memory',
  measures:
    'A batch reads, changes and writes 100,000 keys at random: median of 7 batches, CPU time of the thread. The table encodes each change for the log and merges it; nothing is uploaded.',
  run: async () => {
    const keys = Number(process.env.STATE_BENCH_KEYS ?? 1_000_000);
    // One JSON text can't hold more than half a gigabyte.
    return [await restores(Math.min(keys, 2_000_000)), await updates(keys)];
  },
};
