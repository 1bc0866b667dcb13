import { TidemarkError } from '../base/errors.ts';

/**
 * A value for all tasks. Tasks run in this process, so it travels by reference: nothing may change it. No checkpoint holds
 * it: build it in the program, or lazily in a batch. Source: Spark's Broadcast.
 */
export class Broadcast<T> {
  readonly id: number;
  #value: { readonly value: T } | undefined;

  constructor(id: number, value: T) {
    this.id = id;
    this.#value = { value };
  }

  /** @throws STATUS_INVALID after destroy() */
  get value(): T {
    return this.#require('used').value;
  }

  /** Frees copies in other processes; there are none. The value stays usable. @throws STATUS_INVALID after destroy() */
  unpersist(): void {
    this.#require('unpersisted');
  }

  /** Lets the value go. @throws STATUS_INVALID the second time */
  destroy(): void {
    this.#require('destroyed');
    this.#value = undefined;
  }

  #require(what: string): { readonly value: T } {
    if (this.#value !== undefined) return this.#value;
    throw new TidemarkError(
      'STATUS_INVALID',
      `Broadcast ${this.id} was ${what} after it was destroyed; make a new one with context.broadcast(value).`,
    );
  }
}
