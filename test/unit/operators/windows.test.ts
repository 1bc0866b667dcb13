import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { type Batches, inSourceOrder, runBatches, someBatches, someRun, sorted } from '../dstream/run-batches.ts';

const add = (a: number, b: number): number => a + b;
const subtract = (a: number, b: number): number => a - b;
const someWindow = fc.record({ length: fc.integer({ min: 1, max: 6 }), slide: fc.integer({ min: 1, max: 7 }) });
const runs = { numRuns: 40 };

type Window = typeof someWindow extends fc.Arbitrary<infer W> ? W : never;

/** Rows of every window, by the second it ends. */
function windows(batches: Batches, { length, slide }: Window): Map<number, (readonly [string, number])[]> {
  const ends = batches.map((_, i) => i + 1).filter((t) => t % slide === 0);
  return new Map(ends.map((t) => [t, batches.slice(Math.max(0, t - length), t).flatMap(inSourceOrder)]));
}

function grouped(rows: readonly (readonly [string, number])[]): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const [key, value] of rows) groups.set(key, [...(groups.get(key) ?? []), value]);
  return groups;
}

function bySecond<T, U>(seen: Map<number, T>, f: (value: T, second: number) => U): Map<number, U> {
  return new Map([...seen].map(([second, value]) => [second, f(value, second)]));
}

describe('windows, with crashes at random points', () => {
  test('groupByKeyAndWindow gives every value of the window, batch after batch', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const { out } = await runBatches(
          batches,
          (rows) => ({ out: rows.groupByKeyAndWindow(Seconds(window.length), Seconds(window.slide)) }),
          run,
        );
        const expected = bySecond(windows(batches, window), (rows) => sorted([...grouped(rows)]));
        expect(bySecond(out!, sorted)).toEqual(expected);
      }),
      runs,
    );
  });

  test('reduceByWindow reduces the rows of the window; an empty window has none', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const { out } = await runBatches(
          batches,
          (rows) => ({
            out: rows
              .map(([key, value]) => `${key}${value} `)
              .reduceByWindow((a, b) => a + b, Seconds(window.length), Seconds(window.slide)),
          }),
          run,
        );
        const expected = bySecond(windows(batches, window), (rows) =>
          rows.length === 0 ? [] : [rows.map(([key, value]) => `${key}${value} `).join('')],
        );
        expect(out).toEqual(expected);
      }),
      runs,
    );
  });

  test('incremental counts and sums: nothing before the first row ever, then always a row', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const { count, sum, values } = await runBatches(
          batches,
          (rows) => ({
            count: rows.countByWindow(Seconds(window.length), Seconds(window.slide)),
            sum: rows
              .map(([, value]) => value)
              .reduceByWindow(add, subtract, Seconds(window.length), Seconds(window.slide)),
            values: rows.map(([key]) => key).countByValueAndWindow(Seconds(window.length), Seconds(window.slide)),
          }),
          run,
        );
        // A row that comes and goes between two windows, in a gap, is never seen.
        let isSeen = false;
        const seen = bySecond(windows(batches, window), (rows) => (isSeen ||= rows.length > 0));
        const expected = windows(batches, window);
        expect(count).toEqual(bySecond(expected, (rows, t) => (seen.get(t) ? [rows.length] : [])));
        expect(sum).toEqual(
          bySecond(expected, (rows, t) => (seen.get(t) ? [rows.reduce((total, [, value]) => total + value, 0)] : [])),
        );
        expect(bySecond(values!, sorted)).toEqual(
          bySecond(expected, (rows) => sorted([...grouped(rows)].map(([key, list]) => [key, list.length]))),
        );
      }),
      runs,
    );
  });

  test('a window without inverse equals its run without crash, to the last digit of fractions', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const define: Parameters<typeof runBatches>[1] = (rows) => ({
          out: rows
            .mapValues((value) => value / 3)
            .reduceByKeyAndWindow(add, Seconds(window.length), Seconds(window.slide)),
        });
        expect(await runBatches(batches, define, run)).toEqual(await runBatches(batches, define));
      }),
      runs,
    );
  });
});
