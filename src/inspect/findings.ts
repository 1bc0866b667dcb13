import { TidemarkError } from '../base/errors.ts';

/** One thing that is wrong. */
export interface Finding {
  readonly object: string;
  readonly problem: string;
}

/** Takes in what is found wrong, each thing once, and goes on. */
export class Findings {
  readonly #found = new Map<string, Finding>();

  get list(): readonly Finding[] {
    return [...this.#found.values()];
  }

  add(object: string, problem: string): void {
    this.#found.set(`${object} ${problem}`, { object, problem });
  }

  /**
   * Runs a check that throws at the first damage. Undefined: it found some, which is noted under the object the error
   * names, else under `object`. Failures of the store are no findings and are thrown on.
   */
  async catch<R>(object: string, check: () => R | Promise<R>): Promise<R | undefined> {
    try {
      return await check();
    } catch (error) {
      if (!(error instanceof TidemarkError) || (error.kind !== 'corrupt' && error.kind !== 'incompatible')) throw error;
      const { object: named, problem } = error.context;
      this.add(typeof named === 'string' ? named : object, typeof problem === 'string' ? problem : error.message);
      return undefined;
    }
  }
}
