import type { Clock } from '../../base/clock.ts';
import { TidemarkError, toError } from '../../base/errors.ts';
import type { ReceiverInfo } from '../../base/receiver-info.ts';
import type { ReceiverEvent } from '../source.ts';
import { decodeBlock, encodeBlock } from './block-bytes.ts';
import { BlockGenerator, taken } from './block-generator.ts';
import type { Block, BlockKeeper } from './block-keeper.ts';
import type { RateLimiter } from './rate-limiter.ts';
import { attachReceiver, type Receiver, type ReceiverHost } from './receiver.ts';
import type { ReceiverSettings } from './receiver-options.ts';

export interface SupervisorOptions<T> {
  readonly receiver: Receiver<T>;
  readonly streamId: number;
  readonly settings: ReceiverSettings;
  readonly clock: Clock;
  readonly limiter: RateLimiter;
  readonly blocks: BlockKeeper<T>;
  readonly report: (event: ReceiverEvent, info: ReceiverInfo) => void;
}

const restartDelayMaxMs = 60_000;
/** A receiver that ran so long before it ended is started again without back-off. */
const steadyMs = 60_000;
const stopWaitMs = 10_000;
/** Calls of storeAll and storeBytes that may be under way. */
export const storesUnderWayMax = 1000;

/**
 * Runs one receiver: starts it, starts it again when it ends or asks for it, and takes in what it stores.
 *
 * A restart is asynchronous: stop, wait, start. A second request while one is under way is part of it. A receiver that
 * ends (`stop`, or an onStart that fails) is started again while the source runs, after a delay that doubles up to a
 * minute. Whatever the receiver throws is reported to the listeners, never thrown at the engine.
 * Source: Spark's `ReceiverSupervisorImpl` and the restart rule of its `ReceiverTracker`.
 */
