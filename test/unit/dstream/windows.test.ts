import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { type Batches, inSourceOrder, type Pair, runBatches, someBatches, someRun, sorted } from './run-batches.ts';

const add = (a: number, b: number): number => a + b;
const subtract = (a: number, b: number): number => a - b;

interface Window {
  readonly length: number;
  readonly slide: number;
}

// Slides that divide the length, that don't, and that leave gaps.
const someWindow: fc.Arbitrary<Window> = fc.record({
  length: fc.integer({ min: 1, max: 7 }),
  slide: fc.integer({ min: 1, max: 9 }),
});

function windowRows(batches: Batches, { length }: Window, end: number): Pair[] {
  return batches.slice(Math.max(0, end - length), end).flatMap(inSourceOrder);
}

function slides(batches: Batches, { slide }: Window): number[] {
  return batches.map((_, i) => i + 1).filter((t) => t % slide === 0);
}

function sums(rows: readonly Pair[]): [string, number][] {
  const result = new Map<string, number>();
  for (const [key, value] of rows) result.set(key, (result.get(key) ?? 0) + value);
  return [...result];
}

/** What the incremental window must emit, by slide: a key stays until the filter refuses it. */
function incremental(
  batches: Batches,
  window: Window,
  filter: (row: readonly [string, number]) => boolean = () => true,
): Map<number, [string, number][]> {
  const emitted = new Map<number, [string, number][]>();
  let present = new Set<string>();
  for (const t of slides(batches, window)) {
    const inWindow = new Map(sums(windowRows(batches, window, t)));
    const rows: [string, number][] = [];
    for (const key of new Set([...present, ...inWindow.keys()])) {
      const row: [string, number] = [key, inWindow.get(key) ?? 0];
      if (filter(row)) rows.push(row);
    }
    present = new Set(rows.map(([key]) => key));
    emitted.set(t, rows);
  }
  return emitted;
}

describe('reduceByKeyAndWindow', () => {
  test('equals the sums of the batches of each window, across restarts', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const { out } = await runBatches(
          batches,
          (rows) => ({ out: rows.reduceByKeyAndWindow(add, Seconds(window.length), Seconds(window.slide)) }),
          run,
        );
        expect([...out!.keys()]).toEqual(slides(batches, window));
        for (const t of slides(batches, window)) {
          expect(sorted(out!.get(t)), `at ${t}`).toEqual(sorted(sums(windowRows(batches, window, t))));
        }
      }),
      { numRuns: 80 },
    );
  });

  test('with an inverse equals them too, and keys that left stay with a neutral value', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const { out } = await runBatches(
          batches,
          (rows) => ({ out: rows.reduceByKeyAndWindow(add, subtract, Seconds(window.length), Seconds(window.slide)) }),
          run,
        );
        expect([...out!.keys()]).toEqual(slides(batches, window));
        for (const [t, rows] of incremental(batches, window)) {
          expect(sorted(out!.get(t)), `at ${t}`).toEqual(sorted(rows));
        }
      }),
      { numRuns: 80 },
    );
  });

  test('with a filter lets keys go and finds them again, also those that are still in the window', async () => {
    const filters = [
      ([, value]: readonly [string, number]) => value !== 0,
      ([, value]: readonly [string, number]) => value >= 3,
      ([key]: readonly [string, number]) => key !== 'a',
    ];
    await fc.assert(
      fc.asyncProperty(
        someBatches,
        someWindow,
        fc.constantFrom(...filters),
        someRun,
        async (batches, window, filter, run) => {
          const { out } = await runBatches(
            batches,
            (rows) => ({
              out: rows.reduceByKeyAndWindow(add, subtract, Seconds(window.length), Seconds(window.slide), { filter }),
            }),
            run,
          );
          for (const [t, rows] of incremental(batches, window, filter)) {
            expect(sorted(out!.get(t)), `at ${t}`).toEqual(sorted(rows));
          }
        },
      ),
      { numRuns: 80 },
    );
  });

  test('stores the emitted value: sums of fractions after a restart equal those without one', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const define = (rows: Parameters<Parameters<typeof runBatches>[1]>[0]) => ({
          incremental: rows
            .mapValues((value) => value / 7)
            .reduceByKeyAndWindow(add, subtract, Seconds(window.length), Seconds(window.slide)),
          folded: rows
            .mapValues((value) => value / 7)
            .reduceByKeyAndWindow(add, Seconds(window.length), Seconds(window.slide)),
        });
        // Equal to the last digit, in the same order.
        expect(await runBatches(batches, define, run)).toEqual(await runBatches(batches, define));
      }),
      { numRuns: 60 },
    );
  });

  test('functions that change their first argument in place do no harm', async () => {
    type Sum = { total: number };
    const addTo = (a: Sum, b: Sum): Sum => {
      a.total += b.total;
      return a;
    };
    const takeFrom = (a: Sum, b: Sum): Sum => {
      a.total -= b.total;
      return a;
    };
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const { folded, inverse } = await runBatches(
          batches,
          (rows) => {
            const values = rows.mapValues((total): Sum => ({ total }));
            const spoil = (value: Sum): number => {
              const { total } = value;
              value.total = 1e6;
              return total;
            };
            return {
              folded: values
                .reduceByKeyAndWindow(addTo, Seconds(window.length), Seconds(window.slide))
                .mapValues(spoil),
              inverse: values
                .reduceByKeyAndWindow(addTo, takeFrom, Seconds(window.length), Seconds(window.slide))
                .mapValues(spoil),
            };
          },
          run,
        );
        for (const [t, rows] of incremental(batches, window)) {
          expect(sorted(inverse!.get(t)), `inverse at ${t}`).toEqual(sorted(rows));
          expect(sorted(folded!.get(t)), `folded at ${t}`).toEqual(sorted(sums(windowRows(batches, window, t))));
        }
      }),
      { numRuns: 60 },
    );
  });

  test('what is done to the keys of emitted rows does not reach the window or its state', async () => {
    const batches: Batches = Array.from({ length: 9 }, (_, i) => [['a', i] as const, ['b', 1] as const]);
    const { folded, inverse } = await runBatches(
      batches,
      (rows) => {
        const keyed = rows.map(([key]) => [{ device: key }, 1]);
        const spoil = ([key, n]: readonly [{ device: string }, number]): string => {
          const text = `${key.device}${n}`;
          key.device = 'spoilt';
          return text;
        };
        return {
          folded: keyed.reduceByKeyAndWindow(add, Seconds(3)).map(spoil),
          inverse: keyed.reduceByKeyAndWindow(add, subtract, Seconds(3)).map(spoil),
        };
      },
      { crashes: [{ point: 'batch:end', occurrence: 4 }], manifestEveryRecords: 2 },
    );
    for (const [i] of batches.entries()) {
      const n = Math.min(i + 1, 3);
      expect(sorted(folded!.get(i + 1)), `folded at ${i + 1}`).toEqual([`a${n}`, `b${n}`]);
      expect(sorted(inverse!.get(i + 1)), `inverse at ${i + 1}`).toEqual([`a${n}`, `b${n}`]);
    }
  });
});

