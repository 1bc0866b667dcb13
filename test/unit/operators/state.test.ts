import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import type { Partitioner } from '../../../src/rdd/partitioner.ts';
import { type Batches, type Pair, runBatches, someBatches, someRun, sorted } from '../dstream/run-batches.ts';

const runs = { numRuns: 40 };
const initialState = [
  ['a', 100],
  ['z', 7],
] as const;

const byFirstLetter: Partitioner = {
  numPartitions: 5,
  partition: (key) => (key as string).charCodeAt(0) % 5,
  equals: (other) => other === byFirstLetter,
};

/** The state after every batch, where a batch without values adds nothing and a sum that is a multiple of 7 leaves. */
function sums(batches: Batches, begin: readonly (readonly [string, number])[]): Map<number, [string, number][]> {
  let states = new Map<string, number>(begin);
  const seen = new Map<number, [string, number][]>();
  batches.forEach((rows, i) => {
    const next = new Map<string, number>();
    for (const key of new Set([...states.keys(), ...rows.map(([name]) => name)])) {
      const sum = rows.filter(([name]) => name === key).reduce((total, [, v]) => total + v, states.get(key) ?? 0);
      if (sum % 7 !== 0 || sum === 0) next.set(key, sum);
    }
    states = next;
    seen.set(i + 1, [...states]);
  });
  return seen;
}

function update(values: readonly number[], state: number | undefined): number | undefined {
  const sum = values.reduce((a, b) => a + b, state ?? 0);
  return sum % 7 !== 0 || sum === 0 ? sum : undefined;
}

function sortedBySecond(seen: Map<number, unknown[]> | undefined): [number, unknown[] | undefined][] {
  return [...seen!].map(([second, rows]) => [second, sorted(rows)]);
}

describe('updateStateByKey', () => {
  test('begins with the initial state once, by key and by partition alike, whatever crashes', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someRun, async (batches, run) => {
        const { byKey, byPartition } = await runBatches(
          batches,
          (rows) => ({
            byKey: rows.updateStateByKey(update, { initialState }),
            byPartition: rows.updateStateByKey<string, number, number>(
              function* (all) {
                for (const [key, values, state] of all) {
                  const next = update(values, state);
                  if (next !== undefined) yield [key, next];
                }
              },
              { initialState, perPartition: true, partitioner: byFirstLetter },
            ),
          }),
          run,
        );
        const expected = sortedBySecond(sums(batches, initialState));
        expect(sortedBySecond(byKey)).toEqual(expected);
        expect(sortedBySecond(byPartition)).toEqual(expected);
      }),
      runs,
    );
  });

  test('gives the function the key and the batch time', async () => {
    const { out } = await runBatches([[['a', 1]], [['b', 2]]], (rows) => ({
      out: rows.updateStateByKey<string, number, string>(
        (values, state, key, time) => `${state ?? ''}${key}${values.length}@${time.milliseconds} `,
      ),
    }));
    expect(sortedBySecond(out)).toEqual([
      [1, [['a', 'a1@1000 ']]],
      [
        2,
        [
          ['a', 'a1@1000 a0@2000 '],
          ['b', 'b1@2000 '],
        ],
      ],
    ]);
  });

  test.each([
    ['a key twice', 'a', 'is returned twice'],
    ['a key of another partition', 'b', 'belongs to another partition'],
  ])('refuses a partition function that returns %s', async (_what, other, problem) => {
    const run = runBatches([[['a', 1]]], (rows) => ({
      out: rows.updateStateByKey<string, number, number>(
        (all) =>
          [...all].flatMap(([key]): [string, number][] => [
            [key, 1],
            [other, 2],
          ]),
        { perPartition: true, partitioner: byFirstLetter },
      ),
    }));
    await expect(run).rejects.toMatchObject({ code: 'OPTION_INVALID', message: expect.stringContaining(problem) });
  });
});

