import { TidemarkError } from '../base/errors.ts';
import type { GetOutcome, ObjectStore } from '../storage/object-store.ts';
import type { CheckpointSettings } from './checkpoint-options.ts';

const delayMinMs = 100;
const delayMaxMs = 5_000;

export type KnownPut =
  | { readonly status: 'done'; readonly serverTimeMs: number }
  | { readonly status: 'lost'; readonly serverTimeMs: number };

/**
 * Creates an object and comes back only when it is known whose object stands there.
 *
 * An unknown outcome is never guessed: the first attempt may still land, so the identical bytes are sent again with
 * the same commit id until the store tells (done or lost), or the policy time is used up.
 *
 * @param patience `through refusals`: a 403 in the middle of a stream is an expired credential that may be renewed, so
 * it is waited out as an outage is; `fail on refusal`: at the start it is a configuration to correct.
 * @throws COMMIT_UNKNOWN when an attempt without an answer is outstanding at the end; else what the store threw.
 */
export async function putUntilKnown(
  store: ObjectStore,
  settings: CheckpointSettings,
  name: string,
  bytes: Uint8Array,
  commitId: string,
  patience: 'through refusals' | 'fail on refusal',
): Promise<KnownPut> {
  let uncertain = false;
  try {
    return await withBackoff<KnownPut>(settings, patience, async () => {
      try {
        const outcome = await store.putIfAbsent(name, bytes, commitId);
        if (outcome.status !== 'unknown') return outcome;
        uncertain = true;
        return { retryBecause: outcome.cause };
      } catch (error) {
        if (error instanceof TidemarkError && error.code === 'STORE_UNAVAILABLE') uncertain = true;
        throw error;
      }
    });
  } catch (cause) {
    if (!uncertain) throw cause;
    throw new TidemarkError(
      'COMMIT_UNKNOWN',
      `Whether "${name}" was written could not be learned within ${settings.commitTimeoutMs} ms (${store.url}). Start again when the store answers: the next start finds out.`,
      { cause, context: { object: name } },
    );
  }
}

/** A read that waits out an outage for the policy time. */
export function getUntilKnown(store: ObjectStore, settings: CheckpointSettings, name: string): Promise<GetOutcome> {
  return withBackoff(settings, 'through refusals', () => store.get(name));
}

// Bounded by time, not by a number of attempts: within it the outcome is worth any wait.
async function withBackoff<R extends { readonly status: string }>(
  settings: CheckpointSettings,
  patience: 'through refusals' | 'fail on refusal',
  attempt: () => Promise<R | { readonly retryBecause: unknown }>,
): Promise<R> {
  const { clock, random, signal } = settings;
  const deadlineMs = clock.now() + settings.commitTimeoutMs;
  for (let delayMs = delayMinMs; ; delayMs = Math.min(delayMs * 2, delayMaxMs)) {
    let cause: unknown;
    try {
      const outcome = await attempt();
      if ('status' in outcome) return outcome;
      cause = outcome.retryBecause;
    } catch (error) {
      if (!isWorthWaiting(error, patience)) throw error;
      cause = error;
    }
    const dueMs = clock.now() + Math.ceil(delayMs * (0.5 + random.next() / 2));
    if (dueMs > deadlineMs) throw cause;
    await clock.waitUntil(dueMs, signal);
  }
}

function isWorthWaiting(error: unknown, patience: 'through refusals' | 'fail on refusal'): boolean {
  if (!(error instanceof TidemarkError)) return false;
  if (error.code === 'STORE_UNAVAILABLE') return true;
  const refused = error.code === 'STORE_FORBIDDEN' || error.code === 'CREDENTIALS_INVALID';
  return refused && patience === 'through refusals';
}
