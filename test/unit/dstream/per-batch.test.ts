import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { inSourceOrder, type Pair, runBatches, someBatches, someRun, sorted } from './run-batches.ts';

function grouped(rows: readonly Pair[]): [string, number[]][] {
  const groups = new Map<string, number[]>();
  for (const [key, value] of rows) groups.set(key, [...(groups.get(key) ?? []), value]);
  return [...groups];
}

describe('operators within a batch', () => {
  test('equal the same on arrays, across restarts', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someRun, async (batches, run) => {
        const isOdd = ([, value]: Pair): boolean => value % 2 !== 0;
        const out = await runBatches(
          batches,
          (rows) => {
            const odd = rows.filter(isOdd);
            const doubled = rows.mapValues((value) => value * 2);
            return {
              map: rows.map(([key, value]) => `${key}${value}`),
              flatMap: rows.flatMap(([key, value]) => (value > 0 ? [key, key] : [])),
              filter: odd,
              flatMapValues: rows.flatMapValues((value) => [value, -value]),
              count: rows.count(),
              countOdd: odd.count(),
              reduce: rows.map(([, value]) => value).reduce((a, b) => a + b),
              reduceByKey: rows.reduceByKey((a, b) => Math.max(a, b)),
              groupByKey: rows.groupByKey(),
              union: rows.union(odd),
              join: rows.join(odd),
              cogroup: rows.cogroup(odd),
              transform: rows.transform((rdd, time) => rdd.map(([key]) => `${key}@${time.milliseconds}`)),
              transformWith: rows.transformWith(doubled, (left, right) => left.union(right.filter(isOdd))),
              glom: rows.glom(),
              mapPartitions: rows.mapPartitions((part) => [part.length]),
              repartition: rows.repartition(5).glom(),
            };
          },
          run,
        );
        batches.forEach((batch, i) => {
          const t = i + 1;
          const rows = inSourceOrder(batch);
          const odd = rows.filter(isOdd);
          const parts = [batch.filter((_, j) => j % 2 === 0), batch.filter((_, j) => j % 2 === 1)];
          const is = (name: string, expected: readonly unknown[]): void => {
            expect(out[name]!.get(t), `${name} at ${t}`).toEqual(expected);
          };
          const holds = (name: string, expected: readonly unknown[]): void => {
            expect(sorted(out[name]!.get(t)), `${name} at ${t}`).toEqual(sorted(expected));
          };
          is(
            'map',
            rows.map(([key, value]) => `${key}${value}`),
          );
          is(
            'flatMap',
            rows.flatMap(([key, value]) => (value > 0 ? [key, key] : [])),
          );
          is('filter', odd);
          is(
            'flatMapValues',
            rows.flatMap(([key, value]) => [
              [key, value],
              [key, -value],
            ]),
          );
          is('count', [rows.length]);
          is('countOdd', [odd.length]);
          is('reduce', rows.length === 0 ? [] : [rows.reduce((sum, [, value]) => sum + value, 0)]);
          holds(
            'reduceByKey',
            grouped(rows).map(([key, values]) => [key, Math.max(...values)]),
          );
          holds('groupByKey', grouped(rows));
          is('union', [...rows, ...odd]);
          holds(
            'join',
            rows.flatMap(([key, a]) => odd.filter(([other]) => other === key).map(([, b]) => [key, [a, b]])),
          );
          holds(
            'cogroup',
            grouped(rows).map(([key, values]) => [key, [values, values.filter((value) => value % 2 !== 0)]]),
          );
          is(
            'transform',
            rows.map(([key]) => `${key}@${t * 1000}`),
          );
          is('transformWith', rows);
          is('glom', parts);
          is(
            'mapPartitions',
            parts.map((part) => part.length),
          );
          expect(out.repartition!.get(t)).toHaveLength(5);
          expect(sorted((out.repartition!.get(t) as unknown[][]).flat())).toEqual(sorted(rows));
        });
      }),
      { numRuns: 60 },
    );
  });

  test('a transform runs its function once per batch, at generation time', async () => {
    const times: number[] = [];
    await runBatches([[], [['a', 1]], []], (rows) => {
      const shared = rows.transform((rdd, time) => {
        times.push(time.milliseconds);
        return rdd;
      });
      return { one: shared, two: shared.map(([key]) => key) };
    });
    expect(times).toEqual([1000, 2000, 3000]);
  });

  test('keys of different types stay apart, and equal composite keys meet', async () => {
    const { out } = await runBatches(
      [
        [
          ['a', 1],
          ['b', 1],
          ['c', 2],
          ['d', 1],
        ],
      ],
      (rows) => ({
        out: rows
          .flatMap(([key, value]): [unknown, string][] => [
            [[value, 'x'], key],
            [`${value}`, key],
            [value, key],
          ])
          .groupByKey()
          .mapValues((keys) => keys.toSorted().join('')),
      }),
    );
    expect(sorted(out!.get(1))).toEqual(
      sorted([
        [[1, 'x'], 'abd'],
        [[2, 'x'], 'c'],
        ['1', 'abd'],
        ['2', 'c'],
        [1, 'abd'],
        [2, 'c'],
      ]),
    );
  });

  test('streams of different slides cannot be combined', async () => {
    await runBatches([[['a', 1]]], (rows) => {
      const slow = rows.window(Seconds(4), Seconds(2));
      const refusal = /different slide durations, (1000 ms and 2000 ms|2000 ms and 1000 ms)/;
      expect(() => rows.union(slow)).toThrow(refusal);
      expect(() => slow.join(rows)).toThrow(refusal);
      expect(() => rows.cogroup(slow)).toThrow(refusal);
      expect(() => rows.transformWith(slow, (left) => left)).toThrow(refusal);
      return { slow: slow.union(slow.map((row) => row)) };
    });
  });
});