describe('initial state', () => {
  test('is put in once only, also when every key is gone again', async () => {
    const { out } = await runBatches(
      [[], [], []],
      (rows) => ({
        out: rows.updateStateByKey<string, number, number>((_values, state) => (state === 100 ? 99 : undefined), {
          initialState: [['a', 100]],
        }),
      }),
      { crashes: [{ point: 'batch:end', occurrence: 2 }] },
    );
    expect([...out!.values()]).toEqual([[['a', 99]], [], []]);
  });

  test('leaves alone what an older program has stored under the uid', async () => {
    let lives = 0;
    const { out } = await runBatches(
      [[['b', 1]], [['b', 1]]],
      (rows) => {
        lives += 1;
        return { out: rows.updateStateByKey(update, lives === 1 ? {} : { initialState: [['a', 100]] }) };
      },
      { crashes: [{ point: 'batch:end', occurrence: 1 }] },
    );
    expect(lives).toBe(2);
    expect(out!.get(2)).toEqual([['b', 2]]);
  });
});

describe('mapWithState', () => {
  const spec = StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
    if (state.isTimingOut()) return `${key} left`;
    state.update((state.getOption() ?? 0) + (value ?? 0));
    return undefined;
  });

  test('snapshots hold every key with its state, beginning with the initial one, whatever crashes', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someRun, async (batches, run) => {
        const { states } = await runBatches(
          batches,
          (rows) => ({
            states: rows.mapWithState(spec.initialState(initialState).partitioner(byFirstLetter)).stateSnapshots(),
          }),
          run,
        );
        const expected = new Map<string, number>(initialState);
        const bySecond = new Map<number, unknown[]>();
        batches.forEach((rows, i) => {
          for (const [key, value] of rows) expected.set(key, (expected.get(key) ?? 0) + value);
          bySecond.set(i + 1, [...expected]);
        });
        expect(sortedBySecond(states)).toEqual(sortedBySecond(bySecond));
      }),
      runs,
    );
  });

  test('initial state is as old as the first batch: it times out later, and is not called before', async () => {
    const batches: Pair[][] = [[], [['a', 1]], [], []];
    const { out, states } = await runBatches(batches, (rows) => {
      const mapped = rows.mapWithState(spec.initialState(initialState).timeout(Seconds(2)));
      return { out: mapped, states: mapped.stateSnapshots() };
    });
    expect([...out!.values()]).toEqual([[], [], [], ['z left']]);
    expect(states!.get(4)).toEqual([['a', 101]]);
  });

  test('of numPartitions and partitioner the last one counts', () => {
    expect(spec.numPartitions(9).partitioner(byFirstLetter).fields).toMatchObject({
      partitioner: byFirstLetter,
      numPartitions: undefined,
    });
    expect(spec.partitioner(byFirstLetter).numPartitions(9).fields).toMatchObject({
      partitioner: undefined,
      numPartitions: 9,
    });
  });

  test('state finds its keys again in another number of partitions', async () => {
    let lives = 0;
    const { out } = await runBatches(
      [
        [
          ['a', 1],
          ['b', 2],
        ],
        [['a', 3]],
        [['c', 4]],
      ],
      (rows) => {
        lives += 1;
        return { out: rows.mapWithState(spec.numPartitions(lives * 2)).stateSnapshots() };
      },
      { crashes: [{ point: 'batch:end', occurrence: 2 }] },
    );
    expect(lives).toBe(2);
    expect(sorted(out!.get(3))).toEqual([
      ['a', 4],
      ['b', 2],
      ['c', 4],
    ]);
  });
});

test.each([
  ['no array', new Map([['a', 1]]), 'of type object'],
  ['a row that is no pair', [['a', 1], ['b']], 'row 1 is none'],
  ['no state', [['a', undefined]], 'row 0 is undefined'],
])('refuses an initial state with %s', async (_what, rows, problem) => {
  const wrong = rows as unknown as readonly (readonly [string, number])[];
  const message = expect.stringContaining(problem);
  const define = (stream: 'update' | 'map'): Promise<unknown> =>
    runBatches([[]], (pairs) => ({
      out:
        stream === 'update'
          ? pairs.updateStateByKey(update, { initialState: wrong })
          : pairs.mapWithState(
              StateSpec.function((_key: string, _value: number | undefined, _state: State<number>) => 1).initialState(
                wrong,
              ),
            ),
    }));
  await expect(define('update')).rejects.toMatchObject({ code: 'OPTION_INVALID', message });
  await expect(define('map')).rejects.toMatchObject({ code: 'OPTION_INVALID', message });
});
