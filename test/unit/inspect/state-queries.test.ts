import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { diffState, getState, listOperators, listState } from '../../../src/inspect/state-queries.ts';
import { parseKey, toJson } from '../../../src/inspect/value-json.ts';
import { verifyCheckpoint } from '../../../src/inspect/verify-checkpoint.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { errorOf } from '../engine/support.ts';
import { type CheckpointSettings, everything, Run, recordsOnly, rowAt } from './support.ts';

type Sums = Map<string, { sum: number; n: number }>;

/** `sums` after a batch, from the rows alone. Batch 1 is empty and stands at zero time. */
function sumsAfter(batchId: number): Sums {
  const sums: Sums = new Map();
  for (let second = 1; second < batchId; second++) {
    for (const [key, value] of [rowAt(second), ['every', 1] as const]) {
      const { sum, n } = sums.get(key) ?? { sum: 0, n: 0 };
      sums.set(key, { sum: sum + value, n: n + 1 });
    }
  }
  return sums;
}

/** `latest` after a batch: keys without rows for longer than four seconds are gone. */
function latestAfter(batchId: number): Map<string, number> {
  const latest = new Map<string, number>();
  for (let second = Math.max(1, batchId - 1 - 4); second < batchId; second++) {
    latest.set(...rowAt(second));
    latest.set('every', 1);
  }
  return latest;
}

const variants: readonly (readonly [string, CheckpointSettings, number])[] = [
  ['records only', recordsOnly, 15],
  ['segments, manifests and a floor', everything, 60],
];

describe.each(variants)('state in a checkpoint of %s', (_what, settings, seconds) => {
  let store: ObjectStore;
  let first: number;
  const last = seconds + 1;

  beforeAll(async () => {
    const run = new Run();
    await run.to((seconds - 10) * 1000, settings);
    await run.to(seconds * 1000, settings);
    store = run.store;
    const error = await errorOf(listOperators(store, { batchId: 0 }));
    expect(error.code).toBe('BATCH_NOT_RETAINED');
    first = Number(error.context.first);
    expect(error.context.last).toBe(last);
    expect(error.message).toContain(`batches ${first} to ${last}`);
  });

  test('has the operators of the program, as the engine committed them', async () => {
    const { operators, batchId, batchTimeMs } = await listOperators(store);
    expect({ batchId, batchTimeMs }).toEqual({ batchId: last, batchTimeMs: seconds * 1000 });
    expect(operators.map(({ uid }) => uid)).toEqual(['sums', 'latest', 'recent']);
    expect(operators.find(({ uid }) => uid === 'sums')?.keys).toBe(sumsAfter(last).size);
    expect(operators.find(({ uid }) => uid === 'recent')?.panes).toBeGreaterThan(1);
  });

  test('is what the rows give, after every batch that is kept', async () => {
    const { floor } = await verifyCheckpoint(store);
    expect(first === 1).toBe(floor === 0);
    for (let batchId = first; batchId <= last; batchId++) {
      const { entries, count } = await listState(store, 'sums', { batchId });
      expect(new Map(entries.map(({ key, value }) => [key, value])), `batch ${batchId}`).toEqual(sumsAfter(batchId));
      expect(count).toBe(entries.length);
      const latest = await listState(store, 'latest', { batchId });
      expect(new Map(latest.entries.map(({ key, value }) => [key, value]))).toEqual(latestAfter(batchId));
    }
  });

  test('of one key is found by its value', async () => {
    expect(await getState(store, 'sums', 'every')).toEqual([
      { pane: 0, key: 'every', value: sumsAfter(last).get('every'), timeMs: 0 },
    ]);
    expect(await getState(store, 'sums', 'nobody')).toEqual([]);
    const panes = (await getState(store, 'recent', 'every')).map(({ pane }) => pane);
    expect(panes.length).toBeGreaterThan(1);
    expect((await getState(store, 'latest', 'every'))[0]?.timeMs).toBe(seconds * 1000);
  });

  test('differs between two batches by what the rows between them changed', async () => {
    for (const [from, to] of [
      [first, last],
      [last - 3, last],
      [last, last - 1],
      [last, last],
    ] as const) {
      const { differences, ...places } = await diffState(store, from, to);
      expect([places.from.batchId, places.to.batchId]).toEqual([from, to]);
      const [before, after] = [sumsAfter(from), sumsAfter(to)];
      const expected = [...new Set([...before.keys(), ...after.keys()])]
        .filter((key) => before.get(key)?.n !== after.get(key)?.n)
        .map((key) => [key, before.get(key), after.get(key)]);
      const found = differences
        .filter(({ uid }) => uid === 'sums')
        .map((one) => [one.key, one.before?.value, one.after?.value]);
      expect(found.toSorted()).toEqual(expected.toSorted());
      if (from === to) expect(differences).toEqual([]);
    }
  });

  test('of a batch that is not kept is refused, with the range that is', async () => {
    for (const batchId of [first - 1, last + 1]) {
      const error = await errorOf(diffState(store, batchId, last));
      expect(error.message).toContain(`batch ${batchId}`);
      expect(error.context).toEqual({ batchId, first, last });
    }
  });

  test('of an operator nobody knows is refused, with those that are known', async () => {
    const error = await errorOf(listState(store, 'sumz'));
    expect(error.code).toBe('OPTION_INVALID');
    expect(error.message).toContain('sums, latest, recent');
  });

  test('can be listed in part', async () => {
    const { entries, count } = await listState(store, 'sums', { limit: 2 });
    expect(entries.length).toBe(2);
    expect(count).toBe(sumsAfter(last).size);
    expect((await errorOf(Promise.resolve().then(() => listState(store, 'sums', { limit: 0 })))).code).toBe(
      'OPTION_INVALID',
    );
  });
});

describe('JSON of keys and values', () => {
  test('brings every key back', () => {
    const key = fc.letrec((tie) => ({
      key: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.double({ noNaN: true }),
        fc.constant(Number.NaN),
        fc.bigInt(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('key'), { maxLength: 3 }),
        fc.dictionary(fc.oneof(fc.string(), fc.constant('$bigint')), tie('key'), { maxKeys: 3, noNullPrototype: true }),
      ),
    })).key;
    fc.assert(
      fc.property(key, (value) => {
        expect(parseKey(JSON.stringify(toJson(value)))).toEqual(value);
      }),
    );
  });

  test('shows what JSON has no form for', () => {
    expect(toJson(new Map([[1n, new Set([Number.NaN])]]))).toEqual({
      $map: [[{ $bigint: '1' }, { $set: [{ $number: 'NaN' }] }]],
    });
    expect(toJson([new Date(0), undefined, Uint8Array.of(1, 2)])).toEqual([
      { $date: '1970-01-01T00:00:00.000Z' },
      { $undefined: true },
      { $bytes: 'AQI=', $type: 'Uint8Array' },
    ]);
  });

  test('that is none is refused with an example', () => {
    expect(() => parseKey('sensor-1')).toThrow(/The key sensor-1 is no JSON .*'"sensor-1"'/);
  });
});
