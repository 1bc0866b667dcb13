import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import { ListenerQueue } from './listener-queue.ts';
import type { EventInfo, StreamingEvent, StreamingListener } from './streaming-listener.ts';

export interface ListenerBusOptions {
  /** Events that may wait for one listener. */
  readonly queueLengthMax: number;
  /** Calls a listener; the engine marks the call as its own. */
  readonly enter: (call: () => unknown) => unknown;
  readonly warn: (text: string) => void;
  /** For the bound of `close`: real time, whatever the clock of the batches says. */
  readonly clock: Clock;
}

/** How long the end of a stream waits for listeners that are still at work. */
const closeWaitMs = 2000;

/**
 * Hands events to the listeners.
 *
 * Every listener has a queue of its own and gets its events one after another, in the order they were posted, never
 * within `post`. So a listener that is slow, throws, rejects or never returns keeps up nobody but itself: when its queue is
 * full, events are dropped and counted, with a warning. After `close` nothing is delivered any more.
 * Source: Spark's listener bus; there all listeners share a queue.
 */
export class ListenerBus {
  readonly #options: ListenerBusOptions;
  readonly #queues = new Map<StreamingListener, ListenerQueue>();
  #added = 0;
  #isClosed = false;

  constructor(options: ListenerBusOptions) {
    this.#options = options;
  }

  add(listener: StreamingListener): void {
    if (this.#isClosed || this.#queues.has(listener)) return;
    this.#added += 1;
    const name = nameOf(listener) ?? `number ${this.#added}`;
    this.#queues.set(listener, new ListenerQueue(listener, name, this.#options));
  }

  /** What waits for it is not delivered any more. */
  remove(listener: StreamingListener): void {
    this.#queues.get(listener)?.discard();
    this.#queues.delete(listener);
  }

  post<E extends StreamingEvent>(event: E, info: EventInfo<E>): void {
    if (this.#isClosed) return;
    for (const queue of this.#queues.values()) queue.put(event, info);
  }

  /** Takes no more events and delivers those that wait, as far as the listeners let it within two seconds. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const queues = [...this.#queues.values()];
    this.#queues.clear();
    const { clock } = this.#options;
    const giveUp = new AbortController();
    const late = clock.waitUntil(clock.now() + closeWaitMs, giveUp.signal).catch(toError);
    await Promise.race([Promise.all(queues.map((queue) => queue.idle())), late]);
    giveUp.abort();
    for (const queue of queues) queue.discard();
  }
}

function nameOf(listener: StreamingListener): string | undefined {
  const name: unknown = listener.constructor?.name;
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `'${name}'` : undefined;
}
