import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { Backoff, type BackoffLimits } from './backoff.ts';
import { type FailurePlace, HubFailure, isWorthRetrying, toTidemarkError } from './hub-connection.ts';

interface HubCallsFields {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: BackoffLimits;
  readonly place: FailurePlace;
  /** Ends a pause between two attempts. */
  readonly stopping: AbortSignal;
  /** Throws when the source has failed or was stopped. */
  readonly throwIfOver: () => void;
}

/** Calls to a hub while a source starts: repeats what failed for a passing reason, then says it as the application should see it. */
export class HubCalls {
  readonly #fields: HubCallsFields;

  constructor(fields: HubCallsFields) {
    this.#fields = fields;
  }

  async retrying<T>(operation: () => Promise<T>, partitionId?: string): Promise<T> {
    const { clock, random, limits, place, stopping, throwIfOver } = this.#fields;
    const backoff = new Backoff(limits, random);
    for (;;) {
      throwIfOver();
      try {
        return await operation();
      } catch (error) {
        throwIfOver();
        if (!(error instanceof HubFailure)) throw error;
        const delayMs = isWorthRetrying(error.kind, false) ? backoff.failed(clock.now()) : undefined;
        if (delayMs === undefined) throw toTidemarkError(error, { ...place, partitionId });
        // Aborted by a stop: the next turn says so.
        await clock.waitUntil(clock.now() + delayMs, stopping).catch(() => undefined);
      }
    }
  }
}
