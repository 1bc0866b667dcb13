import { threadId } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { StreamingContext } from '../../src/index.ts';
import { ManualClock, MemoryStore, SeededRandom } from '../../src/testing.ts';
import { shareCompiledCode } from '../support/compile-cache.ts';
import { DrivenStream } from '../support/driven-stream.ts';
import { behaviours } from './behaviours.ts';
import { engineBehaviours } from './behaviours-engine.ts';
import { rddBehaviours } from './behaviours-rdd.ts';
import { differences } from './differences.ts';
import { rddOperations } from './operations-rdd.ts';
import { streamCases } from './operations-stream.ts';
import { caseModule } from './support/case-worker.ts';
import { loadCaseFiles, type SparkCase } from './support/cases.ts';
import { computeWith } from './support/check.ts';
import { expectData } from './support/expect-data.ts';
import { type CheckedByThread, createRddCases, rddChecks } from './support/rdd-case-worker.ts';
import { type NamedCase, runPipeline, runTogether } from './support/run-pipeline.ts';
import { onWorkerThreads } from './support/threads-of-case.ts';

shareCompiledCode();

/** Cases that no worker thread can have a part in, by what their id or operation begins with. */
const onTheDriver: Readonly<Record<string, string>> = {
  behaviour: 'has a test of its own where its feature is tested',
  partitioner: 'a function of its arguments',
  'window.validation': 'refused while the graph is built',
  mapWithState: 'its function tells the test what it was given, in variables',
  State: 'the same',
  pid: "back-pressure is the driver's",
  rateLimiter: 'a class of receivers',
  timerAlignment: "the batch clock is the driver's",
  reschedule: "the batch clock is the driver's",
  time: 'a value',
  duration: 'a value',
  fileStream: 'files are chosen by the driver',
  fileName: 'names that the driver gives',
  checkpoint: "the checkpoint is the driver's",
  checkpointInterval: "the checkpoint is the driver's",
  rddCheckpoint: "the checkpoint is the driver's",
  rememberDuration: "remembered batches are the driver's",
  validateAtStart: 'refused before worker threads are started',
  blockTracker: "receivers are the driver's",
  batchedWal: "receivers are the driver's",
  walFactory: "receivers are the driver's",
  receiverScheduling: "receivers are the driver's",
  eventHubs: 'plans of the source, which the driver makes',
  progressListener: "listeners are the driver's",
  ui: 'there is none yet',
  print: 'printed by the driver',
};

/** Checks written by hand that begin or end before there are threads, or look at what only one of them sees. */
const checkedOnTheDriver: Readonly<Record<string, string>> = {
  'basic.slice-has-not-been-initialized': 'ends before a start',
  'pid.with-some-accumulated-and-some-positive-error-i-0-stay-below-the': 'a class',
  'rddckpt.rdd-checkpoint-without-directory': 'RDD.checkpoint has no effect in worker threads',
  'timer.basic': "the batch clock is the driver's",
  'ratectl.ratecontroller-rate-controller-publishes-updates-after-batches-c': "back-pressure is the driver's",
  'inputinfo.report-and-get-input-info': 'what the driver knows of its inputs',
  'listener.batch-info-reporting': "listeners are the driver's",
  'listener.onbatchcompleted-with-failed-batch-and-multiple-failed-jobs':
    'the same check as derived-from-spark-code.failed-output-operation-single-output',
  'ssc.start-multiple-times': 'the second start is one of the driver alone',
  'ssc.awaittermination-after-stop': 'waits on the driver',
  'ssc.awaitterminationortimeout': 'waits on the driver',
  'ssc.getactiveorcreate-with-checkpoint': 'looks for the active context of the driver',
};

const handWritten: Readonly<Record<string, () => Promise<void>>> = { ...behaviours, ...engineBehaviours };

const cases = loadCaseFiles().flatMap((file) =>
  file.cases.map((sparkCase): NamedCase => ({ sparkCase, functions: file.functions })),
);
const isPipeline = ({ params }: SparkCase): boolean => params?.pipeline !== undefined;
const isOfRdds = ({ id, operation = '' }: SparkCase): boolean => id in rddBehaviours || operation in rddOperations;
const isHandWritten = ({ id, operation = '' }: SparkCase): boolean => id in handWritten || operation === 'slice';
const isBuilt = ({ id }: SparkCase): boolean => (differences[id]?.kind ?? 'differs') === 'differs';
const pipelines = cases.filter(({ sparkCase }) => isPipeline(sparkCase) && isBuilt(sparkCase));
const restarting = pipelines.filter(({ sparkCase }) => sparkCase.params!.restartAfterBatches !== undefined);
const byInterval = Map.groupBy(
  pipelines.filter((named) => !restarting.includes(named)),
  ({ sparkCase }) => sparkCase.params!.batchMs!,
);

