import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { ByteWriter } from '../src/base/byte-writer.ts';
import { hashKey, keyIdentity } from '../src/base/canonical-key.ts';
import { sha256Hex } from '../src/base/checksum.ts';
import { copyPlain } from '../src/base/plain-data.ts';
import { SeededRandom } from '../src/base/random.ts';
import { finish } from '../src/base/turns.ts';
import { writeEntry } from '../src/state/state-codec.ts';
import type { Bench, BenchTable } from './bench.ts';
import { median } from './median.ts';
import { alone, compared, type ResultRow } from './result.ts';
import { cpuMs, type Device, device, fill, keyOf, newTable, Turns, threadMs } from './state-data.ts';
import { restores } from './state-restore.ts';

const changed = 100_000;
const batches = 12;
// The first are those of the compiler.
const batchesOfWarming = 4;
// With manifests on the way: long enough that ranges of a million keys are written anew.
const batchesOfRun = 40;
// As often as the classic way makes its checkpoint.
const batchesPerManifest = 10;
const decodedKeysMax = 1_000_000;

interface Row {
  readonly state: string;
  readonly batchMs: readonly number[];
  readonly turnMs: number;
  readonly delayMs: number;
  readonly gcMs: number;
  readonly bytesPerKey: number;
}

/** What is stored every `batchesPerManifest` batches, and every batch. */
interface Written {
  readonly way: string;
  readonly cpuMsPerBatch: number;
  readonly turnMs: number;
  readonly bytesPerBatch: number;
  readonly amplification: string;
  readonly space: string;
}

async function measured(
  what: { readonly state: string; readonly keys: number; readonly bytesPerKey: number; readonly batches: number },
  batch: (touched: Uint32Array, turns: Turns) => Promise<void>,
): Promise<Row> {
  const random = new SeededRandom(7);
  let gcMs = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) gcMs = Math.max(gcMs, duration);
  });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const batchMs: number[] = [];
  let turns = new Turns();
  for (let n = 0; n < what.batches; n++) {
    const touched = Uint32Array.from({ length: changed }, () => Math.floor(random.next() * what.keys));
    await turns.next();
    if (n === batchesOfWarming) {
      observer.observe({ entryTypes: ['gc'] });
      turns = new Turns();
    }
    if (n >= batchesOfWarming) delay.enable();
    const start = process.threadCpuUsage();
    turns.begin();
    await batch(touched, turns);
    await turns.next();
    const { user, system } = process.threadCpuUsage(start);
    delay.disable();
    if (n >= batchesOfWarming) batchMs.push((user + system) / 1000);
  }
  observer.disconnect();
  const { state, bytesPerKey } = what;
  return { state, batchMs, turnMs: turns.longestMs, delayMs: delay.max / 1e6, gcMs, bytesPerKey };
}

