import { expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { LoggedBlocks } from '../../../src/sources/receiver/logged-blocks.ts';
import type { SourcePlan } from '../../../src/sources/source.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import { FaultyStore } from '../../../src/testing/faulty-store.ts';
import { settle } from './support.ts';

const seeds = 300;
const steps = 60;
const hourMs = 3_600_000;

interface SimulatedDriver {
  readonly epoch: number;
  readonly store: FaultyStore;
  blocks: LoggedBlocks<string> | undefined;
}

/**
 * Drivers that come one after another on one store, and older ones that don't know it yet and go on writing: with lost
 * requests and answers, writes that land late, kills and naps of days. The newest alone commits, as the checkpoint's log
 * sees to.
 */
class LogWorld {
  readonly acknowledged = new Set<string>();
  readonly consumed: string[] = [];
  readonly failures: string[] = [];
  readonly #random: SeededRandom;
  readonly #clock = new ManualClock(0);
  readonly #objects = new MemoryStore({ clock: this.#clock });
  readonly #drivers: SimulatedDriver[] = [];
  #epoch = 0;
  #position = 1;
  #blocks = 0;
  #recorded: SourcePlan | undefined;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  async run(): Promise<void> {
    this.#start();
    for (let step = 0; step < steps; step++) {
      const dice = this.#random.next();
      if (dice < 0.06) this.#start();
      else if (dice < 0.1) this.#pick()?.store.crash();
      else if (dice < 0.25) this.#injectFault();
      else if (dice < 0.28) this.#clock.advanceBy(Math.floor(this.#random.next() * 30) * hourMs);
      else if (dice < 0.45) await this.#batch();
      else this.#write();
      if (this.#random.next() < 0.5) await settle();
      if (this.#random.next() < 0.3) this.#clock.advanceBy(200 + Math.floor(this.#random.next() * 5000));
    }
    // The last one sees a good day.
    for (const { store } of this.#drivers) store.crash();
    this.#start();
    await this.#goOn(() => this.#newest().blocks !== undefined);
    for (let i = 0; i < 20; i++) await this.#batch();
  }

  #newest(): SimulatedDriver {
    return this.#drivers.at(-1)!;
  }

  #pick(): SimulatedDriver | undefined {
    return this.#drivers[Math.floor(this.#random.next() * this.#drivers.length)];
  }

  #start(): void {
    const epoch = ++this.#epoch;
    const driver: SimulatedDriver = { epoch, store: new FaultyStore(this.#objects), blocks: undefined };
    this.#drivers.push(driver);
    LoggedBlocks.open<string>({
      store: driver.store,
      epoch,
      position: this.#position,
      clock: this.#clock,
      random: new SeededRandom(epoch * 1000 + 1),
      fail: () => {},
    }).then(
      (blocks) => {
        if (this.#recorded !== undefined) blocks.takeUpTo(this.#recorded.position as number);
        driver.blocks = blocks;
      },
      (error) => {
        // An older one that starts too late, or one that met only outages.
        if (epoch === this.#epoch && !['SOURCE_FENCED', 'COMMIT_UNKNOWN', 'STORE_UNAVAILABLE'].includes(error.code)) {
          this.failures.push(`driver ${epoch}: ${error.message}`);
        }
      },
    );
  }

  #write(): void {
    const driver = this.#pick();
    if (driver?.blocks === undefined) return;
    const row = `${driver.epoch}/${++this.#blocks}`;
    driver.blocks.add({ rows: [row] }).then(
      () => this.acknowledged.add(row),
      () => {},
    );
  }

  /** Plan, maybe a crash in between, read, commit. */
  async #batch(): Promise<void> {
    const { blocks, store } = this.#newest();
    if (blocks === undefined || store.crashed) return;
    const plan = this.#recorded ?? structuredClone(blocks.take());
    if (this.#random.next() < 0.5) this.#recorded = plan; // Durable before the batch runs.
    if (this.#recorded !== undefined && this.#random.next() < 0.2) return;
    const rows: string[] = [];
    let failed: unknown;
    for (const partition of plan.partitions) {
      const read = blocks.read(partition).then(
        (found) => void rows.push(...found),
        (error) => {
          failed = error;
        },
      );
      let isRead = false;
      read.finally(() => {
        isRead = true;
      });
      await this.#goOn(() => isRead || store.crashed);
    }
    // A batch that could not read is not committed: its driver ends, the next one runs it again.
    if (failed !== undefined || store.crashed) {
      if ((failed as { code?: string } | undefined)?.code === 'CHECKPOINT_CORRUPT') this.failures.push(String(failed));
      store.crash();
      return;
    }
    this.consumed.push(...rows);
    this.#position = plan.position as number;
    this.#recorded = undefined;
    blocks.free(this.#position);
  }

  #injectFault(): void {
    const store = this.#pick()?.store;
    const type = this.#random.next() < 0.8 ? 'put' : undefined;
    const late = Promise.withResolvers<void>();
    const dice = this.#random.next();
    if (dice < 0.25) store?.inject({ type }, { kind: 'lose-answer' });
    else if (dice < 0.5) store?.inject({ type }, { kind: 'lose-request' });
    else if (dice < 0.75) store?.inject({ type: 'put' }, { kind: 'apply-late', until: late.promise });
    else store?.inject({ type: 'put' }, { kind: 'delay', until: late.promise });
    // Minutes at most: no network keeps a request for longer.
    const landsAtMs = this.#clock.now() + this.#random.next() * 60_000;
    this.#clock.waitUntil(landsAtMs).then(() => late.resolve());
  }

  async #goOn(isDone: () => boolean): Promise<void> {
    for (let i = 0; i < 500 && !isDone(); i++) {
      await settle();
      if (!isDone()) this.#clock.advanceBy(1000);
    }
  }
}

test(`in ${seeds} random worlds every acknowledged block is consumed once, and none twice`, {
  timeout: 60_000,
}, async () => {
  let acknowledged = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const world = new LogWorld(seed);
    await world.run();
    const consumed = new Set(world.consumed);
    const lost = [...world.acknowledged].filter((row) => !consumed.has(row));
    expect({ seed, failures: world.failures, lost, doubled: world.consumed.length - consumed.size }).toEqual({
      seed,
      failures: [],
      lost: [],
      doubled: 0,
    });
    acknowledged += world.acknowledged.size;
  }
  // The worlds are not so bad that nothing happens in them.
  expect(acknowledged).toBeGreaterThan(seeds * 5);
});
