import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { BlobCheckpointStore } from '@azure/eventhubs-checkpointstore-blob';
import { ContainerClient } from '@azure/storage-blob';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectRoot } from '../../../scripts/steps.ts';
import { Milliseconds } from '../../../src/base/time.ts';
import {
  forkStream,
  inspectCheckpoint,
  listState,
  removeSavepoint,
  verifyCheckpoint,
} from '../../../src/checkpoint-tools.ts';
import { checkpointVerbs } from '../../../src/cli/checkpoint.ts';
import { runCommandLine } from '../../../src/cli/command-line.ts';
import type { IdempotentSink, RewindInfo } from '../../../src/sinks/sink.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { useAzurite } from '../../support/azurite.ts';
import { hubName, send, until } from '../event-hubs/support.ts';

const azurite = useAzurite();
const consumerGroup = 'lag';
const fullyQualifiedNamespace = 'contoso.servicebus.windows.net';
let emulator: EventHubsEmulator;
beforeAll(async () => {
  emulator = await startEventHubsEmulator({
    hubs: [{ name: hubName, partitionCount: 2, consumerGroups: [consumerGroup] }],
  });
});
afterAll(() => emulator.stop());

interface Answer {
  readonly exitCode: number;
  readonly output: string;
  readonly error: string;
}

/** The command as a script runs it: a process of its own, without a terminal. */
function tidemark(...args: readonly string[]): Promise<Answer> {
  const env = { ...process.env, AZURE_STORAGE_CONNECTION_STRING: azurite.connectionString };
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(projectRoot, 'src', 'cli', 'main.ts'), 'checkpoint', ...args],
      { env },
      (_error, output, error) => resolve({ exitCode: child.exitCode ?? -1, output, error }),
    );
  });
}

/** The same without a process: what it refuses, it refuses before it prints. */
async function refused(...args: readonly string[]): Promise<string> {
  const outcome = await runCommandLine(
    ['checkpoint', ...args, '--connection-string', azurite.connectionString],
    checkpointVerbs,
    () => '',
  );
  expect(outcome.exitCode).toBeGreaterThan(0);
  return outcome.error;
}

/** A table that rows are upserted into; the row of a newer batch wins, and a rewind takes the newer ones out. */
class Table {
  readonly rows = new Map<string, { readonly count: number; readonly batchId: number }>();
  readonly rewinds: RewindInfo[] = [];

  sink(): IdempotentSink<readonly [string, number]> {
    return {
      kind: 'table',
      description: 'a table',
      sinkClass: 'idempotent',
      write: async (rows, { batchId }) => {
        for (const [key, count] of rows) {
          if ((this.rows.get(key)?.batchId ?? 0) <= batchId) this.rows.set(key, { count, batchId });
        }
      },
      onRewind: async (rewind) => {
        this.rewinds.push(rewind);
        for (const [key, { batchId }] of this.rows) if (batchId > rewind.batchId) this.rows.delete(key);
      },
    };
  }

  get counts(): Record<string, number> {
    return Object.fromEntries([...this.rows].map(([key, { count }]) => [key, count]).sort());
  }
}

async function start(
  url: string,
  table: Table,
): Promise<{ readonly ssc: StreamingContext; readonly close: () => Promise<void> }> {
  const store = await openObjectStore(url, { connectionString: azurite.connectionString, createContainer: true });
  const ssc = await StreamingContext.getOrCreate(store, () => {
    const context = new StreamingContext({
      appName: 'handed-over',
      batchInterval: Milliseconds(100),
      startReport: false,
      checkpoint: { requestPollMs: 200, manifestEveryRecords: 20 },
      environment: { allowSeveral: true, warn: () => {} },
    });
    context
      .eventHubStream({
        connectionString: emulator.connectionString,
        eventHubName: hubName,
        consumerGroup,
        startingPosition: 'earliest',
        uid: 'events',
      })
      .map(({ body }) => [(body as { readonly p: string }).p, 1] as const)
      .updateStateByKey((ones, count: number | undefined) => (count ?? 0) + ones.length, { uid: 'counts' })
      .saveTo(table.sink(), { uid: 'table' });
    return context;
  });
  await ssc.start();
  return { ssc, close: () => store.close() };
}

