import { TidemarkError } from '../base/errors.ts';

/**
 * The one context of a process that may run.
 *
 * A context claims the place when its start begins and leaves it when it has ended; it is the active one from the
 * moment its start has succeeded. Source: Spark's "only one StreamingContext may be started in this JVM".
 */
export class ActiveContext<C extends { readonly appName: string }> {
  #holder: C | undefined;
  #isStarted = false;

  /** Undefined also while a start is at work. */
  get current(): C | undefined {
    return this.#isStarted ? this.#holder : undefined;
  }

  /** @throws STATUS_INVALID */
  claim(context: C): void {
    const holder = this.#holder;
    if (holder === context) return;
    if (holder !== undefined) {
      throw new TidemarkError(
        'STATUS_INVALID',
        `'${context.appName}' cannot start: only one StreamingContext may run in a process, and '${holder.appName}' is ` +
          `${this.#isStarted ? 'active' : 'starting'}. Stop it first, or get it with StreamingContext.getActive().`,
        { context: { active: holder.appName } },
      );
    }
    this.#holder = context;
  }

  started(context: C): void {
    if (this.#holder === context) this.#isStarted = true;
  }

  release(context: C): void {
    if (this.#holder !== context) return;
    this.#holder = undefined;
    this.#isStarted = false;
  }
}
