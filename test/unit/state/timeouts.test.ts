import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { finish } from '../../../src/base/turns.ts';
import { StateTable } from '../../../src/state/state-table.ts';

const idleMs = 3000;

interface Step {
  /** Batches until this one. */
  readonly gap: number;
  readonly touched: readonly string[];
  readonly removed: readonly string[];
  /** A first attempt fails after it has looked for expired keys. */
  readonly isRetried: boolean;
  readonly manifest: boolean;
  readonly restart: boolean;
}

const keys = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 3 });
const someStep: fc.Arbitrary<Step> = fc.record({
  gap: fc.constantFrom(1, 1, 1, 2, 6),
  touched: keys,
  removed: keys,
  isRetried: fc.boolean(),
  manifest: fc.boolean(),
  restart: fc.constantFrom(false, false, true),
});

function newTable(cellsMax?: number): StateTable {
  return new StateTable({ uid: 'op', numPartitions: 1, cellsMax });
}

describe('expiring', () => {
  test('every key expires once, when it was idle for too long, also after removals, returns, retries and restarts', () => {
    fc.assert(
      fc.property(fc.array(someStep, { minLength: 1, maxLength: 25 }), fc.boolean(), (steps, isAsBytes) => {
        const cellsMax = isAsBytes ? 0 : undefined;
        let table = newTable(cellsMax);
        let manifest: Uint8Array[] = [];
        let records: Uint8Array[] = [];
        const lastTouch = new Map<string, number>();
        let timeMs = 0;
        steps.forEach((step, i) => {
          timeMs += step.gap * 1000;
          const thresholdMs = timeMs - idleMs;
          const partition = table.partition(0);
          for (const attempt of step.isRetried ? [1, 2] : [1]) {
            partition.begin();
            for (const key of step.removed) partition.remove(0, key);
            for (const key of step.touched) partition.put(0, key, key, i, timeMs);
            const expired = expiring(table, thresholdMs);
            const due = [...lastTouch].filter(
              ([key, at]) => at < thresholdMs && !step.touched.includes(key) && !step.removed.includes(key),
            );
            expect(expired.toSorted(), `batch ${i}, attempt ${attempt}`).toEqual(due.map(([key]) => key).sort());
            for (const key of expired) partition.remove(0, key);
          }
          for (const key of step.removed) lastTouch.delete(key);
          for (const key of step.touched) lastTouch.set(key, timeMs);
          for (const [key, at] of lastTouch) if (at < thresholdMs) lastTouch.delete(key);
          records.push(table.seal().bytes);
          table.merge();
          if (step.manifest) {
            manifest = [...manifest, ...Array.from(table.extents(100), ({ bytes }) => bytes)];
            records = [];
            table.manifestWritten();
          }
          if (!step.restart) return;
          const { fingerprint } = table;
          table = newTable(cellsMax);
          for (const bytes of manifest) table.restore(bytes, false);
          for (const bytes of records) table.restore(bytes, true);
          table.verify(fingerprint);
        });
      }),
      { numRuns: 500 },
    );
  });

  test('oldest first, and strictly before the threshold', () => {
    const table = newTable();
    const partition = table.partition(0);
    for (const [i, key] of ['x', 'y', 'z'].entries()) {
      partition.put(0, key, key, 1, (3 - i) * 1000);
    }
    table.seal();
    table.merge();
    expect(expiring(table, 1000)).toEqual([]);
    expect(expiring(table, 1001)).toEqual(['z']);
    expect(expiring(table, 3001)).toEqual(['z', 'y', 'x']);
  });

  test.each([undefined, 0])('in an order that a restart does not change (cellsMax %s)', (cellsMax) => {
    const table = newTable(cellsMax);
    const extents: Uint8Array[] = [];
    const commit = (): void => {
      extents.push(table.seal().bytes);
      table.merge();
    };
    const keys = ['d', 'a', 'c', 'b', 'e'];
    for (const [i, key] of keys.entries()) table.partition(0).put(0, key, key, 1, 1000 + i);
    commit();
    for (const key of keys.toReversed()) table.partition(0).put(0, key, key, 2, 2000);
    commit();
    table.partition(0).remove(0, 'c');
    commit();
    table.partition(0).put(0, 'c', 'c', 4, 2000);
    commit();
    const restored = newTable(cellsMax);
    for (const bytes of extents) restored.restore(bytes, true);
    expect(expiring(restored, 3000)).toEqual(expiring(table, 3000));
    expect(expiring(table, 3000).toSorted()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});

function expiring(table: StateTable, thresholdMs: number): string[] {
  const keys: string[] = [];
  finish(table.partition(0).expiring(thresholdMs, (_id, { key }) => keys.push(key as string)));
  return keys;
}
