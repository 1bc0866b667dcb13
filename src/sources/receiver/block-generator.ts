import type { Clock } from '../../base/clock.ts';
import { TidemarkError, toError } from '../../base/errors.ts';
import type { RateLimiter } from './rate-limiter.ts';

export interface BlockGeneratorOptions<T> {
  readonly clock: Clock;
  readonly limiter: RateLimiter;
  /** A block is cut so often, however long a batch is. */
  readonly blockIntervalMs: number;
  /** Blocks that are pushed and not yet kept. While there are so many, rows gather in the current block. */
  readonly queueMax: number;
  /** A block of so many rows is cut at once; while none can be cut, `add` waits. */
  readonly blockRowsMax: number;
  /** Resolves when the block is kept. Called in order, also while earlier ones are pending. */
  readonly push: (rows: readonly T[]) => Promise<void>;
  readonly onError: (message: string, error: Error) => void;
}

/** Rows that may wait for a permit or for room. */
export const waitingRowsMax = 100_000;

/** What `add` gives when the row was taken in at once. */
export const taken: Promise<void> = Promise.resolve();

/**
 * Makes blocks of single rows: one every block interval. Source: Spark's `BlockGenerator`.
 *
 * Refuses rows before `start` and after `stop`. A stop takes in the rows that were waiting already, cuts the last block
 * and resolves when everything was pushed.
 */
export class BlockGenerator<T> {
  readonly #options: BlockGeneratorOptions<T>;
  readonly #ticking = new AbortController();
  #status: 'new' | 'active' | 'stopped' = 'new';
  #rows: T[] = [];
  #waiting: WaitingRow<T>[] = [];
  #serving = false;
  #pushing = new Set<Promise<void>>();
  #room: PromiseWithResolvers<void> | undefined;

  constructor(options: BlockGeneratorOptions<T>) {
    this.#options = options;
  }

  get isActive(): boolean {
    return this.#status === 'active';
  }

  /** @throws STATUS_INVALID when it was started before. */
  start(): void {
    if (this.#status !== 'new') throw refused('start a block generator', this.#status);
    this.#status = 'active';
    void this.#tick();
  }

  /** Resolves when the row is in a block: it says nothing about where the block is. @throws STATUS_INVALID, LIMIT_EXCEEDED */
  add(row: T): Promise<void> {
    if (this.#status !== 'active') return Promise.reject(refused('store a row', this.#status));
    const { limiter, clock } = this.#options;
    const dueMs = limiter.take(1);
    if (this.#waiting.length === 0 && dueMs <= clock.now() && this.#hasRoom()) {
      this.#append(row);
      return taken;
    }
    if (this.#waiting.length >= waitingRowsMax) {
      return Promise.reject(
        new TidemarkError(
          'LIMIT_EXCEEDED',
          `${waitingRowsMax} rows wait to be stored already. Await store(): it resolves when the row is taken in, at the receiver's rate.`,
        ),
      );
    }
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ row, dueMs, done });
    if (!this.#serving) void this.#serve();
    return done.promise;
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    if (this.#status !== 'stopped') {
      this.#status = 'stopped';
      this.#ticking.abort();
      this.#makeRoom();
      for (const { row, done } of this.#waiting.splice(0)) {
        this.#rows.push(row);
        done.resolve();
      }
      this.#cut();
    }
    while (this.#pushing.size > 0) await Promise.all(this.#pushing);
  }

  async #tick(): Promise<void> {
    const { clock, blockIntervalMs } = this.#options;
    const { signal } = this.#ticking;
    while (!signal.aborted) {
      const nextMs = (Math.floor(clock.now() / blockIntervalMs) + 1) * blockIntervalMs;
      await clock.waitUntil(nextMs, signal).catch(() => undefined);
      if (!signal.aborted && this.#pushing.size < this.#options.queueMax) this.#cut();
    }
  }

  /** Takes waiting rows in as their permits fall due and room is made. */
  async #serve(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#ticking;
    this.#serving = true;
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      if (first.dueMs > clock.now()) await clock.waitUntil(first.dueMs, signal).catch(() => undefined);
      while (!signal.aborted && !this.#hasRoom()) await (this.#room ??= Promise.withResolvers()).promise;
      if (signal.aborted) break;
      let count = 0;
      const nowMs = clock.now();
      while (count < this.#waiting.length && this.#waiting[count]!.dueMs <= nowMs && this.#hasRoom()) {
        const { row, done } = this.#waiting[count++]!;
        this.#append(row);
        done.resolve();
      }
      this.#waiting.splice(0, count);
    }
    this.#serving = false;
  }

  #hasRoom(): boolean {
    return this.#rows.length < this.#options.blockRowsMax;
  }

  #append(row: T): void {
    this.#rows.push(row);
    if (!this.#hasRoom() && this.#pushing.size < this.#options.queueMax) this.#cut();
  }

  #cut(): void {
    if (this.#rows.length === 0) return;
    const rows = this.#rows;
    this.#rows = [];
    const pushed = this.#push(rows).finally(() => {
      this.#pushing.delete(pushed);
      if (!this.#hasRoom() && this.#status === 'active') this.#cut();
      this.#makeRoom();
    });
    this.#pushing.add(pushed);
    this.#makeRoom();
  }

  async #push(rows: readonly T[]): Promise<void> {
    try {
      await this.#options.push(rows);
    } catch (error) {
      this.#options.onError(`${rows.length} rows could not be stored`, toError(error));
    }
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}

interface WaitingRow<T> {
  readonly row: T;
  readonly dueMs: number;
  readonly done: PromiseWithResolvers<void>;
}

function refused(what: string, status: 'new' | 'active' | 'stopped'): TidemarkError {
  const why = status === 'new' ? 'the receiver has not been started' : `it is ${status}`;
  return new TidemarkError('STATUS_INVALID', `Cannot ${what}: ${why}.`);
}
