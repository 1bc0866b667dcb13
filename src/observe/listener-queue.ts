import { toError } from '../base/errors.ts';
import type { ListenerBusOptions } from './listener-bus.ts';
import type { EventInfo, StreamingEvent, StreamingListener } from './streaming-listener.ts';

interface Waiting {
  readonly event: StreamingEvent;
  readonly info: unknown;
}

/** The events of one listener: delivered one at a time, the next when the last has been dealt with. */
export class ListenerQueue {
  readonly #listener: StreamingListener;
  readonly #name: string;
  readonly #options: Omit<ListenerBusOptions, 'clock'>;
  #waiting: Waiting[] = [];
  #isDelivering = false;
  #dropped = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(listener: StreamingListener, name: string, options: Omit<ListenerBusOptions, 'clock'>) {
    this.#listener = listener;
    this.#name = name;
    this.#options = options;
  }

  put<E extends StreamingEvent>(event: E, info: EventInfo<E>): void {
    if (this.#listener[event] === undefined) return;
    const { queueLengthMax, warn } = this.#options;
    if (this.#waiting.length >= queueLengthMax) {
      this.#dropped += 1;
      if (this.#dropped > 1) return;
      warn(
        `Streaming listener ${this.#name} is too slow: ${queueLengthMax} events wait for it, further ones are dropped.`,
      );
      return;
    }
    this.#waiting.push({ event, info });
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    queueMicrotask(() => void this.#deliver());
  }

  /** Resolves when nothing waits. */
  idle(): Promise<void> {
    if (!this.#isDelivering) return Promise.resolve();
    this.#idle ??= Promise.withResolvers<void>();
    return this.#idle.promise;
  }

  /** Delivers nothing any more, and tells what got lost. */
  discard(): void {
    const lost = this.#dropped + this.#waiting.length;
    this.#waiting = [];
    if (lost > 0) this.#options.warn(`Streaming listener ${this.#name} has missed ${lost} events: it was too slow.`);
    this.#dropped = 0;
  }

  async #deliver(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { event, info } = next;
      try {
        const result = this.#options.enter(() => call(this.#listener, event, info));
        if (result instanceof Promise) await result;
      } catch (error) {
        this.#options.warn(`Streaming listener ${this.#name} failed in ${event}: ${toError(error).message}`);
      }
    }
    this.#isDelivering = false;
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}

/** As a method: a listener may be an instance of a class. */
function call(listener: StreamingListener, event: StreamingEvent, info: unknown): unknown {
  return (listener as Record<StreamingEvent, ((info: unknown) => unknown) | undefined>)[event]?.(info);
}
