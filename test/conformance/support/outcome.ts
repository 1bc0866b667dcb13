export type Outcome = 'passed' | 'differs' | 'not built' | 'pending';

/** Why a case is not expected to hold as Spark has it. */
export interface Difference {
  /**
   * `differs`: on purpose. `not built`: belongs to a part of the product that does not exist or is not ours.
   * `pending`: being built; the line goes when the feature is there.
   */
  readonly kind: Exclude<Outcome, 'passed'>;
  /** For `not built` and `pending`: the feature. */
  readonly feature?: string;
  readonly reason: string;
  /** Rows of a table, or steps, that differ, from 0; the others are checked. Default: the whole case. */
  readonly rows?: readonly number[];
}