function memory(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

type Maps = readonly Map<string, Device>[];

/** One Map would stand still for a second while it grows, so the baseline is the best a program can do: many. */
function filledMaps(keys: number): Maps {
  const maps = Array.from({ length: 64 }, () => new Map<string, Device>());
  for (let i = 0; i < keys; i++) {
    const key = keyOf(i);
    maps[hashKey(key) & 63]!.set(key, device(i, 0));
  }
  return maps;
}

async function plainMaps(keys: number): Promise<{ rows: Row[]; classic: Written }> {
  const before = memory();
  const maps = filledMaps(keys);
  const bytesPerKey = (memory() - before) / keys;
  let n = 0;
  const batch = (encodes: boolean) => async (touched: Uint32Array, turns: Turns) => {
    n += 1;
    let writer = new ByteWriter();
    for (const [at, i] of touched.entries()) {
      const key = keyOf(i);
      const map = maps[hashKey(key) & 63]!;
      const value = map.get(key)!;
      const next = { ...value, sum: value.sum + 1.5, count: value.count + 1, lastMs: n };
      map.set(key, next);
      if (encodes) writeEntry(writer, 0, key, next, 0, 1);
      if (at % 12_500 !== 0) continue;
      writer = new ByteWriter();
      await turns.next();
    }
  };
  const rows = [
    await measured({ state: 'Map of objects (64 Maps)', keys, bytesPerKey, batches }, batch(false)),
    await measured({ state: 'the same, changed values encoded', keys, bytesPerKey, batches }, batch(true)),
  ];
  let bytes = 0;
  const full = await cpuMs(() => {
    for (const map of maps) {
      const writer = new ByteWriter();
      for (const [key, value] of map) writeEntry(writer, 0, key, value, 0, 1);
      sha256Hex(writer.view());
      bytes += writer.length;
    }
  });
  const classic = {
    way: `all of it every ${batchesPerManifest} batches, from the Maps`,
    cpuMsPerBatch: median(rows[0]!.batchMs) + full / batchesPerManifest,
    turnMs: full,
    bytesPerBatch: bytes / batchesPerManifest,
    amplification: (bytes / batchesPerManifest / (changed * (bytes / keys))).toFixed(2),
    space: '2.00',
  };
  return { rows, classic };
}

async function table(
  name: string,
  keys: number,
  { cellsMax, batches }: { readonly cellsMax: number; readonly batches: number },
): Promise<{ row: Row; written: Written }> {
  const before = memory();
  const state = newTable(cellsMax);
  let { batchId } = fill(state, keys);
  let log: number[] = [];
  let parts: { readonly from: number; readonly to: number; readonly bytes: number }[] = [];
  let manifestBytes = 0;
  let manifestMs = 0;
  const manifest = async (turns: Turns): Promise<void> => {
    await turns.next();
    const start = threadMs();
    for (const { kind, buckets, bytes } of state.extents(0.5)) {
      sha256Hex(bytes);
      manifestBytes += bytes.length;
      // An object goes when all of its buckets are in a later base; the bench counts it by its share of them.
      if (kind === 'base') parts = parts.flatMap((part) => without(part, buckets));
      parts.push({ ...buckets, bytes: bytes.length });
      await turns.next();
    }
    manifestMs += threadMs() - start;
    log = [];
  };
  await manifest(new Turns());
  const stateBytes = manifestBytes;
  const bytesPerKey = (memory() - before) / keys;
  manifestBytes = 0;
  manifestMs = 0;
  let logBytes = 0;
  let spaceMax = 0;
  let n = 0;
  const row = await measured({ state: name, keys, bytesPerKey, batches }, async (touched, turns) => {
    const byPartition: string[][] = Array.from({ length: state.numPartitions }, () => []);
    for (const i of touched) {
      const key = keyOf(i);
      byPartition[hashKey(key) % state.numPartitions]!.push(key);
    }
    await turns.next();
    batchId += 1;
    for (const [p, own] of byPartition.entries()) {
      const partition = state.partition(p);
      partition.begin();
      for (const key of own) {
        const id = keyIdentity(key);
        const value = copyPlain(partition.get(0, id)!.value) as Device;
        partition.put(0, id, key, { ...value, sum: value.sum + 1.5, count: value.count + 1, lastMs: batchId });
      }
      finish(partition.sealSteps());
      await turns.next();
    }
    log.push(state.seal().bytes.length);
    logBytes += log.at(-1)!;
    await turns.next();
    for (const _ of state.mergeSteps()) await turns.next();
    spaceMax = Math.max(spaceMax, sum(log) + sum(parts.map(({ bytes }) => bytes)));
    if (++n % batchesPerManifest === 0) await manifest(turns);
  });
  const written = {
    way: `${name}: changes every batch, a manifest every ${batchesPerManifest}`,
    cpuMsPerBatch: median(row.batchMs) + manifestMs / batches,
    turnMs: row.turnMs,
    bytesPerBatch: (logBytes + manifestBytes) / batches,
    amplification: ((logBytes + manifestBytes) / logBytes).toFixed(2),
    space: (spaceMax / stateBytes).toFixed(2),
  };
  return { row, written };
}

/** What is left of an extent when the buckets are in a newer base. */
function without(
  part: { readonly from: number; readonly to: number; readonly bytes: number },
  base: { readonly from: number; readonly to: number },
): { readonly from: number; readonly to: number; readonly bytes: number }[] {
  const pieces = [
    { from: part.from, to: Math.min(part.to, base.from) },
    { from: Math.max(part.from, base.to), to: part.to },
  ];
  return pieces
    .filter(({ from, to }) => from < to)
    .map(({ from, to }) => ({ from, to, bytes: (part.bytes * (to - from)) / (part.to - part.from) }));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

async function updates(keys: number): Promise<{ tables: BenchTable[]; results: ResultRow[] }> {
  const { rows, classic } = await plainMaps(keys);
  const written = [classic];
  if (keys <= decodedKeysMax) {
    const decoded = await table('table, decoded cells', keys, { cellsMax: Number.POSITIVE_INFINITY, batches });
    rows.push(decoded.row);
  }
  const bytes = await table('table, as bytes', keys, { cellsMax: 0, batches: batchesOfRun });
  rows.push(bytes.row);
  written.push(bytes.written);
  const base = median(rows[0]!.batchMs);
  const title = `${changed.toLocaleString('en')} of ${keys.toLocaleString('en')} keys per batch`;
  const results = [
    compared({
      what: `${title}, with the encoding for the log`,
      against: '64 Maps of objects that store nothing',
      unit: 'CPU ms per batch',
      ours: [median(bytes.row.batchMs)],
      peer: [base],
      better: 'less',
      atLeast: 0.5,
    }),
    alone({ what: `${title}, longest turn`, unit: 'ms', ours: [bytes.row.turnMs], atMost: 100 }),
    alone({ what: `${title}, longest collection`, unit: 'ms', ours: [bytes.row.gcMs], atMost: 100 }),
  ];
  const tables = [
    {
      title,
      rows: rows.map(({ state, batchMs, turnMs, delayMs, gcMs, bytesPerKey }) => ({
        state,
        'CPU ms per batch': Math.round(median(batchMs)),
        'against the Map': (median(batchMs) / base).toFixed(2),
        'longest turn, CPU ms': Math.round(turnMs),
        'longest delay ms': Math.round(delayMs),
        'longest gc ms': Math.round(gcMs),
        'memory, bytes/key': Math.round(bytesPerKey),
      })),
    },
    {
      title: `${title}: what is stored`,
      rows: written.map(({ way, cpuMsPerBatch, turnMs, bytesPerBatch, amplification, space }) => ({
        way,
        'CPU ms per batch': Math.round(cpuMsPerBatch),
        'longest turn, CPU ms': Math.round(turnMs),
        'MB per batch': (bytesPerBatch / 1e6).toFixed(1),
        'written / changed': amplification,
        'kept / state, at most': space,
      })),
    },
  ];
  return { tables, results };
}

export const bench: Bench = {
  title: 'keyed state in memory',
  measures:
    'A batch reads, changes and writes 100,000 keys at random: median over batches, CPU time of the thread. The table encodes each change for the log and merges it; nothing is uploaded.',
  run: async () => {
    const tables: BenchTable[] = [];
    const rows: ResultRow[] = [];
    for (const keys of (process.env.STATE_BENCH_KEYS ?? '1000000').split(',').map(Number)) {
      const restored = await restores(keys);
      const updated = await updates(keys);
      tables.push(restored.table, ...updated.tables);
      rows.push(...restored.results, ...updated.results);
    }
    return { tables, rows };
  },
};
