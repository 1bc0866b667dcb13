import { TidemarkError } from '../../base/errors.ts';

/** What a receiver asks of the one who runs it. */
export interface ReceiverHost<T> {
  readonly streamId: number;
  readonly isStarted: boolean;
  readonly isStopped: boolean;
  store(row: T): Promise<void>;
  storeAll(rows: Iterable<T>): Promise<void>;
  storeBytes(bytes: Uint8Array): Promise<void>;
  reportError(message: string, error: unknown): void;
  restart(message: string, error: unknown, delayMs: number | undefined): void;
  stop(message: string, error: unknown): void;
}

// Set by the class below: only this module reaches the host of a receiver.
let attach: <T>(receiver: Receiver<T>, host: ReceiverHost<T>) => void;

/**
 * Takes data from somewhere into a stream: extend it, and give an instance to `ssc.receiverStream`.
 *
 * `onStart` sets up what is needed to receive (a connection, a timer) and returns: it must not wait for data. `onStop`
 * undoes it. Both are called again on every restart, never twice in a row.
 *
 * How data is stored decides what a crash can do to it:
 *   `store(row)` collects rows into a block every 200 ms. It acknowledges nothing: rows of the last moments can be lost.
 *   `storeAll(rows)` and `storeBytes(bytes)` resolve when the rows are durable, as one block: then they are processed
 *   exactly once, whatever happens. A reliable receiver acknowledges to its source only after that.
 * Source: Spark's `Receiver`. Differs: one row and several have different names, because a pair is an array here.
 */
export abstract class Receiver<T> {
  #host: ReceiverHost<T> | undefined;

  static {
    attach = (receiver, host) => {
      if (receiver.#host !== undefined) {
        throw new TidemarkError(
          'STATUS_INVALID',
          `This ${receiver.constructor.name} receives for a stream already: give every stream a receiver of its own.`,
        );
      }
      receiver.#host = host;
    };
  }

  abstract onStart(): void | Promise<void>;
  abstract onStop(): void | Promise<void>;

  /** Number of the stream it receives for. */
  get streamId(): number {
    return this.#attached().streamId;
  }

  /** Resolves when the row is in a block, at the receiver's rate. */
  store(row: T): Promise<void> {
    return this.#attached().store(row);
  }

  /** Stores the rows as one block and resolves when they are durable (without a checkpoint: when they are in memory). */
  storeAll(rows: Iterable<T>): Promise<void> {
    return this.#attached().storeAll(rows);
  }

  /** As `storeAll`, with rows that are encoded already: one MessagePack array. */
  storeBytes(bytes: Uint8Array): Promise<void> {
    return this.#attached().storeBytes(bytes);
  }

  /** Tells the listeners; nothing else happens. */
  reportError(message: string, error?: unknown): void {
    this.#attached().reportError(message, error);
  }

  /** Stops, waits, and starts again; returns at once. `delayMs`: default 2,000, see `restartDelay`. */
  restart(message: string, error?: unknown, delayMs?: number): void {
    this.#attached().restart(message, error, delayMs);
  }

  /** Ends this run of the receiver. While the context runs it is started again, later and later. */
  stop(message: string, error?: unknown): void {
    this.#attached().stop(message, error);
  }

  isStarted(): boolean {
    return this.#host?.isStarted ?? false;
  }

  isStopped(): boolean {
    return this.#host?.isStopped ?? false;
  }

  #attached(): ReceiverHost<T> {
    if (this.#host !== undefined) return this.#host;
    throw new TidemarkError(
      'STATUS_INVALID',
      `This ${this.constructor.name} belongs to no running stream: give it to ssc.receiverStream() and start the context.`,
    );
  }
}

/** Binds a receiver to the one who runs it. @throws STATUS_INVALID when it is bound already. */
export function attachReceiver<T>(receiver: Receiver<T>, host: ReceiverHost<T>): void {
  attach(receiver, host);
}
