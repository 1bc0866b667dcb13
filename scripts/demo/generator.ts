import { parseArgs } from 'node:util';
import { SystemClock } from '../../src/base/clock.ts';
import { TidemarkError } from '../../src/base/errors.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { partitionOfKey } from '../../src/testing/event-hubs-emulator/partition-key.ts';
import { type Hub, openHub } from './hub.ts';
import { type LedgerContent, LedgerWriter, readLedger } from './ledger.ts';
import { runChild, tellParent } from './parent-channel.ts';
import { PartitionSender } from './partition-sender.ts';
import type { GeneratorMessage, StopMessage } from './protocol.ts';
import { Telemetry } from './telemetry.ts';

/**
 * Process that plays the thermostats: sends readings at a steady rate to the partition their device's key belongs to,
 * and keeps the ledger the verdict is computed from. Started by the supervisor; ends after its `stop` message.
 */

const tickMs = 50;

const { values } = parseArgs({
  options: {
    rate: { type: 'string' },
    devices: { type: 'string' },
    seed: { type: 'string' },
    ledger: { type: 'string' },
  },
});

function tell(message: GeneratorMessage): Promise<void> {
  return tellParent(message);
}

async function generate(rate: number, devices: number, seed: number, file: string): Promise<void> {
  const clock = new SystemClock();
  const hub = await openHub(process.env);
  const ledger = readLedger(file);
  const writer = new LedgerWriter(file);
  let send = ledger.lastSend;
  const senders = hub.partitions.map(
    (partition) =>
      new PartitionSender({ partition, append: (entry) => writer.append(entry), nextSend: () => ++send, clock }),
  );
  await settleOpenSends(hub, senders, ledger);
  await tell({ type: 'ready', startingSequenceNumbers: await nextSequenceNumbers(hub) });

  const telemetry = new Telemetry({
    devices,
    random: new SeededRandom(seed + ledger.lastSend),
    lastSeq: lastSeqs(readLedger(file)),
  });
  const running = Promise.all(senders.map((sender) => sender.run()));
  const stopped = new AbortController();
  process.on('message', (message: StopMessage) => {
    if (message.type === 'stop') stopped.abort();
  });
  running.catch(() => stopped.abort());
  const produced = await produce(rate, telemetry, senders, clock, stopped.signal);
  for (const sender of senders) sender.stop();
  await running;
  await hub.close();
  await tell({ type: 'finished', sent: produced });
}

/** An earlier generator was killed in the middle of a send: find out what became of it. */
async function settleOpenSends(hub: Hub, senders: readonly PartitionSender[], ledger: LedgerContent): Promise<void> {
  for (const { send, partition, lastSequenceNumber, ranges } of ledger.open) {
    const sender = senders[hub.partitions.findIndex(({ id }) => id === partition)];
    if (!sender)
      throw new TidemarkError(
        'SOURCE_RECREATED',
        `The ledger knows partition ${partition}, the hub has ${hub.partitions.length}.`,
      );
    const count = ranges.reduce((sum, [, first, last]) => sum + last - first + 1, 0);
    await sender.settle(send, lastSequenceNumber, count);
  }
}

/** Where each device left off. Readings that never arrived get their numbers again. */
function lastSeqs(ledger: LedgerContent): ReadonlyMap<string, number> {
  const seqs = new Map<string, number>();
  for (const [deviceId, { sent, uncertain }] of ledger.devices) {
    seqs.set(deviceId, Math.max(...[...sent, ...uncertain].map(([, , last]) => last)));
  }
  return seqs;
}

async function nextSequenceNumbers(hub: Hub): Promise<Record<string, number>> {
  const entries = await Promise.all(
    hub.partitions.map(async ({ id, lastSequenceNumber }) => [id, (await lastSequenceNumber()) + 1]),
  );
  return Object.fromEntries(entries) as Record<string, number>;
}

/** Readings at `rate` per second until `stop`; a full queue is waited for, not overrun. Resolves with how many were queued. */
async function produce(
  rate: number,
  telemetry: Telemetry,
  senders: readonly PartitionSender[],
  clock: SystemClock,
  stop: AbortSignal,
): Promise<number> {
  const startedMs = clock.now();
  let produced = 0;
  let toldMs = startedMs;
  let waiting: ReturnType<Telemetry['next']> | undefined;
  for (let tick = 1; !stop.aborted; tick++) {
    const due = Math.floor(((clock.now() - startedMs) / 1000) * rate);
    // At most a second's worth at once: after a pause of the machine the rate is kept, not made up for in one burst.
    for (let burst = 0; produced < due && burst < rate; burst++) {
      const reading = waiting ?? telemetry.next(clock.now());
      waiting = undefined;
      if (!senders[partitionOfKey(reading.deviceId, senders.length)]!.offer(reading)) {
        waiting = reading;
        break;
      }
      produced += 1;
    }
    if (clock.now() - toldMs >= 1000) {
      toldMs = clock.now();
      void tell({ type: 'progress', sent: produced, behind: due - produced });
    }
    await clock.waitUntil(startedMs + tick * tickMs, stop).catch(() => {});
  }
  return produced;
}

await runChild(() => generate(Number(values.rate), Number(values.devices), Number(values.seed), values.ledger ?? ''));
