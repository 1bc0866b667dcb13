import type { Clock } from '../../../src/base/clock.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { MemoryStore } from '../../../src/storage/memory-store.ts';
import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  HeadOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from '../../../src/storage/object-store.ts';

export interface Faults {
  /** Of a write: it is applied, the answer says unknown. */
  readonly lostAnswer: number;
  /** Of a write: it is not applied, the answer says unknown. */
  readonly lostRequest: number;
  /** Of a write: the answer says unknown, and it is applied at some later moment, if it still can be. */
  readonly delayed: number;
  /** Of a read, a listing, a delete (which then did half its work): STORE_UNAVAILABLE. */
  readonly unavailable: number;
  /** Of every step of a process: it stands still, for up to `freezeSteps` steps of the others. */
  readonly freeze: number;
  readonly freezeSteps: number;
}

interface Step {
  readonly owner: Session;
  readonly run: () => void;
  /** Number of the world's step before which it can't run: a frozen process, a slow network. */
  readonly notBefore: number;
}

/**
 * A store, a clock and several processes on it, in a random but repeatable order. Every operation takes two steps: it
 * takes effect, and later its answer arrives; the steps of all processes are interleaved by the seed.
 *
 * The world keeps the first content of every log slot: the truth that no later delete or re-creation changes.
 */
export class SimulatedWorld {
  readonly random: SeededRandom;
  readonly truth = new Map<number, Uint8Array>();
  readonly store: MemoryStore;
  /** Slots that were created again after a delete: what the floor rule is for. */
  recreated = 0;
  readonly #faults: Faults;
  readonly #tickMsMax: number;
  #nowMs = 1_000_000;
  #steps: Step[] = [];
  #stepCount = 0;
  #delayed: (() => void)[] = [];

  constructor(seed: number, faults: Faults, tickMsMax: number) {
    this.random = new SeededRandom(seed);
    this.#faults = faults;
    this.#tickMsMax = tickMsMax;
    this.store = new MemoryStore({ clock: { now: () => this.#nowMs, waitUntil: async () => {} } });
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get stepCount(): number {
    return this.#stepCount;
  }

  chance(probability: number): boolean {
    return this.random.next() < probability;
  }

  /** Runs until `isDone` or nothing is left to run. */
  async run(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      // Everything that can happen without the world has happened when the timers' turn comes.
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#delayed.length > 0 && this.chance(0.05)) this.#take(this.#delayed)();
      const ready = this.#steps.filter((step) => step.notBefore <= this.#stepCount);
      this.#stepCount += 1;
      this.#nowMs += Math.floor(this.random.next() * this.#tickMsMax);
      if (ready.length === 0) {
        if (this.#steps.length === 0) return;
        continue;
      }
      const step = ready[Math.floor(this.random.next() * ready.length)]!;
      this.#steps.splice(this.#steps.indexOf(step), 1);
      step.run();
    }
  }

  /** Ends a process: its answers never arrive; requests on their way may still take effect. */
  kill(session: Session): void {
    const own = this.#steps.filter((step) => step.owner === session);
    this.#steps = this.#steps.filter((step) => step.owner !== session);
    for (const step of own) if (this.chance(0.5)) this.#delayed.push(step.run);
  }

  step(owner: Session): Promise<void> {
    return new Promise((resolve) => this.#push(owner, resolve));
  }

  advanceTo(timeMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, timeMs);
  }

  /** A write as the store sees it. Synchronous in effect: the memory store applies a call at once. */
  write(owner: Session, name: string, apply: () => Promise<PutOutcome>, bytes: Uint8Array): Promise<PutOutcome> {
    return new Promise((resolve, reject) => {
      const run = (): void => {
        const { lostAnswer, lostRequest, delayed } = this.#faults;
        const unknown: PutOutcome = { status: 'unknown', cause: new Error('no answer') };
        const dice = this.random.next();
        const applyNow = (): Promise<PutOutcome> => {
          const outcome = apply();
          void outcome.then((put) => this.#note(name, bytes, put));
          return outcome;
        };
        let answer: Promise<PutOutcome>;
        if (dice < lostRequest) {
          answer = Promise.resolve(unknown);
        } else if (dice < lostRequest + delayed) {
          this.#delayed.push(() => void applyNow());
          answer = Promise.resolve(unknown);
        } else if (dice < lostRequest + delayed + lostAnswer) {
          answer = applyNow().then(() => unknown);
        } else {
          answer = applyNow();
        }
        answer.then((outcome) => this.step(owner).then(() => resolve(outcome)), reject);
      };
      this.#push(owner, run);
    });
  }

  async read<R>(owner: Session, read: () => Promise<R>): Promise<R> {
    await this.step(owner);
    if (this.chance(this.#faults.unavailable)) throw new TidemarkError('STORE_UNAVAILABLE', 'simulated outage');
    const result = await read();
    await this.step(owner);
    return result;
  }

  get unavailableChance(): number {
    return this.#faults.unavailable;
  }

  #push(owner: Session, run: () => void): void {
    const { freeze, freezeSteps } = this.#faults;
    const pause = this.chance(freeze) ? Math.floor(this.random.next() * freezeSteps) : 0;
    this.#steps.push({ owner, run, notBefore: this.#stepCount + pause });
  }

  #note(name: string, bytes: Uint8Array, put: PutOutcome): void {
    const match = /^log\/(\d{20})$/.exec(name);
    if (match === null || put.status !== 'done' || put.recognised) return;
    const slot = Number(match[1]);
    if (this.truth.has(slot)) this.recreated += 1;
    else this.truth.set(slot, bytes);
  }

  #take<T>(items: T[]): T {
    return items.splice(Math.floor(this.random.next() * items.length), 1)[0]!;
  }
}

/** One process: its view of the store and of time. */
export class Session implements ObjectStore, Clock {
  readonly url = 'memory:simulated';
  readonly operations;
  readonly #world: SimulatedWorld;

  constructor(world: SimulatedWorld) {
    this.#world = world;
    this.operations = world.store.operations;
  }

  now(): number {
    return this.#world.nowMs;
  }

  async waitUntil(timeMs: number): Promise<void> {
    await this.#world.step(this);
    this.#world.advanceTo(timeMs);
  }

  get(name: string, range?: ByteRange): Promise<GetOutcome> {
    return this.#world.read(this, () => this.#world.store.get(name, range));
  }

  head(name: string): Promise<HeadOutcome> {
    return this.#world.read(this, () => this.#world.store.head(name));
  }

  putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.#world.write(this, name, () => this.#world.store.putIfAbsent(name, bytes, commitId), bytes);
  }

  compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string): Promise<PutOutcome> {
    const apply = () => this.#world.store.compareAndSwap(name, bytes, etag, commitId);
    return this.#world.write(this, name, apply, bytes);
  }

  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    // Pages of three, so that others act in the middle of a listing.
    let last = after;
    for (;;) {
      const page: ObjectInfo[] = [];
      await this.#world.read(this, async () => {
        for await (const info of this.#world.store.list(prefix, last)) {
          page.push(info);
          if (page.length === 3) break;
        }
      });
      yield* page;
      if (page.length < 3) return;
      last = page.at(-1)!.name;
    }
  }

  async delete(names: readonly string[]): Promise<DeleteOutcome> {
    const half = this.#world.chance(this.#world.unavailableChance * 3);
    return await this.#world.read(this, async () => {
      const outcome = await this.#world.store.delete(half ? names.slice(0, names.length / 2) : names);
      if (half) throw new TidemarkError('STORE_UNAVAILABLE', 'simulated outage in the middle of a delete');
      return outcome;
    });
  }

  async close(): Promise<void> {}
}
