import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench, BenchCircumstances } from './bench.ts';
import { buildProgram } from './built-program.ts';
import { type IntervalRun, type IntervalVerdict, measuredMs, verdictOn } from './interval-verdict.ts';
import { installSpark } from './peers/spark.ts';
import { alone, compared, notRun, type ResultRow } from './result.ts';
import { NoResultError, resultOf } from './result-of.ts';

const eventsPerSecond = 20_000;
// A JVM takes its time to get fast.
const tidemark = { name: 'Tidemark', seconds: 26, tried: [5, 10, 20, 50, 100] };
const spark = { name: 'Spark', seconds: 40, tried: [50, 100, 200, 500, 1000] };
const latencyIntervalsMax = 3;

/** From the smallest interval on, until one is held. */
async function smallest(
  { name, seconds, tried }: typeof spark,
  command: readonly string[],
  { progress }: BenchCircumstances,
): Promise<IntervalVerdict[]> {
  const verdicts: IntervalVerdict[] = [];
  for (const intervalMs of tried) {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
    try {
      const args = [intervalMs, eventsPerSecond, seconds, folder].map(String);
      const run = await resultOf<IntervalRun>(command, args, (seconds + 60) * 1000);
      const verdict = verdictOn(run, intervalMs);
      verdicts.push(verdict);
      progress(`${name}, ${intervalMs} ms: ${isHeld(verdict) ? 'held' : 'not held'}`);
      if (isHeld(verdict)) break;
    } catch (error) {
      if (!(error instanceof NoResultError)) throw error;
      progress(`${name}, ${intervalMs} ms: ${error.message}`);
    } finally {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }
  return verdicts;
}

function isHeld({ isSustained, latencyP99Ms, intervalMs }: IntervalVerdict): boolean {
  return isSustained && latencyP99Ms < latencyIntervalsMax * intervalMs;
}

function cells(side: string, verdict: IntervalVerdict): Record<string, string | number> {
  const { intervalMs, isSustained, delayP50Ms, delayAtEndMs, latencyP50Ms, latencyP99Ms } = verdict;
  return {
    side,
    'interval ms': intervalMs,
    'keeps up': isSustained ? 'yes' : 'no',
    'starts late, p50 ms': delayP50Ms,
    'at the end ms': delayAtEndMs,
    'latency p50 ms': Math.round(latencyP50Ms),
    'latency p99 ms': Math.round(latencyP99Ms),
    'p99 in intervals': (latencyP99Ms / intervalMs).toFixed(1),
  };
}

function rowsOf(ours: readonly IntervalVerdict[], theirs: readonly IntervalVerdict[] | string): ResultRow[] {
  const what = `smallest interval held at ${eventsPerSecond.toLocaleString('en-US')} events/s with state`;
  const against = 'Spark Streaming, local[2]';
  const [own, peer] = [ours.at(-1), typeof theirs === 'string' ? undefined : theirs.at(-1)];
  if (own === undefined || !isHeld(own)) return [notRun(what, against, 'none of those tried was held here')];
  const rows = [
    alone({ what, unit: 'ms', ours: [own.intervalMs], atMost: 10 }),
    alone({
      what: `latency from creation to durable at ${own.intervalMs} ms batches, p99`,
      unit: 'intervals',
      ours: [own.latencyP99Ms / own.intervalMs],
      atMost: latencyIntervalsMax,
    }),
  ];
  if (peer === undefined) {
    return [...rows, notRun(what, against, typeof theirs === 'string' ? theirs : 'Spark gave no result in time')];
  }
  const note = isHeld(peer) ? undefined : `Spark did not hold ${peer.intervalMs} ms either; nothing longer was tried`;
  const sides = { against, better: 'less', ...(note !== undefined && { note }) } as const;
  return [
    ...rows,
    compared({ what, unit: 'ms', ours: [own.intervalMs], peer: [peer.intervalMs], ...sides }),
    ...[
      { at: 'p50', of: ({ latencyP50Ms }: IntervalVerdict) => latencyP50Ms },
      { at: 'p99', of: ({ latencyP99Ms }: IntervalVerdict) => latencyP99Ms },
    ].map(({ at, of }) =>
      compared({
        what: `latency from creation to durable, each side at its smallest interval, ${at}`,
        unit: 'ms',
        ours: [of(own)],
        peer: [of(peer)],
        ...sides,
      }),
    ),
  ];
}

export const bench: Bench = {
  title: 'The smallest batch interval that is held',
  measures:
    `${eventsPerSecond.toLocaleString('en-US')} events/s of 1,000 devices, made on time in the process; mapWithState keeps the highest value of each, every event gives a row. ` +
    `Held: over the last ${measuredMs / 1000} s of a run (${tidemark.seconds} s, Spark ${spark.seconds} s) the delay of the batches does not grow, and the p99 from the creation of an event to the end of its batch is below ` +
    `${latencyIntervalsMax} intervals. The smallest first, each in a process of its own. Tidemark: a batch ends when its record, with state and rows, is in a store that answers every ` +
    'request after 5 ms (in memory, so only the time of the network is in it). Spark: a batch ends when its rows are counted; it keeps its own checkpoint, to the local disk and beside the batches, ' +
    'so it is asked for less.',
  run: async (circumstances) => {
    const { file } = await buildProgram('interval-tidemark.ts');
    const ours = await smallest(tidemark, [process.execPath, file], circumstances);
    const peer = installSpark();
    const theirs =
      typeof peer === 'string'
        ? `Spark can't be had here: ${peer}`
        : await smallest(spark, peer.interval, circumstances);
    const rows = [
      ...ours.map((verdict) => cells('Tidemark', verdict)),
      ...(typeof theirs === 'string' ? [] : theirs.map((verdict) => cells('Spark', verdict))),
    ];
    return { tables: [{ title: 'what was tried', rows }], rows: rowsOf(ours, theirs) };
  },
};
