import { beforeAll, describe, expect, it } from 'vitest';
import { readCheckpoint } from '../../src/checkpoint/read-checkpoint.ts';
import { MemoryStore } from '../../src/storage/memory-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { MiniDriver } from '../unit/checkpoint/mini-driver.ts';
import { JumpingClock, loadCounters } from '../unit/checkpoint/support.ts';

/**
 * A driver dies at a request to the store: before it takes effect, or after, without seeing the answer. Every kind of
 * request that changes something, at several of its occurrences; alone, and again at every request of the recovery. What
 * is there in the end must be what an uninterrupted run leaves, except for objects that nothing refers to.
 */
const batches = 30;
const policy = {
  inlineBytesMax: 10,
  segmentBytesMax: 20,
  manifestEveryRecords: 4,
  retainManifests: 1,
  silenceThresholdMs: 1000,
  commitTimeoutMs: 10_000,
};

type Moment = 'before' | 'applied, answer lost';
interface Plan {
  readonly request: number;
  readonly moment: Moment;
}

/** The requests of one life; from the planned one on, nothing is answered any more. */
class MortalStore implements ObjectStore {
  readonly url;
  readonly operations;
  readonly requests: string[] = [];
  readonly death = Promise.withResolvers<'died'>();
  readonly #store: ObjectStore;
  readonly #plan: Plan | undefined;

  constructor(store: ObjectStore, plan: Plan | undefined) {
    this.#store = store;
    this.#plan = plan;
    this.url = store.url;
    this.operations = store.operations;
  }

  get(name: string, range?: { readonly offset: number; readonly length: number }) {
    return this.#request(`get ${name}`, () => this.#store.get(name, range));
  }

  head(name: string) {
    return this.#request(`head ${name}`, () => this.#store.head(name));
  }

  putIfAbsent(name: string, bytes: Uint8Array, commitId: string) {
    return this.#request(`put ${name}`, () => this.#store.putIfAbsent(name, bytes, commitId));
  }

  compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string) {
    return this.#request(`swap ${name}`, () => this.#store.compareAndSwap(name, bytes, etag, commitId));
  }

  list(prefix: string, after?: string) {
    return this.#store.list(prefix, after);
  }

  delete(names: readonly string[]) {
    return this.#request('delete', async () => {
      // Half of it: a delete of many names is none that happens at once.
      const dies = this.#plan?.request === this.requests.length;
      return this.#store.delete(dies ? names.slice(0, names.length >> 1) : names);
    });
  }

  async close(): Promise<void> {}

  async #request<R>(name: string, run: () => Promise<R>): Promise<R> {
    const number = this.requests.push(name);
    if (this.#plan === undefined || number < this.#plan.request) return run();
    if (number === this.#plan.request && this.#plan.moment === 'applied, answer lost') await run();
    this.death.resolve('died');
    return new Promise(() => {});
  }
}

class Run {
  readonly clock = new JumpingClock();
  readonly store = new MemoryStore({ clock: this.clock });
  #lives = 0;

  /** Until the last batch, or until the planned death. */
  async live(plan?: Plan): Promise<{ readonly died: boolean; readonly requests: readonly string[] }> {
    const store = new MortalStore(this.store, plan);
    const end = await Promise.race([this.#runBatches(store), store.death.promise]);
    return { died: end === 'died', requests: store.requests };
  }

  async #runBatches(store: ObjectStore): Promise<void> {
    const driver = await MiniDriver.start(store, this.clock, ++this.#lives, policy);
    while (driver.nextBatchId <= batches) {
      this.clock.advanceBy(1000);
      await driver.runBatch();
    }
  }

  async expectWhole(): Promise<void> {
    const stream = (await readCheckpoint(this.store))!;
    expect(stream.status.lastBatch?.batchId).toBe(batches);
    const states = await loadCounters(stream);
    expect(states.get('wide')!.values).toEqual(MiniDriver.expected(batches).wide);
    let objects = 0;
    for await (const _ of this.store.list('')) objects += 1;
    expect(objects).toBeLessThan(150);
  }
}

/** Rows of docs/crash-matrix.md by the request at which the driver dies. The first life begins with format and fence. */
const rows: readonly (readonly [string, RegExp, readonly Moment[]])[] = [
  ['row 1: a driver dies creating the stream', /^put (format|log\/0{19}1)$/, ['before', 'applied, answer lost']],
  ['row 5: a driver dies uploading segments', /^put seg\//, ['before', 'applied, answer lost']],
  ['row 6: a driver dies before its record arrives', /^put log\/\d{18}[1-9]\d$/, ['before']],
  ['row 8: a driver dies when its record has arrived', /^put log\/\d{18}[1-9]\d$/, ['applied, answer lost']],
  ['row 17: a driver dies writing a manifest', /^put man\//, ['before', 'applied, answer lost']],
  ['row 18: a driver dies replacing the hint', /^swap hint$/, ['before', 'applied, answer lost']],
  ['row 19: a driver dies writing what it compacted', /^put snap\//, ['before', 'applied, answer lost']],
  [
    'row 20: a driver dies raising the floor or deleting',
    /^(swap gc\/floor|delete)$/,
    ['before', 'applied, answer lost'],
  ],
];

let calm: readonly string[];
beforeAll(async () => {
  const run = new Run();
  calm = (await run.live()).requests;
  await run.expectWhole();
});

function occurrencesOf(kind: RegExp, most: number): readonly number[] {
  const all = calm.flatMap((name, index) => (kind.test(name) ? [index + 1] : []));
  expect(all.length, String(kind)).toBeGreaterThan(1);
  return all.filter((_, index) => index % Math.ceil(all.length / most) === 0);
}

describe.each(rows)('%s', { timeout: 120_000 }, (_row, kind, moments) => {
  it.each(moments)('%s > the next start goes on as if nothing had happened', async (moment) => {
    for (const request of occurrencesOf(kind, 5)) {
      const run = new Run();
      expect((await run.live({ request, moment })).died).toBe(true);
      expect((await run.live()).died).toBe(false);
      await run.expectWhole();
    }
  });

  it('after > the request behind it is the one that is never made', async () => {
    for (const before of occurrencesOf(kind, 3)) {
      const run = new Run();
      expect((await run.live({ request: before + 1, moment: 'before' })).died).toBe(true);
      expect((await run.live()).died).toBe(false);
      await run.expectWhole();
    }
  });

  it('and again during recovery, at each of its requests > the start after that goes on', async () => {
    const [request] = occurrencesOf(kind, 2).slice(-1) as [number];
    for (let again = 1; ; again++) {
      const run = new Run();
      await run.live({ request, moment: moments.at(-1)! });
      const second = await run.live({ request: again, moment: again % 2 === 0 ? 'before' : 'applied, answer lost' });
      expect(second.died).toBe(true);
      await run.live();
      await run.expectWhole();
      // The fence and the hint behind it are what a recovery writes; a few batches more see the first of what follows.
      if (second.requests.filter((name) => name.startsWith('put log/')).length > 2) break;
    }
  });
});