describe('window', () => {
  test('holds the rows of its batches in order, across restarts', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someWindow, someRun, async (batches, window, run) => {
        const { out } = await runBatches(
          batches,
          (rows) => ({ out: rows.window(Seconds(window.length), Seconds(window.slide)) }),
          run,
        );
        expect([...out!.keys()]).toEqual(slides(batches, window));
        for (const t of slides(batches, window)) {
          expect(out!.get(t), `at ${t}`).toEqual(windowRows(batches, window, t));
        }
      }),
      { numRuns: 80 },
    );
  });

  test('slides with its parent when no slide is given, and one over another is a window of windows', async () => {
    const batches: Batches = Array.from({ length: 12 }, (_, i) => [['a', i + 1] as const]);
    const { twos, sixes } = await runBatches(batches, (rows) => {
      const twos = rows.window(Seconds(2), Seconds(2));
      return { twos, sixes: twos.map(([, value]) => value).window(Seconds(6)) };
    });
    expect([...twos!.keys()]).toEqual([2, 4, 6, 8, 10, 12]);
    expect([...sixes!]).toEqual([
      [2, [1, 2]],
      [4, [1, 2, 3, 4]],
      [6, [1, 2, 3, 4, 5, 6]],
      [8, [3, 4, 5, 6, 7, 8]],
      [10, [5, 6, 7, 8, 9, 10]],
      [12, [7, 8, 9, 10, 11, 12]],
    ]);
  });

  test('a row that a program changes in place comes unchanged in the next window', async () => {
    const batches: Batches = Array.from({ length: 6 }, (_, i) => [['a', i] as const]);
    const { out } = await runBatches(
      batches,
      (rows) => ({
        out: rows
          .map(([, n]) => ({ n, seen: 0 }))
          .window(Seconds(3))
          .map((row) => {
            row.seen += 1;
            return row.seen;
          }),
      }),
      { crashes: [{ point: 'batch:end', occurrence: 4 }] },
    );
    expect([...out!.values()].flat()).toEqual(Array.from({ length: 1 + 2 + 3 * 4 }, () => 1));
  });
});
