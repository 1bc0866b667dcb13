import type { Clock } from '../base/clock.ts';
import { TidemarkError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { type RetryPolicy, retry } from '../base/retry.ts';
import { type AzureFailure, classifyAzureError } from './azure-errors.ts';

export interface RequestTimes extends RetryPolicy {
  /** How long one request may take, plus a millisecond per KiB of its body. */
  readonly tryTimeoutMs: number;
}

/** A failed request whose meaning is known. Stays within the adapter. */
export class AzureRequestError extends Error {
  readonly failure: AzureFailure;

  constructor(failure: AzureFailure) {
    super(failure.error.message, { cause: failure.error });
    this.failure = failure;
  }
}

/**
 * Sends requests: each try with a time limit, a passing failure again after a wait, all of them ended by `close`.
 *
 * Does not know what the requests are. Requests under way are bounded by their callers.
 */
export class AzureRequests {
  readonly #root: string;
  readonly #times: RequestTimes;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #closing = new AbortController();
  readonly #underWay = new Set<AbortController>();

  constructor(root: string, times: RequestTimes, clock: Clock, random: Random) {
    this.#root = root;
    this.#times = times;
    this.#clock = clock;
    this.#random = random;
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  close(): void {
    this.#closing.abort(new TidemarkError('CANCELLED', `The store ${this.#root} is closed.`));
    for (const request of this.#underWay) request.abort();
  }

  throwIfClosed(): void {
    this.#closing.signal.throwIfAborted();
  }

  /**
   * Resolves with what `send` returns. `onFailure` sees every failed try.
   *
   * @throws AzureRequestError the last failure; TidemarkError CANCELLED
   */
  run<T>(
    bodyBytes: number,
    send: (signal: AbortSignal) => Promise<T>,
    options: { attemptsMax?: number | undefined; onFailure?: ((failure: AzureFailure) => void) | undefined } = {},
  ): Promise<T> {
    const policy = { ...this.#times, attemptsMax: options.attemptsMax ?? this.#times.attemptsMax };
    const environment = { clock: this.#clock, random: this.#random, signal: this.#closing.signal };
    return retry(
      async () => {
        try {
          return await this.#once(bodyBytes, send);
        } catch (error) {
          if (error instanceof AzureRequestError) options.onFailure?.(error.failure);
          throw error;
        }
      },
      policy,
      environment,
      (error) => {
        if (!(error instanceof AzureRequestError)) return { again: false };
        return { again: error.failure.kind === 'passing', delayMs: error.failure.retryAfterMs };
      },
    );
  }

  async #once<T>(bodyBytes: number, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const request = new AbortController();
    let timedOut = false;
    const timer = setTimeout(
      () => {
        timedOut = true;
        request.abort();
      },
      this.#times.tryTimeoutMs + bodyBytes / 1024,
    );
    this.#underWay.add(request);
    try {
      return await send(request.signal);
    } catch (thrown) {
      throw new AzureRequestError(classifyAzureError(thrown, this.#root, timedOut));
    } finally {
      clearTimeout(timer);
      this.#underWay.delete(request);
    }
  }
}
