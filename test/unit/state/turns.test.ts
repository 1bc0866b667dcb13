import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ByteWriter } from '../../../src/base/byte-writer.ts';
import { Turns } from '../../../src/base/turns.ts';
import { KeyedWindowNode } from '../../../src/dstream/keyed-window.ts';
import { MapWithStateNode, StateSnapshotNode, StateSpec } from '../../../src/dstream/map-with-state.ts';
import type { StatefulNode } from '../../../src/dstream/stateful-node.ts';
import { UpdateStateNode } from '../../../src/dstream/update-state.ts';
import { CellPane } from '../../../src/state/cell-pane.ts';
import { EntryArena } from '../../../src/state/entry-arena.ts';
import { StateTable } from '../../../src/state/state-table.ts';
import { StateStream, second } from '../../support/state-stream.ts';

type Row = readonly [key: string, value: number];

// What the engine does with a key takes so long here: looking it up, encoding it, calling a function with it.
const costMs = 0.05;
const stretchMsMax = 8;
// A stretch may end late by a step: 32 keys, a few touches each.
const lateMsMax = 32 * 8 * costMs;

/** A clock that only work moves, and what it says of the stretches between two turns of the event loop. */
class WorkClock {
  nowMs = 0;
  longestMs = 0;
  turns = 0;
  /** Called in every turn. */
  onTurn: (turn: number) => void = () => {};
  #sinceMs = 0;

  readonly now = (): number => this.nowMs;

  readonly yieldToLoop = async (): Promise<void> => {
    await setImmediate();
    this.end();
    this.turns += 1;
    this.onTurn(this.turns);
  };

