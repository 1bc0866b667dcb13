import type { ResultRow } from './result.ts';

/** What a file `bench/<name>.bench.ts` exports as `bench`. It runs in a process of its own. */
export interface Bench {
  /** One line above the tables. */
  readonly title: string;
  /** What is measured and what is not, in a sentence or two, printed below the title: a number without it misleads. */
  readonly measures: string;
  /** Runs only when it is named: of interest while one works on that part, not one of the figures we are held to. */
  readonly isByHand?: boolean;
  readonly run: (circumstances: BenchCircumstances) => Promise<BenchOutcome>;
}

export interface BenchCircumstances {
  /** How often both sides run, in turn: as often as the command line says, otherwise as the benchmark does by itself. */
  readonly rounds: (byDefault: number) => number;
  /** A line that says how far it is; for steps of some seconds, not for rounds of milliseconds. */
  readonly progress: (line: string) => void;
  /** What there is so far: counts when the rest fails or takes too long. */
  readonly keep: (soFar: BenchOutcome) => void;
}

export interface BenchOutcome {
  /** All there is to see. */
  readonly tables: readonly BenchTable[];
  /** What it comes to: these go into the closing table, the JSON file and BENCHMARKS.md. */
  readonly rows: readonly ResultRow[];
  /** Why it counts as failed although it has figures: the exit code tells. */
  readonly failure?: string;
}

export interface BenchTable {
  readonly title: string;
  /** The columns are the fields of the first row; units belong into their names. */
  readonly rows: readonly Readonly<Record<string, string | number>>[];
}
