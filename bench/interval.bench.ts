import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench, BenchCircumstances, BenchTable } from './bench.ts';
import { buildProgram } from './built-program.ts';
import { smallestHeld } from './interval-search.ts';
import {
  type IntervalRun,
  type IntervalVerdict,
  latencyIntervalsMax,
  measuredMs,
  verdictOn,
} from './interval-verdict.ts';
import { installSpark } from './peers/spark.ts';
import { alone, compared, notRun, type ResultRow } from './result.ts';
import { NoResultError, resultOf } from './result-of.ts';

const eventsPerSecond = 20_000;
const targetMs = 10;
// A JVM takes its time to get fast. At most six runs a side, so all of it stays below six minutes.
const tidemark = { name: 'Tidemark', seconds: 18, tried: [2, 5, 7, 10, 20, 50, 100] };
const spark = { name: 'Spark', seconds: 32, tried: [20, 50, 100, 200, 500, 1000, 2000] };
const startSecondsMax = 30;
const tries = 2;
const against = 'Spark Streaming, local[2]';

interface Found {
  readonly verdicts: readonly IntervalVerdict[];
  readonly smallest: IntervalVerdict | undefined;
}

/** Every run in a process and a folder of its own. */
async function find(
  { name, seconds, tried }: typeof spark,
  command: readonly string[],
  { progress, rounds }: BenchCircumstances,
): Promise<Found> {
  const { verdicts, smallest } = await smallestHeld(tried, rounds(tries), async (intervalMs) => {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
    try {
      const args = [intervalMs, eventsPerSecond, seconds, folder].map(String);
      const run = await resultOf<IntervalRun>(command, args, (seconds + startSecondsMax) * 1000);
      const verdict = verdictOn(run, intervalMs);
      const { isHeld, isFarOff, isSustained, latencyP99Ms } = verdict;
      const how = `${isSustained ? 'keeps up' : 'falls behind'}, p99 ${Math.round(latencyP99Ms)} ms`;
      progress(`${name}, ${intervalMs} ms: ${isHeld ? 'held' : 'not held'} (${how})`);
      return { verdict, isHeld, isFarOff };
    } catch (error) {
      if (!(error instanceof NoResultError)) throw error;
      progress(`${name}, ${intervalMs} ms: ${error.message}`);
      return { verdict: undefined, isHeld: false, isFarOff: false };
    } finally {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  });
  return { verdicts: verdicts.filter((verdict) => verdict !== undefined), smallest };
}

function cells(side: string, verdict: IntervalVerdict): BenchTable['rows'][number] {
  const { intervalMs, isHeld, isSustained, delayP50Ms, delayAtEndMs, latencyP50Ms, latencyP99Ms, cpuMsPerBatch } =
    verdict;
  return {
    side,
    'interval ms': intervalMs,
    'held?': isHeld ? 'yes' : 'no',
    'keeps up?': isSustained ? 'yes' : 'no',
    'starts late, p50 ms': delayP50Ms,
    'at the end ms': delayAtEndMs,
    'latency p50 ms': Math.round(latencyP50Ms),
    'latency p99 ms': Math.round(latencyP99Ms),
    'p99 in intervals': (latencyP99Ms / intervalMs).toFixed(1),
    'CPU ms/batch': Number(cpuMsPerBatch.toPrecision(3)),
  };
}

function rowsOf({ smallest: own }: Found, theirs: Found | string): ResultRow[] {
  const what = `smallest interval held at ${eventsPerSecond.toLocaleString('en-US')} events/s with state`;
  if (own === undefined) {
    const note = `none up to ${tidemark.tried.at(-1)} ms was held here`;
    return [{ what, against, unit: 'ms', target: `at most ${targetMs} ms`, isReached: false, note }];
  }
  const rows = [
    alone({ what, unit: 'ms', ours: [own.intervalMs], atMost: targetMs }),
    alone({
      what: `latency from creation to durable at ${own.intervalMs} ms batches, p99`,
      unit: 'intervals',
      ours: [own.latencyP99Ms / own.intervalMs],
      atMost: latencyIntervalsMax,
    }),
  ];
  if (typeof theirs === 'string') return [...rows, notRun(what, against, theirs)];
  const peer = theirs.smallest;
  if (peer === undefined) {
    return [...rows, notRun(what, against, `Spark held none of its intervals, up to ${spark.tried.at(-1)} ms`)];
  }
  const sides = { against, better: 'less' } as const;
  const latency = (at: string, of: (verdict: IntervalVerdict) => number): ResultRow =>
    compared({
      ...{ what: `latency from creation to durable, each side at its smallest interval, ${at}`, unit: 'ms', ...sides },
      ...{ ours: [of(own)], peer: [of(peer)] },
    });
  return [
    ...rows,
    compared({ what, unit: 'ms', ours: [own.intervalMs], peer: [peer.intervalMs], ...sides }),
    latency('p50', ({ latencyP50Ms }) => latencyP50Ms),
    latency('p99', ({ latencyP99Ms }) => latencyP99Ms),
  ];
}

export const bench: Bench = {
  title: 'The smallest batch interval that is held',
  measures:
    `${eventsPerSecond.toLocaleString('en-US')} events/s of 1,000 devices, made on time in the process; mapWithState keeps the highest value of each, every event gives a row. ` +
    `Held: over the last ${measuredMs / 1000} s of a run (${tidemark.seconds} s, Spark ${spark.seconds} s) batches do not begin later and later (last quarter against first, one interval of grace), no queue of ten batches ` +
    `stands, and the p99 from the creation of an event to the end of its batch is below ${latencyIntervalsMax} intervals. Searched by halving, every run in a process of its own; what is not held is tried once more. ` +
    'Tidemark: a batch ends when its record, with state and rows, is in a store that answers every request after 5 ms (in memory, so only the time of the network is in it; a timer makes 5 to 6 ms of it). With one write at a time ' +
    'an event waits for its batch, for the write that is under way and for its own, so no interval much below 7 ms can be held with such a store. Spark: a batch ends when its rows are counted; it keeps its own checkpoint, ' +
    'to the local disk and beside the batches, so it is asked for less.',
  run: async (circumstances) => {
    const { file } = await buildProgram('interval-tidemark.ts');
    const ours = await find(tidemark, [process.execPath, file], circumstances);
    const outcome = (theirs: Found | string) => ({
      tables: [
        {
          title: 'what was tried',
          rows: [
            ...ours.verdicts.map((verdict) => cells('Tidemark', verdict)),
            ...(typeof theirs === 'string' ? [] : theirs.verdicts.map((verdict) => cells('Spark', verdict))),
          ],
        },
      ],
      rows: rowsOf(ours, theirs),
    });
    circumstances.keep(outcome('it was not tried to its end'));
    const peer = installSpark();
    if (typeof peer !== 'string') return outcome(await find(spark, peer.interval, circumstances));
    circumstances.progress(`Spark can't be had here, so it is left out: ${peer}`);
    return outcome(`it can't be had here: ${peer}`);
  },
};
