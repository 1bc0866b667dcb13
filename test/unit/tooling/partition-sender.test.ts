import { expect, test } from 'vitest';
import { type LedgerEntry, parseLedger } from '../../../scripts/demo/ledger.ts';
import { type HubPartition, PartitionSender } from '../../../scripts/demo/partition-sender.ts';
import { type Reading, Telemetry } from '../../../scripts/demo/telemetry.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';

type Outcome = 'accepted' | 'answer lost' | 'never arrived' | 'no link' | 'other writer';

/** A partition that keeps what it gets, and fails in the given ways before it works. */
class Partition implements HubPartition {
  readonly id = '0';
  readonly stored: string[] = [];
  readonly outcomes: Outcome[];
  messageMax = 100;

  constructor(outcomes: Outcome[] = []) {
    this.outcomes = outcomes;
  }

  async send(readings: readonly Reading[], willSend: (count: number) => void): Promise<number> {
    const outcome = this.outcomes.shift() ?? 'accepted';
    if (outcome === 'no link') throw new Error('connection refused');
    const fitting = readings.slice(0, this.messageMax);
    willSend(fitting.length);
    if (outcome !== 'never arrived') this.stored.push(...fitting.map(({ deviceId, seq }) => `${deviceId}:${seq}`));
    if (outcome === 'other writer') this.stored.push('foreign:1');
    if (outcome !== 'accepted') throw new Error('connection lost');
    return fitting.length;
  }

  async lastSequenceNumber(): Promise<number> {
    return this.stored.length - 1;
  }
}

async function sendAll(partition: Partition, readings: readonly Reading[]): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  const clock = new ManualClock();
  let send = 0;
  const sender = new PartitionSender({
    partition,
    append: (entry) => entries.push(entry),
    nextSend: () => ++send,
    clock,
  });
  for (const reading of readings) sender.offer(reading);
  sender.stop();
  let running = true;
  const done = sender.run().finally(() => {
    running = false;
  });
  while (running) {
    clock.advanceBy(1000);
    await Promise.resolve();
  }
  await done;
  return entries;
}

function readings(count: number): Reading[] {
  const telemetry = new Telemetry({ devices: 7, random: new SeededRandom(3) });
  return Array.from({ length: count }, () => telemetry.next(0));
}

/** Every reading is in the partition once, in order, and the ledger says so. */
function expectOnce(partition: Partition, entries: readonly LedgerEntry[], all: readonly Reading[]): void {
  expect(partition.stored).toEqual(all.map(({ deviceId, seq }) => `${deviceId}:${seq}`));
  const ledger = parseLedger(entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
  expect(ledger).toMatchObject({ sent: all.length, uncertain: 0, open: [] });
}

test('what does not fit into one message goes into the next', async () => {
  const partition = new Partition();
  const all = readings(250);
  const entries = await sendAll(partition, all);
  expectOnce(partition, entries, all);
  expect(entries.filter(({ kind }) => kind === 'sent')).toHaveLength(3);
});

test('a send whose answer was lost is not sent again', async () => {
  const partition = new Partition(['accepted', 'answer lost']);
  const all = readings(250);
  expectOnce(partition, await sendAll(partition, all), all);
});

test('a send that never arrived is sent again, under a new number', async () => {
  const partition = new Partition(['never arrived', 'never arrived', 'answer lost']);
  const all = readings(50);
  const entries = await sendAll(partition, all);
  expectOnce(partition, entries, all);
  expect(entries.map(({ kind, send }) => `${send} ${kind}`)).toEqual([
    '1 sending',
    '1 dropped',
    '2 sending',
    '2 dropped',
    '3 sending',
    '3 sent',
  ]);
});

test('a failure before anything was on its way leaves no entry', async () => {
  const partition = new Partition(['no link', 'no link']);
  const all = readings(5);
  const entries = await sendAll(partition, all);
  expectOnce(partition, entries, all);
  expect(entries).toHaveLength(2);
});

test('a send that cannot be told from the events of another writer is uncertain and is not repeated', async () => {
  const partition = new Partition(['other writer']);
  const entries = await sendAll(partition, readings(150));
  const ledger = parseLedger(entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
  expect(ledger).toMatchObject({ sent: 50, uncertain: 100 });
  expect(partition.stored).toHaveLength(151);
});

test('a partition that stays away is given up with its name', async () => {
  const partition = new Partition(Array.from({ length: 40 }, () => 'no link' as const));
  await expect(sendAll(partition, readings(1))).rejects.toMatchObject({
    code: 'SOURCE_UNAVAILABLE',
    message: /Partition 0/,
  });
});

test('the same seed gives the same readings, each device counts from one without a gap', () => {
  const all = readings(5000);
  expect(all).toEqual(readings(5000));
  const seqs = new Map<string, number>();
  for (const { deviceId, seq, temperature } of all) {
    expect(seq).toBe((seqs.get(deviceId) ?? 0) + 1);
    expect(temperature).toBeGreaterThan(10);
    expect(temperature).toBeLessThan(40);
    seqs.set(deviceId, seq);
  }
  expect(seqs.size).toBe(7);
});

test('some devices overheat and some fall silent', () => {
  const telemetry = new Telemetry({ devices: 100, random: new SeededRandom(1) });
  const hot = new Set<string>();
  const lastAt = new Map<string, number>();
  let longestSilenceMs = 0;
  for (let nowMs = 0; nowMs < 60_000; nowMs += 2) {
    const { deviceId, temperature } = telemetry.next(nowMs);
    if (temperature > 30) hot.add(deviceId);
    longestSilenceMs = Math.max(longestSilenceMs, nowMs - (lastAt.get(deviceId) ?? nowMs));
    lastAt.set(deviceId, nowMs);
  }
  expect(hot.size).toBeGreaterThan(5);
  expect(hot.size).toBeLessThan(60);
  expect(longestSilenceMs).toBeGreaterThan(10_000);
});
