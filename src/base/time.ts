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

  minus(duration: Duration): Time {
    return new Time(this.milliseconds - duration.milliseconds);
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
