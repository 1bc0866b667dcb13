import { describe, expect, test } from 'vitest';
import { Seconds } from '../../../src/base/time.ts';
import { type State, StateSpec } from '../../../src/dstream/map-with-state.ts';
import type { StateSchema } from '../../../src/state/state-schema.ts';
import type { StreamingContext } from '../../../src/streaming-context.ts';
import { errorOf } from '../engine/support.ts';
import { Deployed, everySecond } from './support.ts';

/** Version 1 stores a count, version 2 `{ n }`, version 3 `{ n, name }`. */
interface Two {
  readonly n: number;
}
interface Three extends Two {
  readonly name: string;
}

const deployed = new Deployed();
type Define = (ssc: StreamingContext) => void;
type Deploys = Readonly<Record<1 | 2 | 3, (schema?: StateSchema<never>) => Define>>;

/** The same program in three versions, on a stream of its own. */
function totals(stream: Deployed): Deploys {
  const rows = (ssc: StreamingContext) => ssc.sourceStream(everySecond().source(), { uid: 'pairs' });
  const uid = 'totals';
  const options = (schema: unknown) => ({ uid, schema: schema as StateSchema<never> });
  return {
    1: (schema) => (ssc) =>
      stream.look(
        rows(ssc).updateStateByKey<string, number, number>((values, n) => (n ?? 0) + values.length, options(schema)),
      ),
    2: (schema) => (ssc) =>
      stream.look(
        rows(ssc).updateStateByKey<string, number, Two>(
          (values, state) => ({ n: (state?.n ?? 0) + values.length }),
          options(schema),
        ),
      ),
    3: (schema) => (ssc) =>
      stream.look(
        rows(ssc).updateStateByKey<string, number, Three>(
          (values, state, key) => ({ n: (state?.n ?? 0) + values.length, name: state?.name ?? `new ${key}` }),
          options(schema),
        ),
      ),
  };
}

const toTwo = { version: 2, migrate: (n: number) => ({ n }) } as unknown as StateSchema<never>;
const toThree = {
  version: 3,
  migrate: { 1: (n: number) => ({ n }), 2: (two: Two) => ({ ...two, name: 'migrated' }) },
} as unknown as StateSchema<never>;

describe('a schema version of its own', () => {
  test('brings the values of the former program along, and writes them in the new form', async () => {
    const stream = new Deployed();
    const deploy = totals(stream);
    await stream.run(deploy[1](), 6);
    expect((await stream.status()).fingerprints.totals).not.toContain('@');
    await stream.run(deploy[2](toTwo), 7);
    expect(stream.seen.get(7)).toEqual({ k0: { n: 3 }, k1: { n: 4 } });
    expect((await stream.status()).fingerprints.totals).toMatch(/@2$/);
    expect(stream.warnings).toEqual([
      "State 'totals' (updateStateByKey) holds values of schema 1, which are brought to 2 as they are needed.",
    ]);
    // Nothing of version 1 is left: the step is not needed any more.
    await stream.run(deploy[2]({ version: 2 }), 9);
    expect(stream.seen.get(9)).toEqual({ k0: { n: 4 }, k1: { n: 5 } });
    expect(stream.warnings).toHaveLength(1);
  });

  test('takes the steps from each older version on, also when several are stored at once', async () => {
    const stream = new Deployed();
    const deploy = totals(stream);
    await stream.run(deploy[1](), 6);
    await stream.run(deploy[3](toThree), 8);
    expect(stream.seen.get(8)).toEqual({ k0: { n: 4, name: 'migrated' }, k1: { n: 4, name: 'migrated' } });
  });

  test('is stored with its values also when the state is in snapshots', async () => {
    const stream = new Deployed();
    const deploy = totals(stream);
    const options = { checkpoint: { manifestEveryRecords: 2, retainManifests: 1 } };
    await stream.run(deploy[1](), 5, options);
    await stream.run(deploy[2](toTwo), 10, options);
    await stream.run(deploy[3](toThree), 11, options);
    expect(stream.seen.get(11)).toEqual({ k0: { n: 5, name: 'migrated' }, k1: { n: 6, name: 'migrated' } });
  });

  test('does not change the order of keys', async () => {
    const stream = new Deployed();
    const orders: string[][] = [];
    const define =
      (schema?: StateSchema<unknown>): Define =>
      (ssc) =>
        ssc
          .sourceStream(everySecond().source(), { uid: 'pairs' })
          .map(([, t]): [string, number] => [`${(t * 7) % 11}`, t])
          .updateStateByKey((values, last: unknown) => values.at(-1) ?? last, { uid: 'last', numPartitions: 1, schema })
          .foreachRDD(async (rdd) => {
            orders.push((await rdd.collect()).map(([key]) => key));
          });
    await stream.run(define(), 20);
    await stream.run(define({ version: 2, migrate: (value) => value }), 21);
    await stream.run(define({ version: 2 }), 22);
    expect(orders[20]).toEqual(orders[19]);
    expect(orders[21]).toEqual(orders[19]);
  });
});

