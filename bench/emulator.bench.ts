import type { Bench } from './bench.ts';
import { fillHub, type Hubs, measured, reading, startHubs } from './hubs.ts';
import { alone } from './result.ts';

const events = 200_000;
const repeats = 5;
const smallBatch = 100;

/** CPU microseconds of the emulator per event while something runs. */
async function costOf(hubs: Hubs, count: number, work: () => Promise<unknown>): Promise<number> {
  const before = await hubs.cpuUs();
  await work();
  return ((await hubs.cpuUs()) - before) / count;
}

export const bench: Bench = {
  title: 'The local Event Hubs, which must not be the bottleneck of what is measured with it',
  measures:
    `Events of 200 bytes of JSON, 4 partitions, in memory. CPU is user and system time of the emulator's process, for everything from and to ` +
    `the socket. Received: ${events.toLocaleString('en-US')} events a round, sent by the SDK in batches of 1 MB or of ${smallBatch}. Delivered: all that is ` +
    'stored, to the source of a stream, connecting included. One emulator for all rounds, a hub for each.',
  run: async ({ rounds, progress }) => {
    const received: number[] = [];
    const receivedInSmall: number[] = [];
    const delivered: number[] = [];
    const few = events / 5;
    const hubs = await startHubs(Array.from({ length: rounds(repeats) + 1 }, (_, round) => `round-${round}`));
    const drain = (hub: string): Promise<unknown> =>
      measured('receive-tidemark.ts', {
        ...{ CONNECTION_STRING: hubs.connectionString, HUB: hub, FORMAT: 'bytes' },
        ...{ TOTAL: String(events + few), WARM: '0', BUFFER: '10000' },
      });
    // Round 0 is for the compiler and counts for nothing.
    for (let round = 0; round <= rounds(repeats); round++) {
      progress(round === 0 ? 'warming up' : `round ${round} of ${rounds(repeats)}`);
      const hub = `round-${round}`;
      const full = await costOf(hubs, events, () => fillHub(hubs, hub, events, reading));
      const small = await costOf(hubs, few, () => fillHub(hubs, hub, few, reading, smallBatch));
      const sent = await costOf(hubs, events + few, () => drain(hub));
      if (round === 0) continue;
      received.push(full);
      receivedInSmall.push(small);
      delivered.push(sent);
    }
    hubs.stop();
    const unit = 'CPU us/event';
    const rows = [
      alone({ what: 'received by the emulator, batches of 1 MB', unit, ours: received, atMost: 1 }),
      alone({ what: `received by the emulator, batches of ${smallBatch}`, unit, ours: receivedInSmall }),
      alone({ what: 'delivered by the emulator', unit, ours: delivered, atMost: 1.5 }),
    ];
    return { tables: [], rows };
  },
};
