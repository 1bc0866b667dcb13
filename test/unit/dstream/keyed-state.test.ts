import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import { type Batches, inSourceOrder, type Pair, runBatches, someBatches, someRun, sorted } from './run-batches.ts';

function valuesByKey(rows: readonly Pair[]): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const [key, value] of rows) groups.set(key, [...(groups.get(key) ?? []), value]);
  return groups;
}

describe('updateStateByKey', () => {
  interface Count {
    sum: number;
    readonly batches: number[];
  }

  /** Changes its argument in place, as programs do. Keys go when their sum is a multiple of five. */
  function update(values: readonly number[], state: Count | undefined): Count | undefined {
    const next = state ?? { sum: 0, batches: [] };
    for (const value of values) next.sum += value;
    next.batches.push(values.length);
    if (next.batches.length > 3) next.batches.shift();
    return next.sum % 5 === 0 ? undefined : next;
  }

  test('runs for every key with state or values in every batch, and emits what it keeps, across restarts', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, someRun, async (batches, run) => {
        const { out } = await runBatches(batches, (rows) => ({ out: rows.updateStateByKey(update) }), run);
        const state = new Map<string, Count>();
        batches.forEach((rows, i) => {
          const groups = valuesByKey(rows);
          for (const key of new Set([...state.keys(), ...groups.keys()])) {
            const before = state.get(key);
            const after = update(
              groups.get(key) ?? [],
              before === undefined ? undefined : { sum: before.sum, batches: [...before.batches] },
            );
            if (after === undefined) state.delete(key);
            else state.set(key, after);
          }
          expect(sorted(out!.get(i + 1)), `batch ${i + 1}`).toEqual(sorted([...state]));
        });
      }),
      { numRuns: 100 },
    );
  });

  test('gives the values of a key in the order of the source, partition by partition', async () => {
    const batches: Batches = [
      [
        ['a', 1],
        ['a', 2],
        ['a', 3],
        ['b', 9],
        ['a', 4],
      ],
    ];
    const { out } = await runBatches(batches, (rows) => ({
      out: rows.updateStateByKey((values, _: number[] | undefined) => [...values]),
    }));
    expect(sorted(out!.get(1))).toEqual([
      ['a', [1, 3, 4, 2]],
      ['b', [9]],
    ]);
  });

  test('what is done to emitted rows, keys and states does not reach the state', async () => {
    const batches: Batches = Array.from({ length: 8 }, () => [['a', 1] as const]);
    const { out } = await runBatches(
      batches,
      (rows) => ({
        out: rows
          .map(([key, value]) => [{ device: key }, value])
          .updateStateByKey((values, state: { n: number } | undefined) => ({ n: (state?.n ?? 0) + values.length }))
          .map(([key, state]) => {
            const text = `${key.device} ${state.n}`;
            key.device = 'spoilt';
            state.n = 1000;
            return text;
          }),
      }),
      { crashes: [{ point: 'batch:end', occurrence: 3 }], manifestEveryRecords: 2 },
    );
    expect([...out!.values()].flat()).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((n) => `a ${n}`));
  });
});

