import { Milliseconds } from '../src/base/time.ts';
import type { Source, SourcePlan } from '../src/sources/source.ts';
import { StreamingContext } from '../src/streaming-context.ts';
import type { Bench, BenchOutcome } from './bench.ts';
import { alone, type ResultRow } from './result.ts';

const sliceMs = 2;
const load = 0.6;
// The bare timer ticks here, when the batch is through.
const bareAt = 0.85;

type Kind = 'idle' | 'slices' | 'one piece';

interface Lateness {
  readonly batches: number[];
  readonly bare: number[];
}

/** Milliseconds since the Unix epoch as Date counts them, with the digits Date does not have. */
const epochMs = ((): (() => number) => {
  // Date cuts the digits off, and whoever interrupts us between the two makes it less still: the largest is the offset.
  let offset = 0;
  for (const end = performance.now() + 20; performance.now() < end; ) {
    offset = Math.max(offset, Date.now() - performance.now());
  }
  return () => offset + performance.now();
})();

function spin(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** `rows` rows per batch in one partition; notes when each batch was planned, which is the first thing a batch does. */
function ticking(rows: number, planned: (batchTimeMs: number) => void): Source<number> {
  return {
    kind: 'ticking',
    identity: {},
    start: async () => {},
    position: () => 0,
    plan: async (batchTimeMs): Promise<SourcePlan> => {
      planned(batchTimeMs);
      return { partitions: [0], position: 0, records: rows };
    },
    adopt: () => {},
    read: async (_, __, push) => void push(Array.from({ length: rows }, (_, i) => i)),
    committed: () => {},
    backlog: () => 0,
    stop: async () => {},
  };
}

async function measure(intervalMs: number, kind: Kind, batches: number): Promise<Lateness> {
  const slices = Math.round((intervalMs * load) / sliceMs);
  const rows = kind === 'idle' ? 0 : kind === 'slices' ? slices : 1;
  const spinMs = kind === 'slices' ? sliceMs : slices * sliceMs;
  const late: Lateness = { batches: [], bare: [] };
  const done = Promise.withResolvers<void>();
  // The first ones compile.
  const warmUp = Math.min(10, Math.ceil(batches / 5));
  let count = 0;
  const ssc = new StreamingContext({
    appName: 'timing',
    batchInterval: Milliseconds(intervalMs),
    startReport: false,
    environment: { allowSeveral: true },
  });
  const source = ticking(rows, (batchTimeMs) => {
    const lateMs = epochMs() - batchTimeMs;
    count += 1;
    if (count > warmUp) late.batches.push(lateMs);
    if (count === batches + warmUp) done.resolve();
    const bareMs = batchTimeMs + intervalMs * bareAt;
    if (bareMs > epochMs()) setTimeout(() => count > warmUp && late.bare.push(epochMs() - bareMs), bareMs - epochMs());
  });
  ssc
    .sourceStream(source)
    .map((row) => {
      spin(spinMs);
      return row;
    })
    .foreachRDD(async (rdd) => void (await rdd.count()));
  await ssc.start();
  await done.promise;
  await ssc.stop();
  return late;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export const bench: Bench = {
  title: 'How late batches start',
  measures:
    'From the batch time until the batch asks its source for a plan, on the wall clock: what else runs on the machine is in it. Beside it ' +
    `how late one bare setTimeout per interval is, armed for ${bareAt * 100} % of the interval, when nothing of ours is running: that much ` +
    `is not the engine's. Load: ${load * 100} % of the interval in the function of a map, in slices of ${sliceMs} ms (a row each) or in one piece.`,
  run: async ({ rounds, progress }): Promise<BenchOutcome> => {
    const table: Record<string, string | number>[] = [];
    const rows: ResultRow[] = [];
    for (const [intervalMs, batches] of [
      [100, rounds(150)],
      [1000, Math.ceil(rounds(150) / 6)],
    ] as const) {
      for (const kind of ['idle', 'slices', 'one piece'] as const) {
        progress(`${intervalMs} ms, ${kind}`);
        const late = await measure(intervalMs, kind, batches);
        const [p50, p99, worst] = [0.5, 0.99, 1].map((q) => quantile(late.batches, q)) as [number, number, number];
        table.push({
          'interval ms': intervalMs,
          load: kind,
          batches: late.batches.length,
          'p50 ms': p50,
          'p99 ms': p99,
          'worst ms': worst,
          'bare timer p50 ms': quantile(late.bare, 0.5),
          'bare timer p99 ms': quantile(late.bare, 0.99),
        });
        rows.push(
          alone({
            what: `batches of ${intervalMs} ms start late by, load ${kind}`,
            unit: 'ms',
            ours: late.batches,
            atMost: 2,
            note: `p99 ${p99.toFixed(2)} ms; a bare timer meanwhile p50 ${quantile(late.bare, 0.5).toFixed(2)}, p99 ${quantile(late.bare, 0.99).toFixed(2)} ms`,
          }),
        );
      }
    }
    return { tables: [{ title: 'milliseconds after the batch time', rows: table }], rows };
  },
};
