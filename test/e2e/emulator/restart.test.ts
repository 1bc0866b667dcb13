import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventHubProducerClient } from '@azure/event-hubs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { recordHeaderBytes } from '../../../src/testing/event-hubs-emulator/record.ts';
import { startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator.ts';
import {
  closeWhenFinished,
  connectConsumer,
  connectProducer,
  earliest,
  hub,
  range,
  readBodies,
  readEvents,
  retryOptions,
  sendNumbers,
  startEmulator,
} from './clients.ts';

const segmentHeaderBytes = 32;

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'emulator-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const lastSegment = async (folder: string, partition: number): Promise<string> => {
  const path = join(folder, hub, String(partition));
  const names = (await readdir(path)).filter((name) => name.endsWith('.events')).sort();
  return join(path, names.at(-1)!);
};

describe('a restart on the same data folder', () => {
  it('keeps events, sequence numbers, offsets, times and creation time, and goes on counting', async () => {
    const dataFolder = await temporaryFolder();
    const clock = new ManualClock(1_700_000_000_000);
    const first = await startEmulator({ dataFolder, clock });
    const producer = connectProducer(first);
    for (const i of range(0, 5)) {
      await sendNumbers(producer, '0', i * 10, i * 10 + 10);
      clock.advanceBy(1000);
    }
    const before = await readEvents(connectConsumer(first), '0', earliest, 50);
    const hubBefore = await producer.getEventHubProperties();
    const partitionBefore = await producer.getPartitionProperties('0');
    await first.stop();

    const second = await startEmulator({ dataFolder, clock });
    const producerAfter = connectProducer(second);
    expect(await producerAfter.getEventHubProperties()).toEqual(hubBefore);
    expect(await producerAfter.getPartitionProperties('0')).toEqual(partitionBefore);
    await sendNumbers(producerAfter, '0', 50, 60);
    const after = await readEvents(connectConsumer(second), '0', earliest, 60);
    const facts = (events: typeof after) =>
      events.map(({ body, sequenceNumber, offset, enqueuedTimeUtc }) => ({
        body,
        sequenceNumber,
        offset,
        enqueuedTimeUtc,
      }));
    expect(facts(after).slice(0, 50)).toEqual(facts(before));
    expect(after.map((event) => event.sequenceNumber)).toEqual(range(0, 60));
    expect(await readBodies(connectConsumer(second), '0', { offset: before[44]!.offset }, 15)).toEqual(range(45, 60));
    expect(await readBodies(connectConsumer(second), '0', { sequenceNumber: 54 }, 5)).toEqual(range(55, 60));
  });

  it('keeps what trimming expired', async () => {
    const dataFolder = await temporaryFolder();
    const first = await startEmulator({ dataFolder });
    const producer = connectProducer(first);
    await sendNumbers(producer, '0', 0, 20);
    await sendNumbers(producer, '1', 0, 20);
    first.faults.trimPartition(hub, 0, 15);
    first.faults.trimPartition(hub, 1, 20);
    const emptied = await producer.getPartitionProperties('1');
    await first.stop();

    const second = await startEmulator({ dataFolder });
    expect(await connectProducer(second).getPartitionProperties('1')).toEqual(emptied);
    expect(await readBodies(connectConsumer(second), '0', earliest, 5)).toEqual(range(15, 20));
    await sendNumbers(connectProducer(second), '1', 20, 21);
    const [event] = await readEvents(connectConsumer(second), '1', earliest, 1);
    expect(event).toMatchObject({ body: 20, sequenceNumber: 20 });
  });

  it('keeps a recreated hub recreated', async () => {
    const dataFolder = await temporaryFolder();
    const first = await startEmulator({ dataFolder });
    await sendNumbers(connectProducer(first), '0', 0, 20);
    first.faults.recreateHub(hub);
    await sendNumbers(connectProducer(first), '0', 100, 102);
    const properties = await connectProducer(first).getEventHubProperties();
    await first.stop();
    const second = await startEmulator({ dataFolder });
    expect(await connectProducer(second).getEventHubProperties()).toEqual(properties);
    expect(await readBodies(connectConsumer(second), '0', earliest, 2)).toEqual([100, 101]);
  });

  it('cuts a record that was written half, and nothing else', async () => {
    const dataFolder = await temporaryFolder();
    const first = await startEmulator({ dataFolder });
    await sendNumbers(connectProducer(first), '0', 0, 20);
    await first.stop();
    const segment = await lastSegment(dataFolder, 0);
    const whole = await stat(segment);
    const bytes = await readFile(segment);
    const record = bytes.subarray(segmentHeaderBytes, segmentHeaderBytes + bytes.readUInt32BE(segmentHeaderBytes));
    await appendFile(segment, record.subarray(0, -1));
    const second = await startEmulator({ dataFolder });
    expect((await stat(segment)).size).toBe(whole.size);
    await sendNumbers(connectProducer(second), '0', 20, 25);
    expect(await readBodies(connectConsumer(second), '0', earliest, 25)).toEqual(range(0, 25));
  });

  it('refuses to start when a stored event is damaged, and names the file', async () => {
    const dataFolder = await temporaryFolder();
    const first = await startEmulator({ dataFolder });
    await sendNumbers(connectProducer(first), '0', 0, 20);
    await first.stop();
    const segment = await lastSegment(dataFolder, 0);
    const bytes = await readFile(segment);
    bytes[segmentHeaderBytes + recordHeaderBytes]! ^= 1;
    await writeFile(segment, bytes);
    await expect(startEmulator({ dataFolder })).rejects.toMatchObject({
      code: 'EMULATOR_DATA_CORRUPT',
      message: expect.stringContaining(segment),
    });
  });

  it('may add partitions but not remove them', async () => {
    const dataFolder = await temporaryFolder();
    const first = await startEmulator({ dataFolder });
    await sendNumbers(connectProducer(first), '3', 0, 5);
    await first.stop();
    await expect(startEmulator({ dataFolder, hubs: [{ name: hub, partitionCount: 3 }] })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('holds 4 partitions'),
    });
    const grown = await startEmulator({ dataFolder, hubs: [{ name: hub, partitionCount: 6 }] });
    expect(grown.partitionProperties(hub, 3).nextSequenceNumber).toBe(5);
    await sendNumbers(connectProducer(grown), '5', 0, 1);
    await grown.stop();
    await expect(startEmulator({ dataFolder })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  it('is refused while another emulator uses the folder', async () => {
    const dataFolder = await temporaryFolder();
    await startEmulator({ dataFolder });
    await expect(startEventHubsEmulator({ dataFolder, hubs: [{ name: hub }] })).rejects.toMatchObject({
      code: 'EMULATOR_UNAVAILABLE',
      message: expect.stringContaining(dataFolder),
    });
  });
});

it('a port in use is an error that names it', async () => {
  const emulator = await startEmulator();
  await expect(startEventHubsEmulator({ port: emulator.port, hubs: [{ name: hub }] })).rejects.toMatchObject({
    code: 'EMULATOR_UNAVAILABLE',
    message: expect.stringContaining(String(emulator.port)),
  });
});

describe('the command', () => {
  async function startCommand(
    args: readonly string[],
  ): Promise<{ child: ChildProcess; output: string; connectionString: string }> {
    const main = new URL('../../../src/cli/main.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [main, 'emulator', '--port', '0', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    let output = '';
    for await (const chunk of child.stdout!.setEncoding('utf8')) {
      output += chunk;
      const match = /connection string: (\S+)/.exec(output);
      if (match !== null) return { child, output, connectionString: match[1]! };
    }
    throw new Error(`the command ended: ${output}`);
  }

  async function acceptedUntilKilled(connectionString: string, child: ChildProcess): Promise<number> {
    const producer = new EventHubProducerClient(connectionString, 'orders', {
      retryOptions: { ...retryOptions, maxRetries: 0, timeoutInMs: 500 },
    });
    let accepted = 0;
    for (let i = 0; i < 200; i++) {
      if (i === 60) child.kill('SIGKILL');
      try {
        await producer.sendBatch([{ body: i }], { partitionId: '0' });
        accepted = i + 1;
      } catch {
        break;
      }
    }
    await producer.close().catch(() => {});
    return accepted;
  }

  it('shows hubs and connection string, and keeps every accepted event when it is killed', async () => {
    const folder = await temporaryFolder();
    const config = join(folder, 'Config.json');
    const entities = [{ Name: 'orders', PartitionCount: '2', ConsumerGroups: [{ Name: 'billing' }] }];
    await writeFile(
      config,
      JSON.stringify({
        UserConfig: { NamespaceConfig: [{ Type: 'EventHub', Name: 'emulatorNs1', Entities: entities }] },
      }),
    );
    const args = ['--config', config, '--data', join(folder, 'data')];
    const first = await startCommand(args);
    expect(first.output).toMatch(/orders +2 +\$Default, billing/);
    const accepted = await acceptedUntilKilled(first.connectionString, first.child);
    expect(accepted).toBeGreaterThanOrEqual(60);

    const second = await startCommand(args);
    const producer = new EventHubProducerClient(second.connectionString, 'orders', { retryOptions });
    closeWhenFinished(producer);
    const properties = await producer.getPartitionProperties('0');
    expect(properties.lastEnqueuedSequenceNumber).toBeGreaterThanOrEqual(accepted - 1);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends cleanly on %s, with a client connected', async (signal) => {
    const { child, connectionString } = await startCommand([]);
    const producer = new EventHubProducerClient(connectionString, 'eh1', { retryOptions });
    closeWhenFinished(producer);
    await producer.getEventHubProperties();
    const ended = once(child, 'exit');
    child.kill(signal);
    expect(await ended).toEqual([0, null]);
  });
});