describe('mapWithState', () => {
  const idle = 3;

  /** One line per call; the rules stand in one function, for the stream and for the oracle. */
  function track(key: string, value: number | undefined, state: State<{ n: number }>): string | undefined {
    if (value === undefined) return `${key} timed out at ${state.get().n} ${state.isTimingOut()}`;
    const n = (state.getOption()?.n ?? 0) + value;
    if (n > 12) state.remove();
    else if (value !== 0) state.update({ n });
    return value < -7 ? undefined : `${key} ${state.exists() ? state.get().n : 'none'} ${state.isTimingOut()}`;
  }

  function oracle(batches: Batches, timeout: boolean): Map<number, string[]> {
    const result = new Map<number, string[]>();
    const states = new Map<string, { n: number; at: number }>();
    batches.forEach((rows, i) => {
      const t = i + 1;
      const lines: string[] = [];
      for (const [key, value] of inSourceOrder(rows)) {
        const n = (states.get(key)?.n ?? 0) + value;
        if (n > 12) states.delete(key);
        else if (value !== 0) states.set(key, { n, at: t });
        // Any data is a touch.
        const state = states.get(key);
        if (state !== undefined) state.at = t;
        if (value >= -7) lines.push(`${key} ${state?.n ?? 'none'} false`);
      }
      for (const [key, { n, at }] of states) {
        if (!timeout || at >= t - idle) continue;
        lines.push(`${key} timed out at ${n} true`);
        states.delete(key);
      }
      result.set(t, lines);
    });
    return result;
  }

  test('calls once per record, seeing what the record before did, and once per key that times out, across restarts', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, fc.boolean(), someRun, async (batches, timeout, run) => {
        const spec = StateSpec.function(track);
        const { out } = await runBatches(
          batches,
          (rows) => ({ out: rows.mapWithState(timeout ? spec.timeout(Seconds(idle)) : spec) }),
          run,
        );
        for (const [t, lines] of oracle(batches, timeout)) {
          expect(sorted(out!.get(t)), `at ${t}`).toEqual(sorted(lines));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('a key expires in the first batch that is more than the timeout after its last data, not at the timeout', async () => {
    const batches: Batches = [[['a', 1]], [], [], [['a', 0]], [], [], [], [], [], []];
    const { out } = await runBatches(batches, (rows) => ({
      out: rows.mapWithState(StateSpec.function(track).timeout(Seconds(idle))),
    }));
    // Data without update refreshes at 4 s: 4 + 3 is not past yet at 7 s.
    expect([...out!].filter(([, rows]) => rows.length > 0)).toEqual([
      [1, ['a 1 false']],
      [4, ['a 1 false']],
      [8, ['a timed out at 1 true']],
    ]);
  });

  test('refuses an update after a remove, a second remove, both while timing out, and get() without a state', async () => {
    const refusals: string[] = [];
    const refused = (call: () => unknown): void => {
      try {
        call();
        refusals.push('not refused');
      } catch (error) {
        refusals.push(`${(error as { code?: string }).code}: ${(error as Error).message}`);
      }
    };
    const probe = (_key: string, value: number | undefined, state: State<number>): void => {
      if (value === undefined) {
        refused(() => state.update(1));
        refused(() => state.remove());
        return;
      }
      if (value === 1) {
        refused(() => state.get());
        state.update(5);
        refused(() => state.update(undefined as never));
        state.remove();
        refused(() => state.update(6));
        refused(() => state.remove());
        return;
      }
      state.update(7);
    };
    await runBatches([[['k', 1]], [['k', 2]], [], [], []], (rows) => ({
      out: rows.mapWithState(StateSpec.function(probe).timeout(Seconds(1))),
    }));
    expect(refusals).toEqual([
      expect.stringMatching(/^OPTION_INVALID: State.get\(\) of key k .* no state; use getOption\(\)/),
      expect.stringMatching(/^OPTION_INVALID: State.update\(\) of key k .* use remove\(\)/),
      expect.stringMatching(/^OPTION_INVALID: State.update\(\) of key k .* removed/),
      expect.stringMatching(/^OPTION_INVALID: State.remove\(\) of key k .* removed already/),
      expect.stringMatching(/^OPTION_INVALID: State.update\(\) of key k .* timing out/),
      expect.stringMatching(/^OPTION_INVALID: State.remove\(\) of key k .* timing out/),
    ]);
  });

  test('a removed key can be set again by a later record of the same batch', async () => {
    const batches: Batches = [
      [
        ['a', 12],
        ['z', 0],
        ['a', 1],
        ['z', 0],
        ['a', 5],
      ],
      [['a', 1]],
    ];
    const { out } = await runBatches(batches, (rows) => ({ out: rows.mapWithState(StateSpec.function(track)) }));
    expect(sorted(out!.get(1))).toEqual(['a 12 false', 'a 5 false', 'a none false', 'z none false', 'z none false']);
    expect(out!.get(2)).toEqual(['a 6 false']);
  });
});

describe('state over windows over state', () => {
  test('gives the same with restarts as without, and advances each state once a batch for two outputs', async () => {
    let calls = 0;
    const define = (rows: Parameters<Parameters<typeof runBatches>[1]>[0]) => {
      const totals = rows.updateStateByKey((values, sum: number | undefined) => {
        calls += 1;
        return values.reduce((a, b) => a + b, sum ?? 0);
      });
      const recent = totals.window(Seconds(4), Seconds(2));
      const peaks = recent.mapWithState(
        StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
          if (value === undefined) return `${key} gone`;
          state.update(Math.max(state.getOption() ?? Number.NEGATIVE_INFINITY, value));
          return `${key} ${state.get()}`;
        }).timeout(Seconds(4)),
      );
      const rates = peaks
        .map((line) => [line.slice(0, 1), 1])
        .reduceByKeyAndWindow(
          (a, b) => a + b,
          (a, b) => a - b,
          Seconds(6),
          Seconds(4),
          { filter: ([, n]) => n > 0 },
        );
      return { totals, peaks, again: peaks.map((line) => line.length), rates };
    };
    await fc.assert(
      fc.asyncProperty(someBatches, someRun, async (batches, run) => {
        calls = 0;
        const uninterrupted = await runBatches(batches, define);
        const keysSeen = batches.map(
          (_, i) =>
            new Set(
              batches
                .slice(0, i + 1)
                .flat()
                .map(([key]) => key),
            ).size,
        );
        expect(calls).toBe(keysSeen.reduce((a, b) => a + b, 0));
        expect(await runBatches(batches, define, run)).toEqual(uninterrupted);
        for (const [name, slide] of [
          ['totals', 1],
          ['peaks', 2],
          ['again', 2],
          ['rates', 4],
        ] as const) {
          const times = batches.map((_, i) => i + 1).filter((t) => t % slide === 0);
          expect([...uninterrupted[name]!.keys()], name).toEqual(times);
        }
        for (const [t, rows] of uninterrupted.peaks!) {
          expect(uninterrupted.again!.get(t)).toEqual(rows.map((row) => (row as string).length));
        }
      }),
      { numRuns: 60 },
    );
  });
});
