import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Child } from '../../../scripts/demo/child.ts';
import { readLedger } from '../../../scripts/demo/ledger.ts';
import type { GeneratorMessage } from '../../../scripts/demo/protocol.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing.ts';

const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const partitions = [0, 1, 2];

async function startEmulator(): Promise<EventHubsEmulator> {
  const emulator = await startEventHubsEmulator({ hubs: [{ name: 'telemetry', partitionCount: partitions.length }] });
  closing.push(() => emulator.stop());
  return emulator;
}

function startGenerator(emulator: EventHubsEmulator, ledger: string): Child<GeneratorMessage> {
  const lines: string[] = [];
  const generator = new Child<GeneratorMessage>({
    name: 'generator',
    script: 'scripts/demo/generator.ts',
    args: ['--rate=2000', '--devices=100', '--seed=5', `--ledger=${ledger}`],
    env: { EVENTHUB_CONNECTION_STRING: emulator.connectionString, EVENTHUB_NAME: 'telemetry' },
    onMessage: (message) => {
      if (message.type === 'failed') lines.push(message.message);
    },
    onLine: (line) => lines.push(line),
  });
  closing.push(() => generator.kill());
  return generator;
}

function ledgerFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-generator-'));
  closing.push(async () => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'ledger.jsonl');
}

function inHub(emulator: EventHubsEmulator): number {
  return partitions.reduce(
    (sum, partition) => sum + emulator.partitionProperties('telemetry', partition).nextSequenceNumber,
    0,
  );
}

async function finish(generator: Child<GeneratorMessage>): Promise<void> {
  const finished = generator.next('finished', 60_000);
  generator.send({ type: 'stop' });
  await finished;
  expect(await generator.ended).toEqual({ code: 0, signal: null });
}

/** The ledger knows exactly what the hub holds: every device's readings, each once, none uncertain. */
function expectTrue(emulator: EventHubsEmulator, file: string): void {
  const ledger = readLedger(file);
  expect(ledger).toMatchObject({ sent: inHub(emulator), uncertain: 0, open: [] });
  for (const { sent } of ledger.devices.values()) {
    let next = 1;
    for (const [, first, last] of sent) {
      expect(first).toBe(next);
      next = last + 1;
    }
  }
}

test('the ledger is true although answers are lost, sends are refused and connections drop', async () => {
  const emulator = await startEmulator();
  const file = ledgerFile();
  const generator = startGenerator(emulator, file);
  await generator.next('ready', 60_000);
  await generator.next('progress', 10_000);
  emulator.faults.loseAccepts(2);
  await generator.next('progress', 10_000);
  emulator.faults.throttleSends(2);
  await generator.next('progress', 10_000);
  emulator.faults.dropConnections();
  await generator.next('progress', 10_000);
  await finish(generator);
  expect(readLedger(file).sent).toBeGreaterThan(4000);
  // The faults hit: refused sends were found not to be in the hub.
  expect(readFileSync(file, 'utf8')).toContain('"dropped"');
  expectTrue(emulator, file);
}, 60_000);

test('a killed generator is continued from its ledger, each device without a gap', async () => {
  const emulator = await startEmulator();
  const file = ledgerFile();
  const first = startGenerator(emulator, file);
  expect(await first.next('ready', 60_000)).toMatchObject({ startingSequenceNumbers: { 0: 0, 1: 0, 2: 0 } });
  await first.next('progress', 10_000);
  // Sends are stored but not answered: the kill leaves open sends that are in the hub.
  emulator.faults.loseAccepts(3, 'silent');
  await first.next('progress', 10_000);
  await first.kill();
  const interrupted = readLedger(file);
  expect(interrupted.open.length).toBeGreaterThan(0);
  const before = inHub(emulator);

  emulator.faults.clear();
  const second = startGenerator(emulator, file);
  const { startingSequenceNumbers } = await second.next('ready', 60_000);
  expect(Object.values(startingSequenceNumbers).reduce((a, b) => a + b, 0)).toBe(before);
  await second.next('progress', 10_000);
  await finish(second);
  expectTrue(emulator, file);
}, 60_000);
