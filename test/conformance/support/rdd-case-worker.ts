import { flushCompileCache } from 'node:module';
import { threadId } from 'node:worker_threads';
import { Milliseconds, type RDD, StreamingContext, type StreamingContextOptions } from '../../../src/index.ts';
import { rddBehaviours } from '../behaviours-rdd.ts';
import { differences } from '../differences.ts';
import { rddOperations } from '../operations-rdd.ts';
import { CaseSource } from './case-source.ts';
import { loadCaseFiles } from './cases.ts';
import { computeWith } from './check.ts';

/** One row of a table, or a behaviour, checked in a thread. */
export interface Checked {
  readonly id: string;
  readonly row: number | undefined;
  readonly failure: string | undefined;
}

/** What a thread has found: all of them check the same. */
export interface CheckedByThread {
  readonly thread: number;
  readonly checks: readonly Checked[];
}

interface Check {
  readonly id: string;
  readonly row: number | undefined;
  readonly run: () => unknown;
}

/** Of all case files, in their order. */
export function rddChecks(): Check[] {
  return loadCaseFiles().flatMap(({ cases, functions }) =>
    cases.flatMap((sparkCase): Check[] => {
      const { id, operation = '', rows = [] } = sparkCase;
      const difference = differences[id];
      const behaviour = rddBehaviours[id];
      if (behaviour !== undefined) return [{ id, row: undefined, run: behaviour }];
      const check = rddOperations[operation];
      if (check === undefined || (difference?.kind ?? 'differs') !== 'differs') return [];
      return rows.flatMap((row, i) =>
        difference?.rows?.includes(i) ? [] : [{ id, row: i, run: () => check(row, sparkCase, functions) }],
      );
    }),
  );
}

/** One after the other: jobs must come in the same order in all threads. */
async function runChecks(): Promise<CheckedByThread> {
  const checks: Checked[] = [];
  for (const { id, row, run } of rddChecks()) {
    let failure: string | undefined;
    try {
      await run();
    } catch (error) {
      failure = String(error);
    }
    checks.push({ id, row, failure });
  }
  return { thread: threadId, checks };
}

/** RDDs of the cases are made, and their actions called, in a function of `transform`: every thread of the program does so. */
export function createRddCases(
  found: (of: readonly CheckedByThread[]) => void,
  options: Partial<StreamingContextOptions>,
): StreamingContext {
  const ssc = new StreamingContext({
    appName: 'rdd cases',
    batchInterval: Milliseconds(1000),
    startReport: false,
    ...options,
  });
  ssc
    .sourceStream(new CaseSource([['first', 'second']], 2), { uid: 'in' })
    .transform((rdd: RDD<string>) => {
      computeWith(rdd.context.runner);
      const checked = runChecks();
      return rdd.map(() => checked);
    })
    .mapAsync((checked) => checked)
    .foreachRDD(async (rdd) => found(await rdd.collect()));
  return ssc;
}

/** For a worker thread. */
export function create(): StreamingContext {
  flushCompileCache();
  return createRddCases(() => {}, {});
}
