import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { ByteWriter } from '../src/base/byte-writer.ts';
import { hashKey, keyIdentity } from '../src/base/canonical-key.ts';
import { sha256Hex } from '../src/base/checksum.ts';
import { SeededRandom } from '../src/base/random.ts';
import { Turns as EngineTurns, keysPerStep, type Steps } from '../src/base/turns.ts';
import { MapWithStateNode, StateSpec } from '../src/dstream/map-with-state.ts';
import { ownValue } from '../src/state/pane.ts';
import { writeEntry } from '../src/state/state-codec.ts';
import type { StatePartition } from '../src/state/state-partition.ts';
import type { StateTable } from '../src/state/state-table.ts';
import { StateStream } from '../test/support/state-stream.ts';
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

async function memory(): Promise<number> {
  // What was measured before is held until its last call has returned.
  await setImmediate();
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
  const before = await memory();
  const maps = filledMaps(keys);
  const bytesPerKey = ((await memory()) - before) / keys;
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

interface Measured {
  readonly row: Row;
  readonly written: Written;
}

/** A batch of the state table alone, by the engine's own steps and turns. */
async function table(
  name: string,
  keys: number,
  { cellsMax, batches }: { readonly cellsMax: number; readonly batches: number },
): Promise<Measured> {
  const before = await memory();
  const state = newTable(cellsMax);
  fill(state, keys);
  let n = 0;
  return measuredTable(name, keys, batches, state, before, async (touched, turns) => {
    const engine = engineTurns(turns);
    const byPartition: string[][] = Array.from({ length: state.numPartitions }, () => []);
    for (const i of touched) {
      const key = keyOf(i);
      byPartition[hashKey(key) % state.numPartitions]!.push(key);
    }
    n += 1;
    // In the engine that is a shuffle, which gives way by itself.
    turns.begin();
    for (const [p, own] of byPartition.entries()) {
      const partition = state.partition(p);
      partition.begin();
      await engine.run(update(partition, own, n));
      await engine.run(partition.sealSteps());
    }
    const { length } = (await engine.run(state.sealSteps())).bytes;
    await engine.run(state.mergeSteps());
    return length;
  });
}

function* update(partition: StatePartition, keys: readonly string[], n: number): Steps {
  for (const [index, key] of keys.entries()) {
    const id = keyIdentity(key);
    const cell = partition.get(0, id)!;
    const value = ownValue(cell) as Device;
    partition.put(0, id, key, { ...value, sum: value.sum + 1.5, count: value.count + 1, lastMs: n }, 0, cell);
    if ((index + 1) % keysPerStep === 0) yield;
  }
}

/** The same batch as a program has it: rows of a source, shuffled to the keys' partitions, and mapWithState on them. */
async function operator(keys: number): Promise<Measured> {
  const before = await memory();
  let turns = new Turns();
  const stream = new StateStream<readonly [string, number]>({
    partitions: newTable().numPartitions,
    turns: { yieldToLoop: () => turns.next() },
  });
  const spec = StateSpec.function<string, number, Device, undefined>((_key, amount, state, time) => {
    const value = state.get();
    state.update({ ...value, sum: value.sum + amount!, count: value.count + 1, lastMs: time.milliseconds });
  });
  const { table: state } = new MapWithStateNode(stream.source, spec, { uid: 'bench' });
  fill(state, keys);
  return measuredTable('mapWithState, through the engine', keys, batches, state, before, async (touched, of) => {
    turns = of;
    const rows = Array.from(touched, (i) => [keyOf(i), 1.5] as const);
    // The source's own work.
    turns.begin();
    const [delta] = await stream.run(rows);
    return delta!.bytes.length;
  });
}

/** The engine's own turns, seen by those of the benchmark. */
function engineTurns(turns: Turns): EngineTurns {
  return new EngineTurns({ yieldToLoop: () => turns.next() });
}

/** `batch` changes the state and gives the bytes that go into the log. */
async function measuredTable(
  name: string,
  keys: number,
  batches: number,
  state: StateTable,
  memoryBefore: number,
  batch: (touched: Uint32Array, turns: Turns) => Promise<number>,
): Promise<Measured> {
  let log: number[] = [];
  let parts: { readonly from: number; readonly to: number; readonly bytes: number }[] = [];
  let manifestBytes = 0;
  let manifestMs = 0;
  const manifest = async (turns: Turns): Promise<void> => {
    const engine = engineTurns(turns);
    await turns.next();
    const start = threadMs();
    for (const extent of state.extentSteps(state.planExtents(0.5))) {
      if (extent !== undefined) {
        const { kind, buckets, bytes } = extent;
        sha256Hex(bytes);
        manifestBytes += bytes.length;
        // An object goes when all of its buckets are in a later base; the bench counts it by its share of them.
        if (kind === 'base') parts = parts.flatMap((part) => without(part, buckets));
        parts.push({ ...buckets, bytes: bytes.length });
      }
      if (engine.isOver) await engine.give();
    }
    manifestMs += threadMs() - start;
    log = [];
  };
  await manifest(new Turns());
  const stateBytes = manifestBytes;
  const bytesPerKey = ((await memory()) - memoryBefore) / keys;
  manifestBytes = 0;
  manifestMs = 0;
  let logBytes = 0;
  let spaceMax = 0;
  let n = 0;
  const row = await measured({ state: name, keys, bytesPerKey, batches }, async (touched, turns) => {
    log.push(await batch(touched, turns));
    logBytes += log.at(-1)!;
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
  const engine = await operator(keys);
  rows.push(engine.row);
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
    alone({ what: `${title}, longest turn of the table`, unit: 'ms', ours: [bytes.row.turnMs], atMost: 100 }),
    alone({ what: `${title}, longest turn of mapWithState`, unit: 'ms', ours: [engine.row.turnMs], atMost: 100 }),
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
    "A batch reads, changes and writes 100,000 keys at random: median over batches, CPU time of the thread. The table encodes each change for the log and merges it, in the engine's own steps; nothing is uploaded. A turn is CPU time between two turns of the event loop.",
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
