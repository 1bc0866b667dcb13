import {
  EventHubConsumerClient,
  type EventHubConsumerClientOptions,
  EventHubProducerClient,
  type EventPosition,
  type PartitionContext,
  type ReceivedEventData,
  type RetryOptions,
  type SubscribeOptions,
} from '@azure/event-hubs';
import { onTestFinished } from 'vitest';
import {
  type EventHubsEmulator,
  type EventHubsEmulatorOptions,
  startEventHubsEmulator,
} from '../../../src/testing/event-hubs-emulator.ts';

export const hub = 'telemetry';
export const group = 'app';
export const earliest: EventPosition = { offset: '-1' };

/** Fails fast: the SDK's own waits between tries are 30 s. */
export const retryOptions: RetryOptions = {
  maxRetries: 1,
  retryDelayInMs: 20,
  maxRetryDelayInMs: 50,
  timeoutInMs: 8_000,
};
export const noRetry: RetryOptions = { ...retryOptions, maxRetries: 0 };

/** A running emulator with one hub of 4 partitions, stopped at the end of the test. */
export async function startEmulator(options: Partial<EventHubsEmulatorOptions> = {}): Promise<EventHubsEmulator> {
  const emulator = await startEventHubsEmulator({
    hubs: [{ name: hub, partitionCount: 4, consumerGroups: [group] }],
    ...options,
  });
  onTestFinished(() => emulator.stop());
  return emulator;
}

/** Closing an SDK client in the moment its connection is lost waits a minute for answers that cannot come: don't. */
export function closeWhenFinished(client: { close(): Promise<void> }): void {
  onTestFinished(async () => {
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, 1000);
    await Promise.race([client.close(), limit.promise]);
    clearTimeout(timer);
  });
}

export function connectProducer(emulator: EventHubsEmulator, retry = retryOptions, name = hub): EventHubProducerClient {
  const producer = new EventHubProducerClient(emulator.connectionString, name, { retryOptions: retry });
  closeWhenFinished(producer);
  return producer;
}

export function connectConsumer(
  emulator: EventHubsEmulator,
  retry = retryOptions,
  consumerGroup = group,
  options: EventHubConsumerClientOptions = {},
): EventHubConsumerClient {
  const consumer = new EventHubConsumerClient(consumerGroup, emulator.connectionString, hub, {
    retryOptions: retry,
    ...options,
  });
  closeWhenFinished(consumer);
  return consumer;
}

export async function sendNumbers(
  producer: EventHubProducerClient,
  partitionId: string,
  from: number,
  until: number,
): Promise<void> {
  if (from >= until) return;
  const events = Array.from({ length: until - from }, (_, i) => ({ body: from + i }));
  await producer.sendBatch(events, { partitionId });
}

export interface Reading {
  readonly events: readonly ReceivedEventData[];
  /** Of the last batch. */
  readonly context: PartitionContext | undefined;
  /** Resolves when at least `count` events arrived; rejects with the first error. */
  received(count: number): Promise<readonly ReceivedEventData[]>;
  /** Resolves with the first error. */
  readonly failed: Promise<Error & { readonly code?: string }>;
  close(): Promise<void>;
}

export function read(
  consumer: EventHubConsumerClient,
  partitionId: string,
  startPosition: EventPosition,
  options: SubscribeOptions = {},
): Reading {
  const events: ReceivedEventData[] = [];
  const waiters: { readonly count: number; readonly resolve: () => void; readonly reject: (error: Error) => void }[] =
    [];
  let context: PartitionContext | undefined;
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const subscription = consumer.subscribe(
    partitionId,
    {
      processEvents: async (batch, partitionContext) => {
        context = partitionContext;
        events.push(...batch);
        for (const waiter of waiters) if (events.length >= waiter.count) waiter.resolve();
      },
      processError: async (error) => {
        fail(error);
        for (const waiter of waiters) waiter.reject(error);
      },
    },
    { startPosition, maxBatchSize: 1000, maxWaitTimeInSeconds: 1, ...options },
  );
  onTestFinished(() => subscription.close());
  return {
    events,
    get context() {
      return context;
    },
    failed,
    close: () => subscription.close(),
    received: (count) =>
      new Promise((resolve, reject) => {
        if (events.length >= count) resolve(events);
        else waiters.push({ count, resolve: () => resolve(events), reject });
      }),
  };
}

/** The first `count` events from a position on; leaves the partition free for another reader of the client. */
export async function readEvents(
  consumer: EventHubConsumerClient,
  partitionId: string,
  startPosition: EventPosition,
  count: number,
): Promise<readonly ReceivedEventData[]> {
  const reading = read(consumer, partitionId, startPosition);
  const events = await reading.received(count);
  await reading.close();
  return events;
}

export async function readBodies(
  consumer: EventHubConsumerClient,
  partitionId: string,
  startPosition: EventPosition,
  count: number,
): Promise<unknown[]> {
  return (await readEvents(consumer, partitionId, startPosition, count)).map((event) => event.body);
}

export function range(from: number, until: number): number[] {
  return Array.from({ length: until - from }, (_, i) => from + i);
}

/** The error a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { readonly code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected a rejection');
}

/** Of an error the SDK wrapped into an AggregateError, the messages inside too. */
export function allMessages(error: Error): string {
  const inner = error instanceof AggregateError ? error.errors.map((other) => allMessages(other as Error)) : [];
  return [error.message, ...inner].join('\n');
}
