import { readFileSync } from 'node:fs';
import { basename, delimiter } from 'node:path';

/** A step of a pipeline: an operator, where its rows come from, and its parameters. */
export interface Step {
  readonly op: string;
  readonly id?: string;
  readonly from?: string | readonly string[];
  readonly fn?: string;
  readonly inverseFn?: string;
  readonly filterFn?: string;
  readonly createFn?: string;
  readonly mergeFn?: string;
  readonly numPartitions?: number;
  readonly windowMs?: number;
  readonly slideMs?: number;
  readonly initialState?: readonly (readonly [unknown, unknown])[];
  readonly iteratorForm?: boolean;
  readonly emit?: string;
  /** Interval of RDD checkpoints: without meaning here, every batch makes its state durable. */
  readonly checkpointMs?: number;
}

export interface CaseParams {
  readonly batchMs?: number;
  readonly numPartitions?: number;
  readonly runBatches?: number;
  readonly restartAfterBatches?: number;
  readonly pipeline?: readonly Step[];
  readonly needsCheckpointDir?: boolean;
  readonly existing?: unknown;
  readonly start?: unknown;
  readonly limit?: unknown;
  readonly available?: unknown;
  readonly minRate?: unknown;
  readonly derivative?: unknown;
  readonly integral?: unknown;
  readonly proportional?: unknown;
  readonly data?: unknown;
  readonly initial?: unknown;
  readonly partitions?: unknown;
  readonly updateTime?: unknown;
}

type Batches = readonly (readonly unknown[] | null)[];

/** What rows of tables and steps may have; each operation knows its own. */
type RowField =
  | 'rememberMs'
  | 'initialThreshold'
  | 'batchTime'
  | 'alreadySelected'
  | 'files'
  | 'a'
  | 'aPartitions'
  | 'add'
  | 'ascending'
  | 'b'
  | 'bPartitions'
  | 'batchMs'
  | 'begin'
  | 'call'
  | 'checkpointDir'
  | 'd'
  | 'data'
  | 'defaultParallelism'
  | 'do'
  | 'elements'
  | 'exists'
  | 'expected'
  | 'expectedBag'
  | 'expectedCount'
  | 'expectedEarliest'
  | 'expectedLatest'
  | 'expectedLines'
  | 'expectedOutput'
  | 'expectedPartitions'
  | 'expectedPerPartition'
  | 'expectedRemoved'
  | 'expectedRestart'
  | 'expectedSet'
  | 'expectedSorted'
  | 'expectedStart'
  | 'expectedStates'
  | 'expectedTimingOut'
  | 'filter'
  | 'fromMs'
  | 'functionCalled'
  | 'get'
  | 'getOption'
  | 'i'
  | 'initStates'
  | 'inputs'
  | 'isEmpty'
  | 'isTimingOut'
  | 'key'
  | 'keys'
  | 'last'
  | 'lastEnqueued'
  | 'leftPartitions'
  | 'maxRate'
  | 'minRate'
  | 'n'
  | 'name'
  | 'now'
  | 'num'
  | 'numPartitions'
  | 'op'
  | 'operator'
  | 'ordering'
  | 'original'
  | 'other'
  | 'otherPartitions'
  | 'p'
  | 'parent'
  | 'partitioner'
  | 'partitions'
  | 'periodMs'
  | 'position'
  | 'processingDelayMs'
  | 'rdds'
  | 'remove'
  | 'restart'
  | 'rightPartitioner'
  | 'rightPartitions'
  | 'schedulingDelayMs'
  | 'shuffle'
  | 'slideMs'
  | 'start'
  | 'step'
  | 'stop'
  | 'throws'
  | 'time'
  | 'timeoutThreshold'
  | 'toMs'
  | 'total'
  | 'trigger'
  | 'update'
  | 'values'
  | 'windowMs'
  | 'zero';

export type Row = Readonly<Partial<Record<RowField, unknown>>>;

/** A fact of Spark's own suites, in the form the file's `conventions` describe. */
export interface SparkCase {
  readonly id: string;
  readonly operation?: string;
  readonly params?: CaseParams;
  readonly input?: Batches;
  readonly input2?: Batches;
  readonly input3?: Batches;
  readonly expected?: unknown;
  readonly compare?: 'ordered' | 'bag';
  readonly expectedStateSnapshots?: readonly (readonly unknown[])[];
  readonly expectedPartitions?: readonly number[];
  readonly expectedBeforeRestart?: readonly (readonly unknown[])[];
  readonly expectedAfterRestart?: readonly (readonly unknown[])[];
  readonly rows?: readonly Row[];
  readonly steps?: readonly Row[];
  readonly behaviour?: string;
}

/** Functions by the names the cases use. */
export type CaseFunctions = Readonly<Record<string, (...args: never[]) => unknown>>;

export interface CaseFile {
  readonly name: string;
  readonly functions: CaseFunctions;
  readonly cases: readonly SparkCase[];
}

const ownFile = new URL('../../fixtures/spark-cases/spark-suites.json', import.meta.url);

/** The committed file, and those that the environment variable SPARK_CASES names. */
export function loadCaseFiles(environment?: string): CaseFile[] {
  const { SPARK_CASES } = process.env;
  const others = (environment ?? SPARK_CASES ?? '').split(delimiter).filter((path) => path !== '');
  return [ownFile, ...others].map(readCaseFile);
}

function readCaseFile(path: URL | string): CaseFile {
  const parsed = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly format: string;
    readonly version: number;
    readonly functions: Readonly<Record<string, { readonly js: string }>>;
    readonly cases: readonly SparkCase[];
  };
  if (parsed.format !== 'spark-streaming-conformance-cases' || parsed.version !== 1) {
    throw new Error(`${path} is not of format spark-streaming-conformance-cases version 1.`);
  }
  const functions = Object.entries(parsed.functions ?? {}).map(([name, { js }]) => [name, compile(js)] as const);
  return { name: basename(String(path)), functions: Object.fromEntries(functions), cases: parsed.cases };
}

/** The cases carry their functions as expressions. */
function compile(js: string): (...args: never[]) => unknown {
  return new Function(`"use strict"; return (${js});`)() as (...args: never[]) => unknown;
}
