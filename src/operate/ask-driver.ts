import { SystemClock } from '../base/clock.ts';
import { TidemarkError } from '../base/errors.ts';
import { SystemRandom } from '../base/random.ts';
import type { StreamStatus } from '../checkpoint/records.ts';
import { deleteRequest, isWaiting, putRequest, type RequestContent } from '../checkpoint/requests.ts';
import { readFloor } from '../checkpoint/root-objects.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { statusOf } from './hold-stream.ts';
import type { OperatorOptions } from './operator-options.ts';

export interface AskOptions extends OperatorOptions {
  /** How long to wait for a running driver. Default 2 minutes: drivers look every 30 s. */
  readonly timeoutMs?: number | undefined;
  /** `accepted`: the driver has taken the request up. */
  readonly onWait?: ((wait: WaitProgress) => void) | undefined;
}

export interface WaitProgress {
  readonly step: 'asked' | 'accepted';
  readonly waitedMs: number;
  readonly timeoutMs: number;
}

/** Between two looks at the request, one HEAD each. */
const lookMs = 1_000;
/** Between two readings of the log while the request is there: some twenty GETs each. */
const readMs = 10_000;

/**
 * Asks the running driver through the store, and waits for the answer in the log. The request is withdrawn when the time
 * is over; what the driver did until then counts, and what it does because it has read the request before. A request that
 * is left behind by a tool that died is dropped by the first driver that finds it after that time.
 *
 * @param answerIn what the log says when it is done; undefined: not yet.
 * @throws REQUEST_UNANSWERED, FENCED when another driver took over meanwhile and drops what was meant for the old one
 */
export async function askDriver<R>(
  store: ObjectStore,
  content: RequestContent,
  { clock = new SystemClock(), random = new SystemRandom(), timeoutMs = 120_000, onWait = () => {} }: AskOptions,
  answerIn: (status: StreamStatus, requestId: string) => R | undefined,
): Promise<R> {
  const id = random.id();
  const { serverTimeMs } = await readFloor(store);
  const startedMs = clock.now();
  await putRequest(store, { id, content, untilMs: serverTimeMs + timeoutMs });
  let isOpen = true;
  let readAtMs = startedMs + readMs;
  try {
    for (;;) {
      // In this order: a request that is gone was done with before, so the answer is in what is read after it.
      isOpen &&= await isWaiting(store, id);
      const waitedMs = clock.now() - startedMs;
      const isOver = waitedMs >= timeoutMs;
      // A request that is still there is rarely answered: by a driver that died before it removed it.
      if (!isOpen || isOver || clock.now() >= readAtMs) {
        const answer = answerIn(await statusOf(store), id);
        if (answer !== undefined) return answer;
        if (!isOpen && content.kind !== 'drain') throw refused(store, content);
        readAtMs = clock.now() + readMs;
      }
      onWait({ step: isOpen ? 'asked' : 'accepted', waitedMs, timeoutMs });
      if (isOver) throw unanswered(store, content, isOpen, timeoutMs);
      const pauseMs = isOpen ? lookMs : Math.max(lookMs, waitedMs / 10);
      await clock.waitUntil(Math.min(clock.now() + pauseMs, startedMs + timeoutMs));
    }
  } finally {
    await deleteRequest(store, id);
  }
}

function refused(store: ObjectStore, { kind }: RequestContent): TidemarkError {
  return new TidemarkError(
    'REQUEST_UNANSWERED',
    `The driver of ${store.url} refused the request for a ${kind}: it warned why, in its own log.`,
  );
}

function unanswered(store: ObjectStore, { kind }: RequestContent, isOpen: boolean, timeoutMs: number): TidemarkError {
  const seconds = Math.round(timeoutMs / 1000);
  const what = isOpen
    ? `No driver of ${store.url} took up the request for a ${kind} within ${seconds} s; it was withdrawn. If no program runs, ` +
      (kind === 'drain'
        ? 'there is nothing to drain: the next start, or a tool with --take-over, goes on after its last batch. '
        : 'do it without one: --take-over. ') +
      'If one runs, its requestPollMs and batch interval say how long it may take, ' +
      'and if it had read the request by then, it may still do it.'
    : `The driver of ${store.url} has begun to stop and has not ended within ${seconds} s. It goes on by itself.`;
  return new TidemarkError('REQUEST_UNANSWERED', what);
}