test('a stream takes over from consumers with a BlobCheckpointStore, and is drained, rewound and forked by command', async () => {
  const root = azurite.newUrl();
  const url = `${root}/stream`;
  await send(emulator, '0', 10);
  await send(emulator, '1', 6);

  // What the consumers that ran until now have left: 4 events of partition 0, all but one of partition 1.
  const container = azurite.newUrl().slice('az://'.length);
  const client = new ContainerClient(azurite.connectionString, container);
  await client.create();
  await new ContainerClient(azurite.connectionString, root.slice('az://'.length)).create();
  const theirs = new BlobCheckpointStore(client);
  for (const [partitionId, sequenceNumber] of [
    ['0', 3],
    ['1', 4],
  ] as const) {
    const consumer = { fullyQualifiedNamespace, eventHubName: hubName, consumerGroup };
    await theirs.updateCheckpoint({ ...consumer, partitionId, sequenceNumber, offset: String(sequenceNumber * 100) });
  }
  const handOver = [
    ...['positions', 'import', url, '--uid', 'events', '--blob-checkpoint-store', `az://${container}`],
    ...['--namespace', fullyQualifiedNamespace, '--event-hub', hubName, '--consumer-group', consumerGroup],
  ];
  expect(await refused(...handOver)).toContain('--yes is needed. Nothing was changed.');
  const imported = await tidemark(...handOver, '--yes');
  expect(imported).toMatchObject({ exitCode: 0, error: '' });
  expect(imported.output).toContain('The first start of the program begins');

  const table = new Table();
  const first = await start(url, table);
  await until(() => table.counts['0'] === 6 && table.counts['1'] === 1, 'the rest of the events is counted');

  const saved = await tidemark('savepoint', url, '--name', 'handed-over', '--timeout', '30', '--json');
  expect(saved.exitCode, saved.error).toBe(0);
  const savepoint = JSON.parse(saved.output) as { readonly batchId: number };
  await send(emulator, '0', 5, 10);
  await until(() => table.counts['0'] === 11, 'five more are counted');

  expect(await refused('rewind', url, '--to', 'handed-over', '--yes')).toContain('STREAM_NOT_STOPPED');
  const drained = await tidemark('drain', url, '--timeout', '30');
  expect(drained).toMatchObject({ exitCode: 0, output: expect.stringContaining('has stopped cleanly') });
  await first.ssc.awaitTermination();
  await first.close();

  expect(await refused('rewind', url, '--to', 'handed-over')).toMatch(
    /This takes .* back from batch \d+ .* to batch \d+ .*--yes is needed/s,
  );
  const fork = `${root}/fork`;
  const storage = { connectionString: azurite.connectionString };
  await forkStream(url, fork, { at: 'handed-over', storage });
  const rewound = await tidemark('rewind', url, '--to', 'handed-over', '--yes');
  expect(rewound).toMatchObject({ exitCode: 0, error: '', output: expect.stringContaining('in generation 1') });

  for (const place of [url, fork]) {
    const { entries } = await listState(place, 'counts', { storage });
    expect(Object.fromEntries(entries.map(({ key, value }) => [key, value]))).toEqual({ '0': 6, '1': 1 });
  }
  const second = await start(url, table);
  await until(() => table.counts['0'] === 11, 'the five are counted again');
  expect(table.rewinds[0]).toMatchObject({ batchId: savepoint.batchId, generation: 1 });
  await send(emulator, '1', 2, 6);
  await until(() => table.counts['1'] === 3, 'and what comes after');
  await second.ssc.stop({ graceful: true });
  await second.close();
  expect(table.counts).toEqual({ '0': 11, '1': 3 });
  expect((await verifyCheckpoint(url, { storage })).findings).toEqual([]);
  expect((await verifyCheckpoint(fork, { storage })).findings).toEqual([]);

  expect(await refused('savepoint', 'rm', url, 'handed-over')).toContain('--yes is needed');
  await removeSavepoint(url, 'handed-over', { storage });
  const { savepoints, stream } = await inspectCheckpoint(url, { storage });
  expect(savepoints).toEqual([]);
  expect(stream).toMatchObject({ generation: 1, drained: true });
}, 120_000);