describe('mapWithState', () => {
  function lastSeen(stream: Deployed, schema?: StateSchema<number>, changed = false): Define {
    return (ssc) => {
      const spec = StateSpec.function((key: string, value: number | undefined, state: State<number>) => {
        if (value === undefined) return [key, `timed out at ${state.get()}`] as const;
        const before = state.getOption();
        state.update(changed ? -value : value);
        return [key, before ?? 'new'] as const;
      }).timeout(Seconds(10));
      const rows = ssc
        .sourceStream(everySecond().source(), { uid: 'pairs' })
        .map(([, t]): [string, number] => [`d${t <= 30 ? t : 30}`, t]);
      const mapped = rows.mapWithState(spec, { uid: 'last', schema });
      stream.look(mapped);
      mapped.stateSnapshots().count().print();
    };
  }
  const negated: StateSchema<number> = { version: 2, migrate: (n: number) => -n };

  test('touches the values of keys with data or a timeout, and rewrites the others a while later', async () => {
    const stream = new Deployed();
    await stream.run(lastSeen(stream), 12);
    await stream.run(lastSeen(stream, negated, true), 14);
    expect(stream.seen.get(12)).toEqual({ d12: 'new', d1: 'timed out at 1' });
    expect(stream.seen.get(13)).toEqual({ d13: 'new', d2: 'timed out at -2' });
    // Nothing was touched but what timed out, and yet nothing of version 1 is left.
    expect((await stream.status()).fingerprints.last).toMatch(/@2$/);
    await stream.run(lastSeen(stream, { version: 2 }, true), 22);
    expect(stream.seen.get(22)).toEqual({ d22: 'new', d11: 'timed out at -11' });
  });
});

test('a large state is rewritten a thousand values per batch, and reads the same all the while', async () => {
  const stream = new Deployed();
  // More than a pane keeps decoded.
  const keys = 9000;
  const seen: [number, number][] = [];
  const define =
    (isNew: boolean): Define =>
    (ssc) => {
      const pack = (n: number): number | Two => (isNew ? { n } : n);
      const unpack = (stored: unknown): number => (isNew ? (stored as Two).n : (stored as number));
      const spec = StateSpec.function((key: string, value: number | undefined, state: State<number | Two>) => {
        state.update(pack(unpack(state.getOption() ?? pack(0)) + value!));
        return [key, unpack(state.get())] as const;
      }).initialState(Array.from({ length: keys }, (_, i) => [`k${i}`, pack(i)] as const));
      const mapped = ssc.sourceStream(everySecond().source(), { uid: 'pairs' }).mapWithState(spec.numPartitions(1), {
        uid: 'counts',
        schema: isNew ? { version: 2, migrate: (n: number): Two => ({ n }) } : undefined,
      });
      mapped.stateSnapshots().foreachRDD(async (rdd) => {
        const states = (await rdd.collect()) as [string, unknown][];
        seen.push([states.length, states.reduce((total, [, stored]) => total + unpack(stored), 0)]);
      });
    };
  await stream.run(define(false), 2);
  const versions: (string | undefined)[] = [];
  for (const t of [3, 6, 12]) {
    await stream.run(define(true), t);
    versions.push((await stream.status()).fingerprints.counts!.split('@')[1]);
  }
  expect(versions).toEqual(['1,2', '1,2', '2']);
  const initial = (keys * (keys - 1)) / 2;
  expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => [keys, initial + ((i + 1) * (i + 2)) / 2]));
});

