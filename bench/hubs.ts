import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { EventHubProducerClient } from '@azure/event-hubs';

export const hubPartitions = 4;
const minutesMax = 5;

/** The Event Hubs emulator, in a process of its own. */
export interface Hubs {
  readonly connectionString: string;
  /** CPU time of its process so far, user and system. */
  cpuUs(): Promise<number>;
  stop(): void;
}

export async function startHubs(names: readonly string[]): Promise<Hubs> {
  const hubs = names.map((name) => ({ name, partitionCount: hubPartitions }));
  const child = fork(join(import.meta.dirname, 'hubs-process.ts'), [JSON.stringify(hubs)]);
  const answer = async <T>(): Promise<T> => (await once(child, 'message'))[0] as T;
  return {
    connectionString: await answer<string>(),
    cpuUs: () => {
      child.send('cpu');
      return answer<number>();
    },
    stop: () => child.disconnect(),
  };
}

/** Sends events in full batches, to the partitions in turn. */
export async function fillHub(
  { connectionString }: Hubs,
  hub: string,
  events: number,
  bodyOf: (number: number) => unknown,
  batchEventsMax: number = Number.POSITIVE_INFINITY,
): Promise<void> {
  const producer = new EventHubProducerClient(connectionString, hub);
  for (let sent = 0, partition = 0; sent < events; partition = (partition + 1) % hubPartitions) {
    const batch = await producer.createBatch({ partitionId: String(partition) });
    while (sent < events && batch.count < batchEventsMax && batch.tryAdd({ body: bodyOf(sent) })) sent++;
    await producer.sendBatch(batch);
  }
  await producer.close();
}

export interface Reading {
  readonly deviceId: string;
  readonly temperature: number;
  readonly at: number;
  readonly seq: number;
  readonly note: string;
}

/** JSON of 200 bytes, of 500 devices. */
export function reading(number: number): Reading {
  // Devices and temperatures in no order, the same in every run.
  const mixed = Math.imul(number ^ (number >>> 15), 0x2c1b3c6d) >>> 0;
  const body = {
    deviceId: `thermostat-${mixed % 500}`,
    temperature: ((mixed >>> 9) % 400) / 10,
    at: 1_700_000_000_000 + number,
    seq: number,
    note: '',
  };
  return { ...body, note: 'x'.repeat(200 - JSON.stringify(body).length) };
}

/** Runs a script of this folder in a process of its own, until its one message. */
export async function measured<T>(script: string, env: Readonly<Record<string, string>>): Promise<T> {
  const child = fork(join(import.meta.dirname, script), {
    env: { ...process.env, ...env },
    execArgv: ['--expose-gc'],
    timeout: minutesMax * 60_000,
    killSignal: 'SIGKILL',
  });
  return new Promise((resolve, reject) => {
    child.on('message', (message: T) => resolve(message));
    child.on('exit', (code, signal) => reject(new Error(`${script} ended without a result (${signal ?? code})`)));
  });
}

/** What one side of a comparison took for so many events. */
export interface Run {
  readonly ms: number;
  readonly cpuUs: number;
  readonly events: number;
}

export function eventsPerSecond({ ms, events }: Run): number {
  return (events / ms) * 1000;
}
