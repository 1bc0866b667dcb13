import { writeFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { type DStream, Milliseconds, StreamingContext, type StreamingContextOptions } from '../../../src/index.ts';

/** Rows of one event: where it stands, and the thread kind it was decoded in. */
export type Seen = readonly [hub: string, key: string, n: number, inWorker: boolean];

export interface HubProgram {
  readonly connectionString: string;
  /** A file that the first thread to see event `exitAt` of a partition makes before it exits. */
  readonly mark: string;
  readonly exitAt: number;
  readonly context?: Partial<StreamingContextOptions>;
  readonly observe?: (output: string, stream: DStream<unknown>) => void;
}

/** Two hubs with odd numbers of partitions, so that a union reads partitions that are at home in other threads. */
export function buildHubProgram({ connectionString, mark, exitAt, context, observe }: HubProgram): StreamingContext {
  const ssc = new StreamingContext({
    appName: 'hubs',
    batchInterval: Milliseconds(100),
    startReport: false,
    ...context,
  });
  const hub = (eventHubName: string): DStream<Seen> =>
    ssc
      .eventHubStream({
        connectionString,
        eventHubName,
        startingPosition: 'earliest',
        maxEventsPerBatch: 700,
        uid: eventHubName,
      })
      .map(({ body }): Seen => {
        const { p, n } = body as { p: string; n: number };
        if (n === exitAt && !isMainThread && isFirst(mark)) process.exit(3);
        return [eventHubName, p, n, !isMainThread];
      });
  const [readings, alarms] = [hub('readings'), hub('alarms')];
  const outputs: Record<string, DStream<unknown>> = {
    rows: ssc.union([readings, alarms]),
    counts: readings.map(([, key]) => [key, 1] as const).reduceByKey((a, b) => a + b),
  };
  for (const [name, stream] of Object.entries(outputs)) {
    if (observe === undefined) stream.foreachRDD(() => {});
    else observe(name, stream);
  }
  return ssc;
}

export function hubModuleOf({ connectionString, mark, exitAt }: HubProgram): string {
  const query = new URLSearchParams({ connectionString, mark, exitAt: String(exitAt) });
  return `${new URL('./hub-program.ts', import.meta.url).href}?${query}`;
}

/** For a worker thread. */
export function create(): StreamingContext {
  // The next thread starts faster; one that is terminated would leave nothing behind.
  flushCompileCache();
  const given = new URL(import.meta.url).searchParams;
  return buildHubProgram({
    connectionString: given.get('connectionString')!,
    mark: given.get('mark')!,
    exitAt: Number(given.get('exitAt')),
  });
}

function isFirst(mark: string): boolean {
  try {
    writeFileSync(mark, '', { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}
