import { EventHubProducerClient } from '@azure/event-hubs';
import { SystemClock } from '../../../src/base/clock.ts';
import type { EventHubEvent } from '../../../src/sources/event-hubs/event-hub-event.ts';
import type { EventHubOptions, EventHubWarning } from '../../../src/sources/event-hubs/event-hub-options.ts';
import { type EventHubSource, eventHubSource } from '../../../src/sources/event-hubs/event-hub-source.ts';
import type { SourcePlan } from '../../../src/sources/source.ts';
import type { EventHubsEmulator } from '../../../src/testing/event-hubs-emulator/emulator.ts';

export const hubName = 'telemetry';

/** A source as the engine would start it, with what it reported meanwhile. */
export interface Started {
  readonly source: EventHubSource;
  readonly failures: Error[];
  readonly warnings: EventHubWarning[];
  /** Rejects with the first failure the source reports outside a call. */
  readonly failed: Promise<Error>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface StartOptions extends EventHubOptions {
  readonly position?: unknown;
  readonly epoch?: number;
  readonly readDirectly?: boolean;
}

export async function startSource(
  emulator: Pick<EventHubsEmulator, 'connectionString'>,
  options: StartOptions = {},
): Promise<Started> {
  const { position, epoch = 1, readDirectly, ...rest } = options;
  const failures: Error[] = [];
  const warnings: EventHubWarning[] = [];
  const failed = Promise.withResolvers<Error>();
  const source = eventHubSource(
    {
      connectionString: emulator.connectionString,
      eventHubName: hubName,
      startingPosition: 'earliest',
      onWarning: (warning) => warnings.push(warning),
      retry: { firstDelayMs: 5, maxDelayMs: 100, totalMs: 5_000, attemptTimeoutMs: 5_000 },
      ...rest,
    },
    { env: {}, readDirectly },
  );
  await source.start({
    position,
    epoch,
    clock: new SystemClock(),
    fail: (error) => {
      failures.push(error);
      failed.resolve(error);
    },
  });
  return { source, failures, warnings, failed: failed.promise, [Symbol.asyncDispose]: () => source.stop() };
}

/** Sends bodies `{ p, n }` to one partition, n from `from`, with the SDK's own producer. */
export async function send(emulator: EventHubsEmulator, partitionId: string, count: number, from = 0): Promise<void> {
  const producer = new EventHubProducerClient(emulator.connectionString, hubName);
  try {
    let batch = await producer.createBatch({ partitionId });
    for (let n = from; n < from + count; n++) {
      const event = { body: { p: partitionId, n } };
      if (batch.tryAdd(event)) continue;
      await producer.sendBatch(batch);
      batch = await producer.createBatch({ partitionId });
      batch.tryAdd(event);
    }
    await producer.sendBatch(batch);
  } finally {
    await producer.close();
  }
}

export async function readPlan(source: EventHubSource, plan: SourcePlan): Promise<EventHubEvent[]> {
  const rows: EventHubEvent[] = [];
  for (let i = 0; i < plan.partitions.length; i++) {
    await source.read(plan, i, (chunk) => {
      for (const row of chunk) rows.push(row);
    });
  }
  return rows;
}

/** Turns the event loop until the condition holds: what it waits for is real I/O. */
export async function until(condition: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const due = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > due) throw new Error(`Waited ${timeoutMs} ms in vain until ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Plans, reads and commits until `count` rows came. */
export async function drain(source: EventHubSource, count: number): Promise<EventHubEvent[]> {
  const rows: EventHubEvent[] = [];
  while (rows.length < count) {
    await until(() => source.backlog() > 0, `${count} events are there (${rows.length} so far)`);
    const plan = await source.plan();
    for (const row of await readPlan(source, plan)) rows.push(row);
    source.committed(plan);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return rows;
}

/** `p/n` of every row, sorted by partition and sequence number: to compare with what was sent. */
export function keysOf(rows: readonly EventHubEvent[]): string[] {
  return rows
    .toSorted((a, b) => Number(a.partitionId) - Number(b.partitionId) || a.sequenceNumber - b.sequenceNumber)
    .map((row) => keyOf(row));
}

export function keyOf(row: EventHubEvent): string {
  const { p, n } = row.body as { p: string; n: number };
  return `${p}/${n}`;
}

export function sentKeys(partitions: readonly string[], count: number, from = 0): string[] {
  return partitions.flatMap((p) => Array.from({ length: count }, (_, i) => `${p}/${from + i}`));
}
