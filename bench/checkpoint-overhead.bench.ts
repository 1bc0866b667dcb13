import type { Bench } from './bench.ts';
import { eventsPerSecond, fillHub, measured, type Run, reading, startHubs } from './hubs.ts';
import { compared, type ResultRow } from './result.ts';

const hub = 'telemetry';
/** Eight seconds or so: of two seconds the answer to the last commit was one part in twenty. */
const events = 1_200_000;
const warm = 200_000;
/** More than a batch's time is enough for, so that the engine never waits for the next one. */
const lines = 150_000;
const batches = 6;
const warmBatches = 2;
const repeats = 5;

const perCpuSecond = ({ cpuUs, events: count }: Run): number => (count / cpuUs) * 1e6;

/** One side after the other, first one and then the other first. */
async function both(rounds: number, run: (checkpoint: string, round: number) => Promise<Run>): Promise<[Run[], Run[]]> {
  const [on, off]: [Run[], Run[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) on.push(await run('distant', round));
    off.push(await run('off', round));
    if (round % 2 === 1) on.push(await run('distant', round));
  }
  return [on, off];
}

function rows(what: string, [on, off]: [Run[], Run[]], unit: string): ResultRow[] {
  const against = 'the same program without a checkpoint';
  const shape = { what, against, better: 'more', atLeast: 0.95 } as const;
  return [
    compared({ ...shape, unit: `${unit}/s`, ours: on.map(eventsPerSecond), peer: off.map(eventsPerSecond) }),
    compared({ ...shape, unit: `${unit} per CPU second`, ours: on.map(perCpuSecond), peer: off.map(perCpuSecond) }),
  ];
}

export const bench: Bench = {
  title: 'What checkpointing costs: the same programs with and without it',
  measures:
    `The end-to-end program (a sliding average, an alarm per device, both outputs) over ${events.toLocaleString('en-US')} events of the hub, ` +
    `batches of 250 ms; and a count of words over all batches, ${lines.toLocaleString('en-US')} generated lines in batches of 1 s, which takes longer than that. The checkpoint is in ` +
    'a store that answers after 10 to 30 ms and is in memory otherwise, so its own work is hardly in it. Without a checkpoint ' +
    'state stays in memory, and outputs are written at once. In turn, each in a fresh process, the first batches not counted.',
  run: async ({ rounds, progress }) => {
    const hubs = await startHubs([hub]);
    try {
      const env = { CONNECTION_STRING: hubs.connectionString, HUB: hub, TOTAL: String(events), WARM: String(warm) };
      await fillHub(hubs, hub, events, reading);
      const drained = await both(rounds(repeats), (CHECKPOINT, round) => {
        progress(`events of the hub, checkpoint ${CHECKPOINT}, round ${round + 1} of ${rounds(repeats)}`);
        return measured<Run>('end-to-end-tidemark.ts', { ...env, RUN: 'overhead', CHECKPOINT });
      });
      const counted = await both(rounds(repeats), (CHECKPOINT, round) => {
        progress(`words of lines, checkpoint ${CHECKPOINT}, round ${round + 1} of ${rounds(repeats)}`);
        const plan = { LINES: String(lines), BATCHES: String(batches), WARM: String(warmBatches) };
        return measured<Run>('checkpoint-overhead-words.ts', { ...plan, CHECKPOINT });
      });
      return {
        tables: [],
        rows: [
          ...rows('checkpointing, events of the hub', drained, 'events'),
          ...rows('checkpointing, stateful word count', counted, 'lines'),
        ],
      };
    } finally {
      hubs.stop();
    }
  },
};
