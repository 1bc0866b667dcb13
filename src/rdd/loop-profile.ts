import type { RddOrigin } from './loop-watch.ts';

/** Where a function of the program is called: an RDD, or what takes the rows of a stage. */
export interface Place {
  readonly name: string;
  readonly origin: RddOrigin | undefined;
}

/**
 * What every operator of one task has taken since the current piece of its row loop began, without what the operators
 * behind it have.
 */
export class LoopProfile {
  readonly #now: () => number;
  /** Calls that may still be timed. */
  #callsLeft: number;
  readonly #operators: { readonly place: Place; ownMs: number }[] = [];
  /** Of the operators behind the one that is being timed. */
  #innerMs = 0;

  constructor(now: () => number, callsMax: number) {
    this.#now = now;
    this.#callsLeft = callsMax;
  }

  /** A piece begins. */
  begin(): void {
    for (const operator of this.#operators) operator.ownMs = 0;
    this.#innerMs = 0;
  }

  /** Never around an own copy of a stage: what it has learned of its call sites would be lost for good. */
  around<T>(place: Place, push: (row: T) => void): (row: T) => void {
    const operator = { place, ownMs: 0 };
    this.#operators.push(operator);
    return (row) => {
      if (this.#callsLeft <= 0) return push(row);
      this.#callsLeft--;
      const outerInnerMs = this.#innerMs;
      this.#innerMs = 0;
      const startMs = this.#now();
      try {
        push(row);
      } finally {
        const tookMs = this.#now() - startMs;
        operator.ownMs += tookMs - this.#innerMs;
        this.#innerMs = outerInnerMs + tookMs;
      }
    };
  }

  /**
   * The one that took most of the piece; several when it was none of those that are timed. Undefined: the bound was met
   * on the way.
   */
  slowest(candidates: readonly Place[], pieceMs: number): readonly Place[] | undefined {
    if (this.#callsLeft <= 0) return undefined;
    let restMs = pieceMs;
    let slowest = this.#operators[0];
    for (const operator of this.#operators) {
      restMs -= operator.ownMs;
      if (slowest === undefined || operator.ownMs > slowest.ownMs) slowest = operator;
    }
    if (slowest !== undefined && slowest.ownMs >= restMs) return [slowest.place];
    const timed = new Set(this.#operators.map(({ place }) => place));
    const others = candidates.filter((place) => !timed.has(place));
    return others.length === 0 ? undefined : others;
  }
}