  end(): void {
    this.longestMs = Math.max(this.longestMs, this.nowMs - this.#sinceMs);
    this.#sinceMs = this.nowMs;
  }
}

let clock: WorkClock;
let restore: (() => void)[] = [];

/** Every call of these methods takes its time. */
function weigh<C extends object>(prototype: C, costs: Partial<Record<keyof C, number>>): void {
  for (const [name, cost] of Object.entries(costs) as [keyof C, number][]) {
    const original = prototype[name] as (...args: unknown[]) => unknown;
    (prototype as Record<keyof C, unknown>)[name] = function (this: C, ...args: unknown[]): unknown {
      clock.nowMs += cost;
      return original.apply(this, args);
    };
    restore.push(() => {
      (prototype as Record<keyof C, unknown>)[name] = original;
    });
  }
}

beforeEach(() => {
  clock = new WorkClock();
  weigh(EntryArena.prototype, {
    find: costMs,
    findBytes: costMs,
    add: costMs,
    replace: costMs,
    ordinalOf: costMs / 50,
  });
  weigh(CellPane.prototype, { get: costMs, stampOf: costMs, set: costMs });
  weigh(ByteWriter.prototype, { hashSince: costMs });
});

afterEach(() => {
  for (const undo of restore) undo();
  restore = [];
});

const keys = 10_000;

function rowsOf(from: number, to: number): Row[] {
  return Array.from({ length: to - from }, (_, i) => [`key ${from + i}`, i] as const);
}

function add(a: number, b: number): number {
  clock.nowMs += costMs;
  return a + b;
}

type Define = (stream: StateStream<Row>) => StatefulNode<unknown>;

const operators: [name: string, partitions: number, define: Define][] = [];
for (const partitions of [1, 8]) {
  operators.push(
    [
      'mapWithState',
      partitions,
      ({ source }) =>
        new MapWithStateNode(
          source,
          StateSpec.function<string, number, number, number>((_key, value, state) => {
            state.update(add(state.getOption() ?? 0, value!));
            return value!;
          }),
          {},
        ),
    ],
    [
      'mapWithState with a timeout',
      partitions,
      ({ source }) =>
        new MapWithStateNode(
          source,
          StateSpec.function<string, number, number, number>((_key, value, state) => {
            if (value !== undefined) state.update(add(state.getOption() ?? 0, value));
            return value ?? -1;
          }).timeout(second),
          {},
        ),
    ],
    [
      'updateStateByKey',
      partitions,
      ({ source }) =>
        new UpdateStateNode<string, number, number>(source, {
          byKey: (values, state) => add(state ?? 0, values.length),
          byPartition: undefined,
        }),
    ],
    [
      'reduceByKeyAndWindow',
      partitions,
      ({ source }) =>
        new KeyedWindowNode<string, number>(source, {
          operator: 'reduceByKeyAndWindow',
          reduce: add,
          inverse: undefined,
          length: second.times(3),
          slide: undefined,
        }),
    ],
    [
      'reduceByKeyAndWindow with an inverse',
      partitions,
      ({ source }) =>
        new KeyedWindowNode<string, number>(source, {
          operator: 'reduceByKeyAndWindow',
          reduce: add,
          inverse: (a, b) => add(a, -b),
          length: second.times(2),
          slide: undefined,
        }),
    ],
  );
}

describe('between two turns of the event loop', () => {
  test.each(operators)(
    '%s over %i partitions works no longer than eight milliseconds',
    async (_name, partitions, define) => {
      const stream = new StateStream<Row>({ partitions, turns: clock });
      const node = define(stream);
      const snapshot = new StateSnapshotNode<string, number>(node);
      let rows = 0;
      const batches = [rowsOf(0, keys), rowsOf(keys / 2, keys), [], [], rowsOf(0, 5000)];
      for (const [index, batch] of batches.entries()) {
        await stream.run(batch, async (of) => {
          rows += (await snapshot.rdd(of)!.count()) + (await node.rdd(of)!.count());
        });
        if (index % 2 === 0) await stream.extents(index === 2 ? 0 : 0.5);
      }
      clock.end();
      expect(rows).toBeGreaterThan(0);
      expect(clock.nowMs).toBeGreaterThan(1000);
      expect(clock.longestMs).toBeLessThan(stretchMsMax + lateMsMax);
      // And not all the time, either: a task that begins while others are paused waits for a turn of its own.
      expect(clock.turns).toBeLessThan((1.05 * clock.nowMs) / stretchMsMax + 1);
    },
  );

  test.each([
    ['at once', 100],
    ['bucket by bucket', 1000],
  ])('a restore %s works no longer than eight milliseconds', async (_how, valueBytes) => {
    const text = 'x'.repeat(valueBytes);
    const from = new StateStream<readonly [string, number]>({ partitions: 2 });
    const node = new UpdateStateNode<string, number, string>(from.source, {
      byKey: (values, state) => (state === undefined ? text : `${values.length}${text}`),
      byPartition: undefined,
    });
    await from.run(rowsOf(0, keys));
    const extents = await from.extents(0.5);
    const [delta] = await from.run(rowsOf(0, keys / 2));
    const fingerprint = node.table.fingerprint;

    clock = new WorkClock();
    const table = new StateTable({ uid: node.uid, numPartitions: 2 });
    const turns = new Turns(clock);
    const stored = extents.map(({ kind, bytes, buckets, summary }) => ({
      isBase: kind === 'base',
      buckets: buckets!,
      summary,
      lengthBytes: bytes.length,
      read: async () => bytes,
    }));
    const deltas = [{ lengthBytes: delta!.bytes.length, read: async () => delta!.bytes }];
    await table.restoreFrom({ extents: stored, deltas }, fingerprint, turns);
    expect(table.isLoaded).toBe(valueBytes < 200);
    await table.ensureLoaded();
    clock.end();
    table.verify(fingerprint);
    expect(clock.nowMs).toBeGreaterThan(500);
    expect(clock.longestMs).toBeLessThan(stretchMsMax + lateMsMax);
  });
});

describe('an attempt', () => {
  /** Counts per key; the function throws or aborts where it is told to. */
  function counting(stream: StateStream<Row>, hook: (call: number) => void = () => {}): StatefulNode<unknown> {
    let calls = 0;
    return new MapWithStateNode(
      stream.source,
      StateSpec.function<string, number, number, number>((_key, value, state) => {
        hook(++calls);
        state.update(add(state.getOption() ?? 0, value!));
        return value!;
      }),
      {},
    );
  }

  async function undisturbed(batches: readonly (readonly Row[])[]): Promise<string> {
    const stream = new StateStream<Row>({ partitions: 2 });
    const { table } = counting(stream);
    for (const rows of batches) await stream.run(rows);
    return table.fingerprint;
  }

  const batches = [rowsOf(0, 6000), rowsOf(3000, 9000)];

  test('that fails after a turn leaves no trace', async () => {
    const turnsBefore: number[] = [];
    const stream = new StateStream<Row>({ partitions: 2, turns: clock });
    // In the second batch: half of a partition is done by then.
    const { table } = counting(stream, (call) => {
      if (call !== 7500) return;
      turnsBefore.push(clock.turns);
      throw new Error('a try that fails');
    });
    await stream.run(batches[0]!);
    const turns = clock.turns;
    await stream.run(batches[1]!);
    expect(turnsBefore[0]).toBeGreaterThan(turns);
    expect(table.fingerprint).toBe(await undisturbed(batches));
  });

  test('that fails while it is sealed leaves no trace', async () => {
    const stream = new StateStream<Row>({ partitions: 2, turns: clock });
    let isBroken = true;
    let calls = 0;
    const { table } = new MapWithStateNode(
      stream.source,
      StateSpec.function<string, number, unknown, number>((_key, value, state) => {
        // A getter is refused when the value is encoded.
        state.update(
          ++calls === 3000 && isBroken
            ? {
                get value() {
                  return 1;
                },
              }
            : (value as unknown),
        );
        return value!;
      }),
      {},
    );
    await expect(stream.run(batches[0]!)).rejects.toMatchObject({ code: 'VALUE_UNSUPPORTED' });
    expect(clock.turns).toBeGreaterThan(0);
    expect(table.keyCount).toBe(0);
    isBroken = false;
    await stream.run(batches[0]!);
    expect(table.keyCount).toBe(6000);
    const again = new StateTable({ uid: table.uid, numPartitions: 1 });
    for (const { bytes } of table.extents(0)) again.restore(bytes, false);
    again.verify(table.fingerprint);
  });

  test.each([3, 10, 20, 26])('that is stopped in turn %i goes no further, and leaves no trace', async (turn) => {
    const stop = new AbortController();
    const stream = new StateStream<Row>({ partitions: 2, turns: clock, signal: stop.signal });
    let calls = 0;
    const { table } = counting(stream, () => {
      calls += 1;
    });
    await stream.run(batches[0]!);
    const { fingerprint } = table;
    let callsAtStop = 0;
    const first = clock.turns;
    clock.onTurn = (at) => {
      if (at !== first + turn) return;
      stop.abort(new Error('stop'));
      callsAtStop = calls;
    };
    await expect(stream.run(batches[1]!)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(clock.turns).toBeGreaterThanOrEqual(first + turn);
    expect(calls).toBe(callsAtStop);
    expect(table.fingerprint).toBe(fingerprint);
    expect(table.seal().bytes).toHaveLength(0);
  });
});

describe('Turns', () => {
  test('lets one go on per turn of the loop, in the order they gave way', async () => {
    const order: string[] = [];
    let loop = 0;
    const turns = new Turns({ now: () => 0, yieldToLoop: async () => void loop++ });
    const work = async (name: string): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        await turns.give();
        order.push(`${name}${loop}`);
      }
    };
    await Promise.all([work('a'), work('b'), work('c')]);
    expect(order).toEqual(['a1', 'b2', 'c3', 'a4', 'b5', 'c6', 'a7', 'b8', 'c9']);
  });
});