describe('windows', () => {
  test('of values and of rows read their older panes and slices in the new form', async () => {
    const stream = new Deployed();
    const [summed, grouped, raw] = [new Map(), new Map(), new Map()];
    const define =
      (factor: number, schema?: StateSchema<number>): Define =>
      (ssc) => {
        const rows = ssc
          .sourceStream(everySecond().source(), { uid: 'pairs' })
          .mapValues((value: number) => value * factor);
        const sum = (a: number, b: number): number => a + b;
        stream.look(rows.reduceByKeyAndWindow(sum, Seconds(4), Seconds(1), { uid: 'sums', schema }), summed);
        stream.look(rows.groupByKeyAndWindow(Seconds(4), Seconds(1), { uid: 'groups', schema }), grouped);
        const pairs = schema && {
          version: 2,
          migrate: ([key, value]: [string, number]): [string, number] => [key, value * 100],
        };
        stream.look(rows.window(Seconds(4), Seconds(1), { uid: 'rows', schema: pairs }).reduceByKey(sum), raw);
      };
    await stream.run(define(1), 4);
    await stream.run(define(100, { version: 2, migrate: (value: number) => value * 100 }), 6);
    for (const seen of [summed, raw]) {
      expect(seen.get(4)).toEqual({ k0: 6, k1: 4 });
      expect(seen.get(5)).toEqual({ k0: 600, k1: 800 });
      expect(seen.get(6)).toEqual({ k0: 1000, k1: 800 });
    }
    expect(grouped.get(5)).toEqual({ k0: [200, 400], k1: [300, 500] });
    // The older panes go with their time; no step is needed when they have.
    await stream.run(define(100, { version: 2, migrate: (value: number) => value * 100 }), 10);
    const { fingerprints } = await stream.status();
    for (const uid of ['sums', 'groups', 'rows']) expect(fingerprints[uid]).toMatch(/@2$/);
  });
});

describe('a value that can not be migrated', () => {
  test.each<[string, unknown, RegExp]>([
    [
      'throws',
      () => {
        throw new Error('no n');
      },
      /: no n\./,
    ],
    ['returns undefined', () => undefined, /: migrate returned undefined, which is no value\./],
    ['returns what can not be stored', () => ({ f: () => 1 }), /function/],
  ])(
    'because migrate %s ends the stream with the operator, the key and the versions, and loses nothing',
    async (_how, migrate, reason) => {
      const stream = new Deployed();
      const deploy = totals(stream);
      await stream.run(deploy[1](), 6);
      const before = await stream.status();
      const driven = await stream.start(deploy[2]({ version: 2, migrate } as StateSchema<never>));
      const error = await errorOf(driven.runTo(7000));
      expect(error).toMatchObject({
        code: 'STATE_MIGRATION_FAILED',
        kind: 'user',
        context: { uid: 'totals', fromVersion: 1, toVersion: 2 },
      });
      expect(error.message).toMatch(
        /^The value of key 'k[01]' of operator 'totals' could not be brought from schema version 1 to 2:/,
      );
      expect(error.message).toMatch(reason);
      const after = await stream.status();
      expect(after.lastBatch).toEqual(before.lastBatch);
      expect(after.fingerprints).toEqual(before.fingerprints);
      await stream.run(deploy[1](), 8);
      expect(stream.seen.get(8)).toEqual({ k0: 4, k1: 4 });
    },
  );

  test.each<[string, unknown]>([
    ['version 0', { version: 0 }],
    ['a fraction', { version: 1.5 }],
    ['a step that is no function', { version: 3, migrate: { 2: 'no' } }],
    ['a step from no version', { version: 3, migrate: { two: () => 0 } }],
    ['reads of no version', { version: 3, reads: [-1] }],
  ])('%s is refused when the program is defined', (_what, schema) => {
    const ssc = deployed.context();
    const rows = ssc.sourceStream(everySecond().source());
    expect(() => rows.updateStateByKey(() => 1, { uid: 'totals', schema: schema as StateSchema<number> })).toThrow(
      /schema of 'totals': /,
    );
  });
});
