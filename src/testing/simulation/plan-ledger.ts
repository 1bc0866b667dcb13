import type { Verdict } from './verdict.ts';

/** Ranges of one batch, as the simulated source gave them to a driver. Positions and plans in the checkpoint are its mark. */
export interface LedgerPlan {
  readonly id: number;
  /** The one whose end is its beginning; undefined: the starting position. */
  readonly previous: number | undefined;
  /** By partition. A partition that came later is missing: it begins at 0. */
  readonly from: readonly number[];
  readonly to: readonly number[];
  readonly batchTimeMs: number;
}

interface Entry extends LedgerPlan {
  isRecorded: boolean;
  isCommitted: boolean;
}

/** Every plan that any driver ever made, and what the log says of it. */
export class PlanLedger {
  readonly #verdict: Verdict;
  readonly #plans: Entry[] = [];

  constructor(verdict: Verdict) {
    this.#verdict = verdict;
  }

  /** For a fork: it goes on from plans of its origin. */
  begin(origin: PlanLedger): void {
    this.#plans.push(...origin.#plans.map((plan) => ({ ...plan })));
  }

  add(plan: Omit<LedgerPlan, 'id'>): number {
    const id = this.#plans.length;
    this.#plans.push({ ...plan, id, isRecorded: false, isCommitted: false });
    return id;
  }

  at(id: number): LedgerPlan {
    return this.#entry(id);
  }

  recorded(id: number): void {
    this.#entry(id).isRecorded = true;
  }

  committed(id: number): void {
    this.#entry(id).isCommitted = true;
  }

  isRecorded(id: number): boolean {
    return this.#entry(id).isRecorded;
  }

  isCommitted(id: number): boolean {
    return this.#entry(id).isCommitted;
  }

  /** From the one after `first` to `last`, in order; undefined: they are not of one chain. */
  chain(first: number | undefined, last: number): LedgerPlan[] | undefined {
    const plans: LedgerPlan[] = [];
    for (let id: number | undefined = last; id !== first; id = plans.at(-1)!.previous) {
      if (id === undefined) return undefined;
      plans.push(this.#entry(id));
    }
    return plans.reverse();
  }

  #entry(id: number): Entry {
    return this.#plans[id] ?? this.#verdict.fail(`Plan ${id} was never made.`);
  }
}
