import { BlobCheckpointStore } from '@azure/eventhubs-checkpointstore-blob';
import { ContainerClient } from '@azure/storage-blob';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Milliseconds } from '../../../src/base/time.ts';
import {
  exportCheckpoint,
  exportPositions,
  inspectCheckpoint,
  listState,
  verifyCheckpoint,
  writeBlobCheckpoints,
} from '../../../src/checkpoint-tools.ts';
import { openObjectStore } from '../../../src/storage/open-store.ts';
import { StreamingContext } from '../../../src/streaming-context.ts';
import { type EventHubsEmulator, startEventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';
import { useAzurite } from '../../support/azurite.ts';
import { everything, Run } from '../../unit/inspect/support.ts';
import { hubName, send, until } from '../event-hubs/support.ts';

const azurite = useAzurite();

test('a stream on Azure Blob is inspected, verified, damaged and verified again', async () => {
  const url = `${azurite.newUrl()}/stream`;
  const storage = { connectionString: azurite.connectionString, createContainer: true };
  const store = await openObjectStore(url, storage);
  await new Run(store).to(20_000, everything);
  await store.close();

  const report = await verifyCheckpoint(url, { storage });
  expect(report.findings).toEqual([]);
  expect(report.checked.batches).toBeGreaterThan(5);
  expect((await inspectCheckpoint(url, { storage })).stream.lastBatch?.batchId).toBe(21);
  const copy = `${azurite.newUrl()}/copy`;
  const { objects } = await exportCheckpoint(url, copy, { storage });
  expect(objects).toBeGreaterThan(20);
  expect(await listState(copy, 'sums', { storage })).toEqual(await listState(url, 'sums', { storage }));

  const copied = await openObjectStore(copy, storage);
  const names: string[] = [];
  for await (const { name } of copied.list('snap/')) names.push(name);
  await copied.delete([names.at(-1)!]);
  await copied.close();
  const { findings } = await verifyCheckpoint(copy, { storage });
  expect(findings).toEqual([{ object: names.at(-1), problem: 'it is missing, and holds state the log refers to' }]);
});

test('a container that does not exist is a named error', async () => {
  const storage = { connectionString: azurite.connectionString };
  await expect(inspectCheckpoint(`${azurite.newUrl()}/x`, { storage })).rejects.toMatchObject({
    code: 'CONTAINER_MISSING',
  });
});

let emulator: EventHubsEmulator;
beforeAll(async () => {
  emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount: 4, consumerGroups: ['lag'] }] });
});
afterAll(() => emulator.stop());

test('positions in an event hub are read from the blobs by the checkpoint store of the SDK', async () => {
  const url = `${azurite.newUrl()}/stream`;
  const storage = { connectionString: azurite.connectionString, createContainer: true };
  await send(emulator, '0', 5);
  await send(emulator, '2', 3);
  const store = await openObjectStore(url, storage);
  let seen = 0;
  const ssc = await StreamingContext.getOrCreate(store, () => {
    const context = new StreamingContext({ appName: 'lag', batchInterval: Milliseconds(100), startReport: false });
    context
      .eventHubStream({
        connectionString: emulator.connectionString,
        eventHubName: hubName,
        consumerGroup: 'lag',
        startingPosition: 'earliest',
      })
      .foreachRDD(async (rdd) => {
        seen += await rdd.count();
      });
    return context;
  });
  await ssc.start();
  await until(() => seen === 8, 'all events are in a batch');
  await ssc.stop({ graceful: true });
  await store.close();

  const container = azurite.newUrl().slice('az://'.length);
  const client = new ContainerClient(azurite.connectionString, container);
  await client.create();
  const fullyQualifiedNamespace = 'Contoso.servicebus.windows.net';
  const written = await writeBlobCheckpoints(url, { storage, container: `az://${container}`, fullyQualifiedNamespace });
  expect(written.length).toBe(2);
  // Twice: following means writing over.
  await writeBlobCheckpoints(url, { storage, container: `az://${container}`, fullyQualifiedNamespace });
  const reader = new BlobCheckpointStore(client);
  const read = await reader.listCheckpoints(fullyQualifiedNamespace, hubName, 'lag');
  expect(read.map(({ partitionId, sequenceNumber, offset }) => [partitionId, sequenceNumber, offset])).toEqual([
    ['0', 4, '-1'],
    ['2', 2, '-1'],
  ]);
  const { sources } = await exportPositions(url, { storage });
  expect(sources[0]).toMatchObject({ kind: 'event-hubs', identity: { eventHub: hubName, consumerGroup: 'lag' } });
  expect(sources[0]?.position).toMatchObject({ partitions: { '0': 5, '1': 0, '2': 3, '3': 0 } });
});
