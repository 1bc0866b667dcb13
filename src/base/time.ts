import { TidemarkError } from './errors.ts';

/**
 * A length of time in whole milliseconds. Source: Spark's `Duration`.
 * Build one with {@link Milliseconds}, {@link Seconds} or {@link Minutes}.
 */
export class Duration {
  readonly milliseconds: number;

  constructor(milliseconds: number) {
    if (!Number.isSafeInteger(milliseconds)) {
      throw new TidemarkError('OPTION_INVALID', `A duration is a whole number of milliseconds, not ${milliseconds}.`);
    }
    this.milliseconds = milliseconds;
  }

  plus(other: Duration): Duration {
    return new Duration(this.milliseconds + other.milliseconds);
  }

  minus(other: Duration): Duration {
    return new Duration(this.milliseconds - other.milliseconds);
  }

  times(factor: number): Duration {
    return new Duration(this.milliseconds * factor);
  }

  /** A real quotient, as in Spark. */
  div(other: Duration): number {
    return this.milliseconds / other.milliseconds;
  }

  isMultipleOf(other: Duration): boolean {
    return this.milliseconds % other.milliseconds === 0;
  }

  isZero(): boolean {
    return this.milliseconds === 0;
  }

  less(other: Duration): boolean {
    return this.milliseconds < other.milliseconds;
  }

  greater(other: Duration): boolean {
    return this.milliseconds > other.milliseconds;
  }

  min(other: Duration): Duration {
    return other.less(this) ? other : this;
  }

  max(other: Duration): Duration {
    return other.greater(this) ? other : this;
  }

  toString(): string {
    return `${this.milliseconds} ms`;
  }
}

export function Milliseconds(milliseconds: number): Duration {
  return new Duration(milliseconds);
}

export function Seconds(seconds: number): Duration {
  return new Duration(seconds * 1000);
}

export function Minutes(minutes: number): Duration {
  return new Duration(minutes * 60_000);
}

/** A batch time: milliseconds since the Unix epoch. Source: Spark's `Time`. */
export class Time {
  readonly milliseconds: number;

  constructor(milliseconds: number) {
    this.milliseconds = milliseconds;
  }

  plus(duration: Duration): Time {
    return new Time(this.milliseconds + duration.milliseconds);
  }

  /** An earlier time, or how long ago the other time was. */
  minus(duration: Duration): Time;
  minus(time: Time): Duration;
  minus(other: Duration | Time): Time | Duration {
    const milliseconds = this.milliseconds - other.milliseconds;
    return other instanceof Time ? new Duration(milliseconds) : new Time(milliseconds);
  }

  less(other: Time): boolean {
    return this.milliseconds < other.milliseconds;
  }

  lessEq(other: Time): boolean {
    return this.milliseconds <= other.milliseconds;
  }

  greater(other: Time): boolean {
    return this.milliseconds > other.milliseconds;
  }

  greaterEq(other: Time): boolean {
    return this.milliseconds >= other.milliseconds;
  }

  min(other: Time): Time {
    return other.less(this) ? other : this;
  }

  max(other: Time): Time {
    return other.greater(this) ? other : this;
  }

  /** This time and every step after it that is before `end`. */
  until(end: Time, step: Duration): Time[] {
    return this.#steps(step, (milliseconds) => milliseconds < end.milliseconds);
  }

  /** This time and every step after it up to and with `end`. */
  to(end: Time, step: Duration): Time[] {
    return this.#steps(step, (milliseconds) => milliseconds <= end.milliseconds);
  }

  #steps(step: Duration, isIn: (milliseconds: number) => boolean): Time[] {
    if (step.milliseconds <= 0) {
      throw new TidemarkError('OPTION_INVALID', `A step from time to time must be positive, not ${step}.`);
    }
    const times: Time[] = [];
    for (let at = this.milliseconds; isIn(at); at += step.milliseconds) times.push(new Time(at));
    return times;
  }

  /** The latest multiple of `duration` after `zero` (default the epoch) that is not after this time. */
  floor(duration: Duration, zero = new Time(0)): Time {
    const step = duration.milliseconds;
    return new Time(Math.floor((this.milliseconds - zero.milliseconds) / step) * step + zero.milliseconds);
  }

  isMultipleOf(duration: Duration): boolean {
    return this.milliseconds % duration.milliseconds === 0;
  }

  toString(): string {
    return `${this.milliseconds} ms`;
  }
}
