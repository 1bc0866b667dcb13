import { EventHubProducerClient } from '@azure/event-hubs';
import { expect } from 'vitest';
import { Milliseconds, StreamingContext } from '../../src/index.ts';
import { shareBatch } from '../../src/sources/event-hubs/batch-shares.ts';
import { parseConnectionString } from '../../src/sources/event-hubs/connection-string.ts';
import type { EventHubEvent } from '../../src/sources/event-hubs/event-hub-event.ts';
import { earliestOf, resolveStart } from '../../src/sources/event-hubs/event-hub-position.ts';
import { ManualClock, MemoryStore, SeededRandom, startEventHubsEmulator } from '../../src/testing.ts';
import { drain, hubName, readPlan, send, startSource, until } from '../e2e/event-hubs/support.ts';
import { DrivenStream } from '../support/driven-stream.ts';
import type { Row, SparkCase } from './support/cases.ts';
import { expectBag, unknownRow } from './support/check.ts';

/** Cases of the Event Hubs connector, against the local Event Hubs over real sockets where one is needed. */
type Emulator = Awaited<ReturnType<typeof startEventHubsEmulator>>;

async function withHub(partitionCount: number, work: (emulator: Emulator) => Promise<void>): Promise<void> {
  const emulator = await startEventHubsEmulator({ hubs: [{ name: hubName, partitionCount }] });
  try {
    await work(emulator);
  } finally {
    await emulator.stop();
  }
}

function trigger(row: Row, { params }: SparkCase): void {
  const claims = (params!.available as number[]).map((available) => ({ available, backlog: available }));
  expect(shareBatch(claims, params!.limit as number, row.trigger as number)).toEqual(row.expectedPerPartition);
}

function partition(row: Row) {
  return {
    partitionId: '0',
    beginSequenceNumber: row.begin as number,
    lastSequenceNumber: (row.last ?? row.lastEnqueued) as number,
    lastEnqueuedTimeMs: 1000,
    isEmpty: (row.isEmpty as boolean | undefined) ?? false,
  };
}

function bounds(row: Row): void {
  expect(earliestOf(partition(row))).toBe(row.expectedEarliest);
  expect(partition(row).lastSequenceNumber + 1).toBe(row.expectedLatest);
}

function translate(row: Row): void {
  const text = row.position as string;
  const number = /^sequenceNumber (\d+)$/.exec(text)?.[1];
  const position = {
    startOfStream: 'earliest',
    endOfStream: 'latest',
    'none given': 'latest',
    'enqueuedTime after the last event': { enqueuedTime: 2000 },
    'enqueuedTime in the past': { enqueuedTime: 10 },
  }[text] as 'earliest' | 'latest' | { readonly enqueuedTime: number } | undefined;
  if (number === undefined && position === undefined) unknownRow(row);
  const hub = { name: hubName, properties: { createdOn: 1, partitionIds: ['0'] } };
  const start = resolveStart(hub, [partition(row)], undefined, () =>
    number === undefined ? position! : { sequenceNumber: Number(number), isInclusive: true },
  );
  // A moment is looked up by opening a receiver there and reading one event.
  const expected = typeof row.expected === 'number' ? row.expected : { enqueuedTimeMs: 10 };
  expect(start.partitions[0]!.next).toEqual(expected);
}

