import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { behaviours as streamBehaviours } from './behaviours.ts';
import { engineBehaviours } from './behaviours-engine.ts';
import { rddBehaviours } from './behaviours-rdd.ts';
import { differences } from './differences.ts';
import { eventHubsBehaviours, eventHubsCases, eventHubsOperations } from './event-hubs.ts';
import { engineCases, engineOperations } from './operations-engine.ts';
import { rddOperations } from './operations-rdd.ts';
import { streamCases, streamOperations } from './operations-stream.ts';
import { timeOperations } from './operations-time.ts';
import { type CaseFile, type CaseFunctions, loadCaseFiles, type Row, type SparkCase } from './support/cases.ts';
import { expectData } from './support/expect-data.ts';
import { hasNamedTest } from './support/named-tests.ts';
import type { Outcome } from './support/outcome.ts';
import { runPipeline } from './support/run-pipeline.ts';

type RowCheck = (row: Row, sparkCase: SparkCase, functions: CaseFunctions) => unknown;

const behaviours = { ...streamBehaviours, ...rddBehaviours, ...engineBehaviours, ...eventHubsBehaviours };
const wholeCases = { ...streamCases, ...engineCases, ...eventHubsCases };
const rowOperations: Readonly<Record<string, RowCheck>> = {
  ...rddOperations,
  ...timeOperations,
  ...streamOperations,
  ...engineOperations,
  ...eventHubsOperations,
};
const files = loadCaseFiles();
const counts: Record<Outcome, number> = { passed: 0, differs: 0, 'not built': 0, pending: 0 };

async function runData(sparkCase: SparkCase, functions: CaseFunctions): Promise<void> {
  expectData(sparkCase, await runPipeline(sparkCase, functions));
}

/** How the case is checked; undefined: nobody knows it. */
function checkOf(sparkCase: SparkCase, functions: CaseFunctions): (() => Promise<void>) | undefined {
  const { id, operation, params, rows } = sparkCase;
  if (Object.hasOwn(behaviours, id)) return () => behaviours[id]!();
  if (params?.pipeline !== undefined) return () => runData(sparkCase, functions);
  if (operation === undefined) return undefined;
  if (Object.hasOwn(wholeCases, operation)) return () => wholeCases[operation]!(sparkCase);
  const check = rowOperations[operation];
  if (check === undefined || rows === undefined || rows.length === 0) return undefined;
  return async () => {
    for (const [i, row] of rows.entries()) {
      if (!differences[id]?.rows?.includes(i)) await check(row, sparkCase, functions);
    }
  };
}

function define({ functions }: CaseFile, sparkCase: SparkCase): void {
  const { id } = sparkCase;
  const difference = differences[id];
  const check = checkOf(sparkCase, functions);
  if (difference !== undefined && difference.kind !== 'differs') {
    counts[difference.kind] += 1;
    return;
  }
  // What differs on purpose is checked as far as there is something to check.
  if (difference !== undefined && check === undefined) {
    counts.differs += 1;
    return;
  }
  // The suite of its feature has the test.
  if (check === undefined && hasNamedTest(id)) {
    counts[difference === undefined ? 'passed' : 'differs'] += 1;
    return;
  }
  test(difference === undefined ? id : `${id} (differs: ${difference.reason})`, async () => {
    if (check === undefined) throw new Error(`The runner does not know case '${id}': nothing checks it.`);
    await check();
    counts[difference === undefined ? 'passed' : 'differs'] += 1;
  });
}

describe.each(files)('$name', (file) => {
  for (const sparkCase of file.cases) define(file, sparkCase);
});

test('every listed difference and every hand-written test belongs to a case', () => {
  const ids = new Set(files.flatMap(({ cases }) => cases.map(({ id }) => id)));
  expect(Object.keys(differences).filter((id) => !ids.has(id))).toEqual([]);
  expect(Object.keys(behaviours).filter((id) => !ids.has(id))).toEqual([]);
});

test('docs/differences-from-spark.md names every case that differs, with the reason', () => {
  const page = readFileSync(new URL('../../docs/differences-from-spark.md', import.meta.url), 'utf8');
  const [, cases = ''] = page.split('## Cases that differ');
  const listed = [...cases.matchAll(/^\| `([\w.-]+)` \| (.*) \|$/gm)].map(([, id, reason]) => `${id}: ${reason}`);
  const expected = Object.entries(differences)
    .filter(([, { kind }]) => kind === 'differs')
    .map(([id, { reason, rows }]) => `${id}: ${reason}${rows === undefined ? '' : ` (rows ${rows.join(', ')})`}`);
  expect(listed).toEqual(expected);
});

test('an operator, an operation or a behaviour that nobody knows fails', async () => {
  const unknown: SparkCase[] = [
    { id: 'x', behaviour: 'something new' },
    { id: 'x', operation: 'teleport', rows: [{ a: 1 }] },
    { id: 'x', operation: 'rdd', rows: [] },
  ];
  for (const sparkCase of unknown) expect(checkOf(sparkCase, {})).toBeUndefined();
  const params = { batchMs: 1000, runBatches: 1, pipeline: [{ op: 'teleport' }] };
  await expect(checkOf({ id: 'x', params, input: [], expected: [[]] }, {})!()).rejects.toThrow("operator 'teleport'");
  await expect(
    checkOf({ id: 'x', operation: 'rdd', params: { data: [1], partitions: 1 }, rows: [{ call: 'teleport' }] }, {})!(),
  ).rejects.toThrow('does not know');
});

afterAll(() => {
  const total = files.reduce((sum, { cases }) => sum + cases.length, 0);
  const missing = total - Object.values(counts).reduce((a, b) => a + b);
  const table = Object.entries({ ...counts, 'failed or not run': missing, total });
  console.log(
    ['conformance to Spark', ...table.map(([name, count]) => `  ${name.padEnd(18)}${String(count).padStart(5)}`)].join(
      '\n',
    ),
  );
});
