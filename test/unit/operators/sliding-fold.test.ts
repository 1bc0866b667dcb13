import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keyIdentity } from '../../../src/base/canonical-key.ts';
import { finish } from '../../../src/base/turns.ts';
import { SlidingFold } from '../../../src/dstream/sliding-fold.ts';
import type { StatePartition } from '../../../src/state/state-partition.ts';
import { StateTable } from '../../../src/state/state-table.ts';

type Panes = readonly (readonly (readonly [string, number])[])[];

const somePanes: fc.Arbitrary<Panes> = fc.array(
  fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.double({ min: -1, max: 1, noNaN: true })), {
    selector: ([key]) => key,
    maxLength: 5,
  }),
  { minLength: 1, maxLength: 30 },
);

/** Pane i + 1 holds `panes[i]`, committed. */
function stateOf<V>(panes: readonly (readonly (readonly [string, V])[])[], upTo: number): StatePartition {
  const state = new StateTable({ uid: 'op', numPartitions: 1 }).partition(0);
  panes.slice(0, upTo).forEach((rows, i) => {
    state.begin();
    for (const [key, value] of rows) state.put(i + 1, keyIdentity(key), key, value);
    state.commit();
  });
  return state;
}

function dropBefore(state: StatePartition, first: number, _batchId: number): void {
  state.begin();
  for (const pane of state.panes()) if (pane < first) state.dropPane(pane);
  state.commit();
}

describe('SlidingFold', () => {
  test('reduces every window from its oldest pane to its newest', () => {
    const texts = fc.array(
      fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.string({ minLength: 1, maxLength: 2 })), {
        selector: ([key]) => key,
      }),
      { minLength: 1, maxLength: 25 },
    );
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 5 }), (panes, length, slide) => {
        const fold = new SlidingFold<string, string>((a, b) => a + b, length);
        for (let last = slide; last <= panes.length; last += slide) {
          const state = stateOf(panes, last);
          finish(fold.slideTo(last, state));
          const expected = new Map<string, string>();
          for (const [key, value] of panes.slice(Math.max(0, last - length), last).flat()) {
            expected.set(key, (expected.get(key) ?? '') + value);
          }
          expect(new Map(finish(fold.rows()))).toEqual(expected);
        }
      }),
    );
  });

  test('a fold that begins at any window is equal to one that came there, to the last digit and in order', () => {
    fc.assert(
      fc.property(somePanes, fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 4 }), (panes, length, slide) => {
        const sum = (a: number, b: number): number => a + b;
        const fold = new SlidingFold<string, number>(sum, length);
        for (let last = slide; last <= panes.length; last += slide) {
          const state = stateOf(panes, last);
          finish(fold.slideTo(last, state));
          dropBefore(state, last - length + 1, last + 1);
          const restarted = new SlidingFold<string, number>(sum, length);
          finish(restarted.slideTo(last, state));
          expect(finish(restarted.rows())).toEqual(finish(fold.rows()));
        }
      }),
    );
  });

  test('a function that throws half-way leaves nothing behind', () => {
    let isBroken = false;
    const fold = new SlidingFold<string, number>((a, b) => {
      if (isBroken) throw new Error('broken');
      return a + b;
    }, 4);
    const panes: Panes = Array.from({ length: 6 }, () => [['a', 1] as const, ['b', 2] as const]);
    finish(fold.slideTo(5, stateOf(panes, 5)));
    isBroken = true;
    expect(() => finish(fold.slideTo(6, stateOf(panes, 6)))).toThrow('broken');
    isBroken = false;
    finish(fold.slideTo(6, stateOf(panes, 6)));
    expect(finish(fold.rows())).toEqual([
      ['a', 4],
      ['b', 8],
    ]);
  });

  test('functions that change their first argument, and rows that are changed later, reach no window', () => {
    const panes = Array.from({ length: 12 }, (_, i) => [['a', [i]] as const]);
    const fold = new SlidingFold<string, number[]>((a, b) => {
      a.push(...b);
      return a;
    }, 3);
    for (let last = 1; last <= panes.length; last++) {
      finish(fold.slideTo(last, stateOf(panes, last)));
      const [row] = finish(fold.rows());
      expect(row).toEqual(['a', [last - 3, last - 2, last - 1].filter((i) => i >= 0)]);
      row![1].push(99);
    }
  });

  test.each([2, 10, 100, 1000])('calls the function at most four times per entry for windows of %i panes', (length) => {
    let calls = 0;
    const fold = new SlidingFold<string, number>((a, b) => {
      calls += 1;
      return a + b;
    }, length);
    const state = new StateTable({ uid: 'op', numPartitions: 1 }).partition(0);
    const slides = 3 * length;
    for (let last = 1; last <= slides; last++) {
      state.begin();
      state.put(last, 'k', 'k', 1);
      state.commit();
      finish(fold.slideTo(last, state));
      dropBefore(state, last - length + 1, last);
      expect(finish(fold.rows())).toEqual([['k', Math.min(last, length)]]);
    }
    expect(calls).toBeLessThanOrEqual(4 * slides);
  });
});