/** Adds go round the partitions, as a producer without a key sends them. */
async function startAndRestart({ params, steps }: SparkCase): Promise<void> {
  const partitions = params!.partitions as number;
  const seen: number[] = [];
  const clock = new ManualClock(0);
  const store = new MemoryStore({ clock });
  let driven: DrivenStream | undefined;
  let sent = 0;
  await withHub(partitions, async (emulator) => {
    const producer = new EventHubProducerClient(emulator.connectionString, hubName);
    const add = async (bodies: readonly number[]): Promise<void> => {
      for (const body of bodies) await producer.sendBatch([{ body }], { partitionId: String(sent++ % partitions) });
    };
    const start = async (): Promise<void> => {
      const numbers = Object.entries(params!.start as Record<string, number>);
      const startingPosition = Object.fromEntries(
        // Nothing can be begun with, inclusively, that is not there yet: the others begin with what comes first.
        numbers.map(([id, from]) => [
          id,
          from === 0 ? ('earliest' as const) : { sequenceNumber: from, isInclusive: true },
        ]),
      );
      const ssc = await StreamingContext.getOrCreate(store, () => {
        const created = new StreamingContext({
          appName: 'conformance',
          batchInterval: Milliseconds(1000),
          startReport: false,
          environment: { clock, random: new SeededRandom(sent) },
        });
        created
          .eventHubStream({
            connectionString: emulator.connectionString,
            eventHubName: hubName,
            startingPosition,
            uid: 'hub',
          })
          .map((event) => (event.body as number) + 1)
          .foreachRDD(async (rdd) => void seen.push(...(await rdd.collect())));
        return created;
      });
      driven = new DrivenStream(ssc, clock, 1000);
      await ssc.start();
    };
    const stop = async (): Promise<void> => {
      await driven!.stop();
      driven = undefined;
    };
    const reaches = async (total: readonly number[]): Promise<void> => {
      const due = Date.now() + 10_000;
      while (seen.length < total.length && Date.now() < due) {
        await driven!.runTo(driven!.lastBatchTimeMs + 1000);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await driven!.runTo(driven!.lastBatchTimeMs + 2000);
      expectBag(seen, total);
    };
    try {
      for (const [id, bodies] of Object.entries(params!.existing as Record<string, number[]>)) {
        await producer.sendBatch(
          bodies.map((body) => ({ body })),
          { partitionId: id },
        );
      }
      await start();
      for (const step of steps!) {
        if (step.restart) {
          await stop();
          await start();
        }
        if (step.stop) await stop();
        if (step.start) await start();
        if (step.add) await add(step.add as number[]);
        if (step.total) await reaches(step.total as number[]);
      }
    } finally {
      await driven?.stop();
      await producer.close();
    }
  });
}

async function consecutiveRange(): Promise<void> {
  await withHub(1, async (emulator) => {
    await send(emulator, '0', 3200);
    await using started = await startSource(emulator, { startingPosition: { sequenceNumber: 100, isInclusive: true } });
    const rows = await drain(started.source, 3100);
    expect(rows.map(({ sequenceNumber }) => sequenceNumber)).toEqual(Array.from({ length: 3100 }, (_, i) => 100 + i));
  });
}

async function eventFields(): Promise<void> {
  await withHub(1, async (emulator) => {
    const producer = new EventHubProducerClient(emulator.connectionString, hubName);
    await producer.sendBatch([{ body: { n: 1 }, properties: { colour: 'red' }, messageId: 'm1' }], {
      partitionKey: 'key',
    });
    await producer.close();
    await using started = await startSource(emulator);
    const [event] = await drain(started.source, 1);
    expect(event).toMatchObject({
      body: { n: 1 },
      partitionId: '0',
      sequenceNumber: 0,
      partitionKey: 'key',
      properties: { colour: 'red' },
    });
    expect(event!.systemProperties).toMatchObject({ messageId: 'm1' });
    expect(typeof event!.offset).toBe('string');
    expect(typeof event!.enqueuedTimeMs).toBe('number');
  });
}

/** Ranges are part of the recorded plan; the RDD has no methods for them, every event carries its own number. */
async function partitionsAreRanges(): Promise<void> {
  await withHub(3, async (emulator) => {
    for (const id of ['0', '1', '2']) await send(emulator, id, 10 + Number(id));
    await using started = await startSource(emulator);
    await until(() => started.source.backlog() === 33, 'all events are here');
    const plan = await started.source.plan();
    for (const [i, range] of plan.partitions.entries()) {
      const { partitionId, from, to } = range as { partitionId: string; from: number; to: number };
      const rows: EventHubEvent[] = [];
      await started.source.read(plan, i, (chunk) => void rows.push(...chunk));
      expect(partitionId).toBe(String(i));
      expect(rows.map(({ sequenceNumber }) => sequenceNumber)).toEqual(
        Array.from({ length: to - from }, (_, n) => from + n),
      );
    }
  });
}

async function rangesAreRecovered(): Promise<void> {
  await withHub(4, async (emulator) => {
    for (const id of ['0', '1', '2', '3']) await send(emulator, id, 25);
    await using first = await startSource(emulator);
    await until(() => first.source.backlog() === 100, 'all events are here');
    const before = first.source.position();
    const plan = structuredClone(await first.source.plan());
    const rows = await readPlan(first.source, plan);
    expect(rows).toHaveLength(100);
    await first.source.stop();
    await using second = await startSource(emulator, { position: before, epoch: 2 });
    second.source.adopt(plan);
    expect(await readPlan(second.source, plan)).toEqual(rows);
  });
}

async function connectionStrings(): Promise<void> {
  const text = 'Endpoint=sb://host.example/;SharedAccessKeyName=name;SharedAccessKey=a+b/c=;EntityPath=hub';
  expect(parseConnectionString(text)).toMatchObject({
    entityPath: 'hub',
    server: { host: 'host.example', key: { sharedAccessKeyName: 'name', sharedAccessKey: 'a+b/c=' } },
  });
  for (const bad of ['', 'nonsense', 'Endpoint=;SharedAccessKeyName=n;SharedAccessKey=k']) {
    expect(() => parseConnectionString(bad)).toThrow(/connection string/);
  }
}

export const eventHubsBehaviours: Readonly<Record<string, () => Promise<void>>> = {
  'eventhubsrddsuite.single-partition-make-sure-seqnos-are-consecutive': consecutiveRange,
  'eventhubssourcesuite.eventhubs-column-types': eventFields,
  'eventhubsdirectdstreamsuite.basic-stream-receiving-with-smallest-starting-sequence-number': partitionsAreRanges,
  'eventhubsdirectdstreamsuite.offset-recovery': rangesAreRecovered,
  'connectionstringbuildersuite.parsing': connectionStrings,
};

export const eventHubsCases: Readonly<Record<string, (sparkCase: SparkCase) => Promise<void>>> = {
  'eventHubs.start': startAndRestart,
};

export const eventHubsOperations: Readonly<Record<string, (row: Row, sparkCase: SparkCase) => unknown>> = {
  'eventHubs.trigger': trigger,
  'eventHubs.bounds': bounds,
  'eventHubs.translate': translate,
};
