import pRetry from 'p-retry';
import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

export interface RetryPolicy {
  /** Attempts, the first included. */
  readonly attemptsMax: number;
  /** Wait before the second attempt; doubles from there. */
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
}

export interface RetryEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  /** Ends the waiting at once; the running attempt must watch it itself. */
  readonly signal?: AbortSignal | undefined;
}

export interface RetryDecision {
  /** The failure passes by itself: try again. */
  readonly again: boolean;
  /** At least this long, because the other side asked for it. Bounded by `delayMaxMs` like every wait. */
  readonly delayMs?: number | undefined;
}

/**
 * Runs `attempt` until it succeeds, `decide` says that its failure is final, or the attempts are used up; then the last
 * failure is thrown as it is. Waits are between half and all of the doubling bound, so that many callers spread out.
 *
 * p-retry counts and stops; the waiting is on the clock that is passed in, so a manual clock can drive it.
 */
export async function retry<T>(
  attempt: (attemptNumber: number) => Promise<T>,
  policy: RetryPolicy,
  environment: RetryEnvironment,
  decide: (error: Error) => RetryDecision,
): Promise<T> {
  const { clock, random, signal } = environment;
  return pRetry(attempt, {
    retries: policy.attemptsMax - 1,
    minTimeout: 0,
    signal,
    shouldRetry: async ({ error, retriesConsumed }) => {
      const { again, delayMs = 0 } = decide(error);
      if (!again) return false;
      const bound = Math.min(policy.delayMaxMs, policy.delayMinMs * 2 ** retriesConsumed);
      const jittered = Math.ceil(bound * (0.5 + random.next() / 2));
      await clock.waitUntil(clock.now() + Math.min(policy.delayMaxMs, Math.max(jittered, delayMs)), signal);
      return true;
    },
  });
}
