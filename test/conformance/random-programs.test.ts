import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runBatches, someBatches, someRun, sorted } from '../unit/dstream/run-batches.ts';
import { applyAll, modelAll, type OperatorName, operators, type Step, someStep } from './support/program.ts';

// RANDOM_PROGRAMS=2000 runs more of them, RANDOM_PROGRAMS_SEED another sequence.
const { RANDOM_PROGRAMS, RANDOM_PROGRAMS_SEED } = process.env;
const settings = {
  numRuns: Number(RANDOM_PROGRAMS ?? 150),
  seed: Number(RANDOM_PROGRAMS_SEED ?? 20_260),
  // Bounds the time, not the verdict: what was run must hold.
  interruptAfterTimeLimit: RANDOM_PROGRAMS === undefined ? 20_000 : 3_600_000,
};

const someProgram = fc.array(someStep, { minLength: 1, maxLength: 5 });

function bySecond(seen: ReadonlyMap<number, readonly unknown[]>): [number, unknown[] | undefined][] {
  return [...seen].map(([second, rows]) => [second, sorted(rows)]);
}

async function expectAsArrays(
  batches: Parameters<typeof modelAll>[0],
  programs: readonly (readonly Step[])[],
  run: Parameters<typeof runBatches>[2],
): Promise<void> {
  const seen = await runBatches(
    batches,
    (rows) => Object.fromEntries(programs.map((steps, i) => [`out${i}`, applyAll(rows, steps)])),
    run,
  );
  programs.forEach((steps, i) => {
    expect(bySecond(seen[`out${i}`]!)).toEqual(bySecond(modelAll(batches, steps).at));
  });
}

describe('random programs over random batches equal plain arrays', () => {
  test('without a crash', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someProgram, async (batches, steps) => {
        await expectAsArrays(batches, [steps], {});
      }),
      settings,
    );
  }, 60_000);

  test('killed at random points and gone on with, two programs side by side', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, fc.tuple(someProgram, someProgram), someRun, (batches, programs, run) =>
        expectAsArrays(batches, programs, run),
      ),
      settings,
    );
  }, 60_000);

  // Every operator by itself, so that none is left to chance.
  test.each(Object.keys(operators) as OperatorName[])('%s alone, with crashes', async (op) => {
    await fc.assert(
      fc.asyncProperty(someBatches, someStep, someRun, (batches, step, run) =>
        expectAsArrays(batches, [[{ ...step, op }]], run),
      ),
      { ...settings, numRuns: 15, interruptAfterTimeLimit: 5000 },
    );
  });
});
