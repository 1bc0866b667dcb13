import { TidemarkError } from '../base/errors.ts';
import { currentAttempt, type UpdateReceiver } from './task.ts';

/** How values are added up. `add` and `merge` may change and return their first argument. */
export interface AccumulatorSpec<V, A, Out> {
  readonly zero: () => A;
  readonly add: (sum: A, value: V) => A;
  readonly merge: (a: A, b: A) => A;
  /** What `value` gives. */
  readonly read: (sum: A) => Out;
}

/**
 * Adds up values from inside of tasks: a side count, read after the action. Source: Spark's AccumulatorV2.
 *
 * Every task counts exactly once: what a try adds is kept aside, counts when the try succeeds and is dropped when it
 * fails. That holds for actions. A function given to a transformation runs again for every action that computes its
 * rows, and adds again. Sums live in this process: no checkpoint holds them, a restart begins at zero.
 */
export class Accumulator<V, A, Out> implements UpdateReceiver {
  readonly name: string | undefined;
  readonly #spec: AccumulatorSpec<V, A, Out>;
  #sum: A;

  constructor(spec: AccumulatorSpec<V, A, Out>, name?: string | undefined) {
    this.name = name;
    this.#spec = spec;
    this.#sum = spec.zero();
  }

  /** @throws STATUS_INVALID when the task has ended: a promise it did not wait for. */
  add(value: V): void {
    const attempt = currentAttempt();
    if (attempt === undefined) {
      this.#sum = this.#spec.add(this.#sum, value);
      return;
    }
    if (attempt.hasEnded) {
      throw new TidemarkError(
        'STATUS_INVALID',
        `The accumulator ${this.name ?? ''} was added to after its task had ended; wait for every promise in the task.`,
      );
    }
    const { updates } = attempt;
    const own = updates.has(this) ? (updates.get(this) as A) : this.#spec.zero();
    updates.set(this, this.#spec.add(own, value));
  }

  /** What the tasks that have succeeded so far added, and what was added outside of tasks. */
  get value(): Out {
    return this.#spec.read(this.#sum);
  }

  /** Back to the beginning. */
  reset(): void {
    this.#sum = this.#spec.zero();
  }

  /** For worker threads: what collects the updates. */
  get receiver(): UpdateReceiver {
    return this;
  }

  /** For `runAttempt`: takes over what a try has added. */
  merge(update: A): void {
    const attempt = currentAttempt();
    if (attempt === undefined) {
      this.#sum = this.#spec.merge(this.#sum, update);
      return;
    }
    const { updates } = attempt;
    updates.set(this, updates.has(this) ? this.#spec.merge(updates.get(this) as A, update) : update);
  }
}

/** A sum and how many values are in it. */
interface Tally {
  sum: number;
  count: number;
}

abstract class NumberAccumulator {
  readonly #tally: Accumulator<number, Tally, Tally>;

  constructor(name: string | undefined) {
    const add = (tally: Tally, value: number): Tally => {
      tally.sum += value;
      tally.count++;
      return tally;
    };
    const merge = (a: Tally, b: Tally): Tally => {
      a.sum += b.sum;
      a.count += b.count;
      return a;
    };
    this.#tally = new Accumulator({ zero: () => ({ sum: 0, count: 0 }), add, merge, read: (tally) => tally }, name);
  }

  /** @throws OPTION_INVALID for what the accumulator does not count */
  add(value: number): void {
    this.check(value);
    this.#tally.add(value);
  }

  protected abstract check(value: number): void;

  get name(): string | undefined {
    return this.#tally.name;
  }

  get value(): number {
    return this.sum;
  }

  get sum(): number {
    return this.#tally.value.sum;
  }

  get count(): number {
    return this.#tally.value.count;
  }

  /** NaN while nothing was added. */
  get avg(): number {
    return this.sum / this.count;
  }

  get isZero(): boolean {
    return this.sum === 0 && this.count === 0;
  }

  /** For worker threads. */
  get receiver(): UpdateReceiver {
    return this.#tally.receiver;
  }

  reset(): void {
    this.#tally.reset();
  }
}

/** Adds up whole numbers; exact up to 2^53. */
export class LongAccumulator extends NumberAccumulator {
  protected override check(value: number): void {
    if (!Number.isSafeInteger(value)) throw notCounted(this.name, 'whole numbers up to 2^53', value);
  }
}

/** Adds up numbers. */
export class DoubleAccumulator extends NumberAccumulator {
  protected override check(value: number): void {
    if (typeof value !== 'number') throw notCounted(this.name, 'numbers', value);
  }
}

function notCounted(name: string | undefined, what: string, value: unknown): TidemarkError {
  return new TidemarkError('OPTION_INVALID', `The accumulator ${name ?? ''} adds up ${what}, not ${String(value)}.`);
}

/** Gathers values in an array, in no order that is promised. It grows with what is added: for few values. */
export class CollectionAccumulator<V> {
  readonly #values: Accumulator<V, V[], readonly V[]>;

  constructor(name?: string | undefined) {
    const add = (values: V[], value: V): V[] => {
      values.push(value);
      return values;
    };
    const merge = (a: V[], b: V[]): V[] => {
      for (const value of b) a.push(value);
      return a;
    };
    this.#values = new Accumulator({ zero: () => [], add, merge, read: (values) => values.slice() }, name);
  }

  add(value: V): void {
    this.#values.add(value);
  }

  get name(): string | undefined {
    return this.#values.name;
  }

  get value(): readonly V[] {
    return this.#values.value;
  }

  get isZero(): boolean {
    return this.value.length === 0;
  }

  /** For worker threads. */
  get receiver(): UpdateReceiver {
    return this.#values.receiver;
  }

  reset(): void {
    this.#values.reset();
  }
}