async function rddCases(found: (of: readonly CheckedByThread[]) => void): Promise<{
  readonly ssc: StreamingContext;
  readonly driven: DrivenStream;
}> {
  const clock = new ManualClock(0);
  const environment = { clock, random: new SeededRandom(0) };
  const module = new URL('./support/rdd-case-worker.ts', import.meta.url);
  const ssc = await StreamingContext.getOrCreate(new MemoryStore({ clock }), () =>
    createRddCases(found, { environment, master: 'local[2]', module: module.href }),
  );
  return { ssc, driven: new DrivenStream(ssc, clock, 1000) };
}

function kindOf({ operation }: SparkCase): string | undefined {
  const name = operation ?? 'behaviour';
  return Object.keys(onTheDriver).find(
    (kind) => name === kind || name.startsWith(`${kind}.`) || (kind === 'State' && name.startsWith('StateMap')),
  );
}

describe('cases of Spark with the graph on two worker threads', () => {
  test.each([...byInterval])(
    'with batches of %i ms, side by side in one context',
    async (_interval, together) => {
      const seen = await runTogether(together, { master: 'local[2]', module: caseModule(together) });
      together.forEach(({ sparkCase }, i) => {
        try {
          expectData(sparkCase, [seen[i]!]);
        } catch (error) {
          throw new Error(`${sparkCase.id} gives something else on workers: ${(error as Error).message}`, {
            cause: error,
          });
        }
      });
    },
    60_000,
  );

  test.each(restarting.map((named) => [named.sparkCase.id, named] as const))(
    '%s',
    async (_id, named) => {
      const threads = { master: 'local[2]', module: caseModule([named]) };
      expectData(named.sparkCase, await runPipeline(named.sparkCase, named.functions, threads));
    },
    60_000,
  );

  test('RDDs made in a function of transform, with the actions called there', async () => {
    const found: CheckedByThread[] = [];
    const { ssc, driven } = await rddCases((of) => found.push(...of));
    await ssc.start();
    await driven.runTo(1000);
    await driven.stop();
    computeWith(undefined);
    // Every partition of the stream says what its own thread has found; the driver's is none of them.
    expect(new Set(found.map(({ thread }) => thread)).size).toBe(2);
    for (const { thread, checks } of found) {
      expect(thread).not.toBe(threadId);
      expect(checks.map(({ id, row }) => [id, row])).toEqual(rddChecks().map(({ id, row }) => [id, row]));
      expect(checks.filter(({ failure }) => failure !== undefined)).toEqual([]);
    }
    expect(rddChecks().length).toBeGreaterThan(130);
  }, 60_000);

  test.each(
    cases.flatMap(({ sparkCase }) =>
      isHandWritten(sparkCase) && !(sparkCase.id in checkedOnTheDriver) ? [sparkCase] : [],
    ),
  )(
    '$id',
    async (sparkCase) => {
      const { id, operation = '' } = sparkCase;
      await onWorkerThreads(id, handWritten[id] ?? (() => streamCases[operation]!(sparkCase)));
    },
    60_000,
  );

  test('every other case says why worker threads have no part in it', () => {
    const others = cases.filter(
      ({ sparkCase }) => !isPipeline(sparkCase) && !isOfRdds(sparkCase) && !isHandWritten(sparkCase),
    );
    expect(
      others.filter(({ sparkCase }) => kindOf(sparkCase) === undefined).map(({ sparkCase }) => sparkCase.id),
    ).toEqual([]);
    const used = new Set(others.map(({ sparkCase }) => kindOf(sparkCase)));
    expect(Object.keys(onTheDriver).filter((kind) => !used.has(kind))).toEqual([]);
    const checked = new Set(
      cases
        .map(({ sparkCase }) => sparkCase)
        .filter(isHandWritten)
        .map(({ id }) => id),
    );
    expect(Object.keys(checkedOnTheDriver).filter((id) => !checked.has(id))).toEqual([]);
    expect(pipelines.length).toBeGreaterThan(40);
  });
});
