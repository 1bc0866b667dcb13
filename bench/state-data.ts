import { setImmediate } from 'node:timers/promises';
import { hashKey, keyIdentity } from '../src/base/canonical-key.ts';
import { StateTable } from '../src/state/state-table.ts';

const partitions = 8;
const keysPerBatch = 250_000;

export interface Device {
  readonly model: string;
  readonly site: string;
  readonly sum: number;
  readonly count: number;
  readonly lastMs: number;
}

/** About 100 bytes when it is stored. */
export function device(i: number, count: number): Device {
  return {
    model: `thermostat-${i % 977}`,
    site: `building ${i % 5003}, floor ${i % 31}, room ${i % 311}`,
    sum: (i % 4001) / 8 + count * 1.5,
    count,
    lastMs: 1_700_000_000_000 + i * 7,
  };
}

export function keyOf(i: number): string {
  return `device-${String(i).padStart(9, '0')}`;
}

export function newTable(cellsMax?: number): StateTable {
  return new StateTable({ uid: 'bench', numPartitions: partitions, cellsMax });
}

/** Puts the keys before `keys` into the table, batch by batch, from `first` on. @returns the fingerprint */
export function fill(state: StateTable, keys: number, first = 0): string {
  let fingerprint = '';
  for (let from = first; from < keys; from += keysPerBatch) {
    for (let i = from; i < Math.min(keys, from + keysPerBatch); i++) {
      const key = keyOf(i);
      state.partition(hashKey(key) % partitions).put(0, keyIdentity(key), key, device(i, 0));
    }
    fingerprint = state.seal().fingerprint;
    state.merge();
  }
  return fingerprint;
}

export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** CPU time of this thread. */
export async function cpuMs(work: () => unknown): Promise<number> {
  globalThis.gc?.();
  const start = threadMs();
  await work();
  return threadMs() - start;
}

/** Gives the event loop its turns, and keeps the longest between two of them: in CPU time, which other processes don't add to. */
export class Turns {
  longestMs = 0;
  #since = threadMs();

  begin(): void {
    this.#since = threadMs();
  }

  async next(): Promise<void> {
    this.longestMs = Math.max(this.longestMs, threadMs() - this.#since);
    await setImmediate();
    this.#since = threadMs();
  }
}
