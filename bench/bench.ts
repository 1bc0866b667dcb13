/** What a file `bench/<name>.bench.ts` exports as `bench`. It runs in a process of its own. */
export interface Bench {
  /** One line above the tables. */
  readonly title: string;
  /** What is measured and what is not, in a sentence or two, printed below the title: a number without it misleads. */
  readonly measures: string;
  readonly run: () => Promise<readonly BenchTable[]>;
}

export interface BenchTable {
  readonly title: string;
  /** The columns are the fields of the first row; units belong into their names. */
  readonly rows: readonly Readonly<Record<string, string | number>>[];
}