export class ReceiverSupervisor<T> implements ReceiverHost<T> {
  readonly streamId: number;
  readonly #options: SupervisorOptions<T>;
  readonly #generator: BlockGenerator<T>;
  readonly #over = new AbortController();
  #status: 'new' | 'started' | 'stopped' = 'new';
  #restarting: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #startedMs = 0;
  #endings = 0;
  #storesUnderWay = 0;
  #lastError: Pick<ReceiverInfo, 'lastError' | 'lastErrorMessage' | 'lastErrorTimeMs'> = {
    lastError: '',
    lastErrorMessage: '',
    lastErrorTimeMs: -1,
  };

  /** @throws STATUS_INVALID when the receiver belongs to another stream. */
  constructor(options: SupervisorOptions<T>) {
    const { receiver, streamId, settings, clock, limiter } = options;
    this.#options = options;
    this.streamId = streamId;
    this.#generator = new BlockGenerator<T>({
      clock,
      limiter,
      ...settings,
      push: (rows) => this.#keepRows(rows),
      onError: (message, error) => this.reportError(message, error),
    });
    attachReceiver(receiver, this);
  }

  get isStarted(): boolean {
    return this.#status === 'started';
  }

  get isStopped(): boolean {
    return this.#status === 'stopped';
  }

  start(): void {
    this.#generator.start();
    void this.#startReceiver();
  }

  /** Stops the receiver, refuses data, and resolves when everything it had stored is kept. Idempotent. */
  stopReceiving(): Promise<void> {
    this.#stopped ??= this.#shutDown();
    return this.#stopped;
  }

  store(row: T): Promise<void> {
    return this.#handled(this.#generator.add(row));
  }

  storeAll(rows: Iterable<T>): Promise<void> {
    return this.#handled(this.#keep(() => ({ rows: several(rows) })));
  }

  storeBytes(bytes: Uint8Array): Promise<void> {
    return this.#handled(
      this.#keep(() => {
        const copy = new Uint8Array(bytes);
        return { bytes: copy, records: decodeBlock(copy).length };
      }),
    );
  }

  reportError(message: string, error: unknown): void {
    this.#noteError(message, error);
    this.#report('error');
  }

  restart(message: string, error: unknown, delayMs: number | undefined): void {
    this.#end(`Restarting the receiver: ${message}`, error, delayMs ?? this.#options.settings.restartDelayMs);
  }

  stop(message: string, error: unknown): void {
    const { restartDelayMs } = this.#options.settings;
    if (this.#options.clock.now() - this.#startedMs >= steadyMs) this.#endings = 0;
    const delayMs = Math.min(restartDelayMaxMs, Math.max(restartDelayMs, 1) * 2 ** Math.min(this.#endings, 16));
    this.#endings += 1;
    this.#end(message, error, delayMs);
  }

  #end(message: string, error: unknown, delayMs: number): void {
    if (this.#restarting !== undefined || this.#over.signal.aborted) return;
    this.#noteError(message, error);
    this.#restarting = this.#restart(delayMs);
  }

  async #restart(delayMs: number): Promise<void> {
    const { clock } = this.#options;
    // A receiver that restarts itself from onStart is stopped after onStart has returned.
    await Promise.resolve();
    await this.#stopReceiver();
    try {
      await clock.waitUntil(clock.now() + delayMs, this.#over.signal);
    } catch {
      return; // Stopped for good.
    }
    this.#restarting = undefined;
    await this.#startReceiver();
  }

  async #startReceiver(): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#status = 'started';
    this.#startedMs = this.#options.clock.now();
    this.#report('started');
    try {
      await this.#options.receiver.onStart();
    } catch (error) {
      this.stop('Error starting the receiver', error);
    }
  }

  async #stopReceiver(): Promise<void> {
    if (this.#status !== 'started') return;
    this.#status = 'stopped';
    try {
      await this.#options.receiver.onStop();
    } catch (error) {
      this.reportError('Error stopping the receiver', error);
    }
    this.#report('stopped');
  }

  async #shutDown(): Promise<void> {
    const { clock } = this.#options;
    this.#over.abort();
    // A receiver that does not end must not keep the engine from ending.
    const giveUp = new AbortController();
    const late = clock.waitUntil(clock.now() + stopWaitMs, giveUp.signal).catch(() => undefined);
    await Promise.race([this.#stopReceiver().then(() => this.#restarting), late]);
    await Promise.race([this.#generator.stop(), late]);
    this.#status = 'stopped';
    giveUp.abort();
  }

  async #keep(block: () => Block<T>): Promise<void> {
    if (!this.#generator.isActive) {
      throw new TidemarkError(
        'STATUS_INVALID',
        'Cannot store rows: the receiver has been stopped, or not started yet.',
      );
    }
    if (this.#storesUnderWay >= storesUnderWayMax) {
      throw new TidemarkError(
        'LIMIT_EXCEEDED',
        `${storesUnderWayMax} calls of storeAll are under way. Await each: it resolves when the rows are durable.`,
      );
    }
    this.#storesUnderWay += 1;
    try {
      const given = block();
      await this.#permits('rows' in given ? given.rows.length : given.records);
      await this.#options.blocks.add(given);
    } finally {
      this.#storesUnderWay -= 1;
    }
  }

  async #permits(records: number): Promise<void> {
    const { clock, limiter } = this.#options;
    const dueMs = limiter.take(records);
    if (dueMs <= clock.now()) return;
    await clock.waitUntil(dueMs, this.#over.signal).catch(() => {
      throw new TidemarkError('CANCELLED', 'The receiver was stopped before these rows were taken in.');
    });
  }

  /** A block of single rows. One row that cannot be stored, or too many large ones, must not take the others with them. */
  async #keepRows(rows: readonly T[]): Promise<void> {
    const { blocks } = this.#options;
    try {
      await blocks.add({ rows });
    } catch (error) {
      if (!isRowFault(error)) throw error;
      await Promise.all(this.#storableParts(rows).map((part) => blocks.add({ rows: part })));
    }
  }

  #storableParts(rows: readonly T[]): (readonly T[])[] {
    try {
      encodeBlock({ rows });
      return [rows];
    } catch (error) {
      if (rows.length === 1) {
        this.reportError('A row cannot be stored and is left out', error);
        return [];
      }
      const middle = rows.length >> 1;
      return [...this.#storableParts(rows.slice(0, middle)), ...this.#storableParts(rows.slice(middle))];
    }
  }

  /** Not awaited, it must not end the process; the listeners are told instead. */
  #handled(stored: Promise<void>): Promise<void> {
    if (stored === taken) return stored;
    stored.catch((error) => this.reportError('Rows could not be stored', error));
    return stored;
  }

  #noteError(message: string, error: unknown): void {
    this.#lastError = {
      lastErrorMessage: message,
      lastError: error === undefined ? '' : toError(error).message,
      lastErrorTimeMs: this.#options.clock.now(),
    };
  }

  #report(event: ReceiverEvent): void {
    const { receiver, report } = this.#options;
    const name = `${receiver.constructor.name}-${this.streamId}`;
    report(event, { streamId: this.streamId, name, active: this.isStarted, ...this.#lastError });
  }
}

function several<T>(rows: Iterable<T>): T[] {
  if (typeof rows === 'string') {
    throw new TidemarkError('OPTION_INVALID', 'storeAll() was given a text: store(text) stores it as one row.');
  }
  return [...rows];
}

function isRowFault(error: unknown): boolean {
  return error instanceof TidemarkError && (error.code === 'VALUE_UNSUPPORTED' || error.code === 'LIMIT_EXCEEDED');
}
