import type { EventHubWarning } from './event-hub-options.ts';
import { recreated } from './event-hub-position.ts';
import { type FailurePlace, type HubConnection, HubFailure } from './hub-connection.ts';

/**
 * The connection to a hub across disconnects: whoever needs one asks, and all get the same.
 *
 * Owns that at most one connection is open, and that every connection leads to the hub the first one led to. Doesn't own
 * the pauses between attempts: who asks in vain waits before asking again.
 */
export class HubSession {
  readonly #open: (signal: AbortSignal) => Promise<HubConnection>;
  readonly #place: FailurePlace;
  readonly #warn: (warning: EventHubWarning) => void;
  #current: Promise<HubConnection> | undefined;
  #createdOn: number | undefined;
  #verifying: Promise<void> | undefined;
  readonly #closing = new AbortController();

  constructor(
    open: (signal: AbortSignal) => Promise<HubConnection>,
    place: FailurePlace,
    warn: (warning: EventHubWarning) => void,
  ) {
    this.#open = open;
    this.#place = place;
    this.#warn = warn;
  }

  /** From now on another value of `createdOn` means another hub. */
  expectHub(createdOn: number): void {
    this.#createdOn = createdOn;
  }

  /** @throws HubFailure; SOURCE_RECREATED when the hub is another one by now. */
  connection(): Promise<HubConnection> {
    if (this.#closing.signal.aborted) return Promise.reject(new HubFailure('closed', 'The source was stopped.'));
    if (this.#current) return this.#current;
    const attempt = this.#openVerified();
    this.#current = attempt;
    const forget = (): void => {
      if (this.#current === attempt) this.#current = undefined;
    };
    attempt.then((connection) => {
      void connection.closed.then((failure) => {
        forget();
        if (!this.#closing.signal.aborted && failure.kind !== 'closed') this.#reportDisconnect(failure);
      });
    }, forget);
    return attempt;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const connection = await this.#current?.catch(() => undefined);
    await connection?.close();
  }

  /** Checks that the hub is still the one, for all who ask at the same time at once. @throws as `connection` */
  verify(): Promise<void> {
    this.#verifying ??= this.connection()
      .then((connection) => this.#verifyBy(connection))
      .finally(() => {
        this.#verifying = undefined;
      });
    return this.#verifying;
  }

  async #openVerified(): Promise<HubConnection> {
    const connection = await this.#open(this.#closing.signal);
    try {
      await this.#verifyBy(connection);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async #verifyBy(connection: HubConnection): Promise<void> {
    if (this.#createdOn === undefined) return;
    const { createdOn } = await connection.hubProperties();
    if (createdOn !== this.#createdOn) {
      throw recreated(this.#place.hub, 'after an interruption it has another time of creation');
    }
  }

  #reportDisconnect(failure: HubFailure): void {
    this.#warn({
      kind: 'reconnecting',
      message: `Lost the connection to event hub '${this.#place.hub}' at ${this.#place.host}, reconnecting. (${failure.message})`,
    });
  }
}
