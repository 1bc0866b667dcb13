import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hashKey, type KeyIdentity, keyIdentity } from '../../../src/base/canonical-key.ts';
import { TidemarkError } from '../../../src/base/errors.ts';
import { copyPlain, equalPlain } from '../../../src/base/plain-data.ts';
import type { Cell, StatePartition } from '../../../src/state/state-partition.ts';
import { StateTable } from '../../../src/state/state-table.ts';
import { anyValue } from '../base/plain-values.ts';

type Op =
  | {
      readonly kind: 'put';
      readonly pane: number;
      readonly key: unknown;
      readonly value: unknown;
      /** Tells where the key is by what it was read as: in the same batch, or in some batch before. */
      readonly found: 'no' | 'now' | 'long ago';
    }
  | { readonly kind: 'remove'; readonly pane: number; readonly key: unknown }
  | { readonly kind: 'drop' }
  | { readonly kind: 'meta'; readonly value: unknown };

interface Step {
  readonly ops: readonly Op[];
  /** `retried`: a first attempt of the task fails half-way; `failed`: so does the batch. */
  readonly fate: 'committed' | 'retried' | 'failed';
  readonly manifest: 'base' | 'delta' | undefined;
  /** A new driver restores the table afterwards, with so many partitions. */
  readonly restartWith: number | undefined;
}

// Few keys that meet often; composite ones, because those can be changed in place.
const someKey: fc.Arbitrary<unknown> = fc.constantFrom<unknown>('a', 'b', 'c', 1, 2n, null, true, ['x', 1], { id: 7 });
const someOp: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      pane: fc.integer({ min: 0, max: 2 }),
      key: someKey,
      value: anyValue,
      found: fc.constantFrom('no', 'now', 'long ago'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('remove' as const),
      pane: fc.integer({ min: 0, max: 2 }),
      key: someKey,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'drop' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('meta' as const), value: anyValue }) },
);
const someStep: fc.Arbitrary<Step> = fc.record({
  ops: fc.array(someOp, { maxLength: 8 }),
  fate: fc.constantFrom('committed', 'committed', 'committed', 'retried', 'failed'),
  manifest: fc.constantFrom(undefined, undefined, undefined, 'base', 'delta', 'delta'),
  restartWith: fc.constantFrom(undefined, undefined, 3, 3, 1, 5),
});

interface OracleCell {
  readonly key: unknown;
  readonly value: unknown;
}

/** What a plain Map makes of the same operations. */
class Oracle {
  panes = new Map<number, Map<KeyIdentity, OracleCell>>();
  meta: unknown;
  /** Panes are numbered from here: what is dropped is never written again. */
  firstPane = 1;

  /** Panes 1 and 2 of an operation are the two that are open. */
  paneOf(pane: number): number {
    return pane === 0 ? 0 : this.firstPane + pane - 1;
  }

  commit(ops: readonly Op[]): void {
    const changed = new Map<number, Map<KeyIdentity, OracleCell | undefined>>();
    for (const op of ops) {
      if (op.kind === 'meta') {
        this.meta = copyPlain(op.value);
      } else if (op.kind === 'drop') {
        changed.delete(this.firstPane);
        this.panes.delete(this.firstPane);
        this.firstPane += 1;
      } else {
        const pane = this.paneOf(op.pane);
        if (!changed.has(pane)) changed.set(pane, new Map());
        const cell = op.kind === 'put' ? { key: copyPlain(op.key), value: copyPlain(op.value) } : undefined;
        changed.get(pane)!.set(keyIdentity(op.key), cell);
      }
    }
    for (const [pane, cells] of changed) {
      const target = this.panes.get(pane) ?? new Map<KeyIdentity, OracleCell>();
      for (const [id, cell] of cells) {
        if (cell === undefined) target.delete(id);
        else target.set(id, cell);
      }
      this.panes.set(pane, target);
    }
  }
}

interface Content {
  readonly meta: unknown;
  /** Pane, then partition, then keys in order. */
  readonly cells: readonly (readonly [pane: number, partition: number, key: unknown, value: unknown])[];
}

function contentOf(table: StateTable): Content {
  const cells: [number, number, unknown, unknown][] = [];
  for (let p = 0; p < table.numPartitions; p++) {
    for (const pane of table.partition(p).panes()) {
      table.partition(p).forEach(pane, (id, { key, value }) => {
        expect(id).toBe(keyIdentity(key));
        expect(equalPlain(table.partition(p).get(pane, id)?.value, value)).toBe(true);
        cells.push([pane, p, key, value]);
      });
    }
  }
  cells.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return { meta: table.meta, cells };
}

function expectedContent(oracle: Oracle, numPartitions: number): Content {
  const cells: [number, number, unknown, unknown][] = [];
  for (const [pane, keys] of oracle.panes) {
    for (const { key, value } of keys.values()) cells.push([pane, hashKey(key) % numPartitions, key, value]);
  }
  cells.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return { meta: oracle.meta, cells };
}

function expectSameContent(actual: Content, expected: Content, inOrder: boolean): void {
  const arrange = (content: Content): unknown[] => {
    const cells = content.cells.map(([pane, p, key, value]) => [pane, p, keyIdentity(key), key, value]);
    if (!inOrder) cells.sort((a, b) => (String(a.slice(0, 3)) < String(b.slice(0, 3)) ? -1 : 1));
    return [content.meta, ...cells];
  };
  const [left, right] = [arrange(actual), arrange(expected)];
  // The engine's equality, because it tells -0 from 0 and holes from undefined; the matcher for a readable difference.
  if (!equalPlain(left, right)) {
    expect(left).toEqual(right);
    expect.unreachable('contents differ in a way the matcher does not see');
  }
}

/** A table with everything a log would keep of it. */
class Durable {
  table: StateTable;
  readonly oracle = new Oracle();
  #manifest: Uint8Array[] = [];
  #records: Uint8Array[] = [];
  #fingerprint: string | undefined;
  #isInOrder = true;
  readonly #cellsMax: number;
  readonly #cellsRead = new Map<string, Cell | undefined>();

  /** `cellsMax`: panes of more keys in a partition are kept as bytes. */
  constructor(numPartitions: number, cellsMax: number) {
    this.#cellsMax = cellsMax;
    this.table = new StateTable({ uid: 'op', numPartitions, cellsMax });
  }

  run({ ops, fate, manifest, restartWith }: Step): void {
    if (fate !== 'committed') {
      this.#apply(ops.slice(0, Math.ceil(ops.length / 2)));
      this.table.discard();
      this.check();
    }
    if (fate === 'failed') {
      this.#apply(ops);
      this.table.seal();
      this.table.discard();
    } else {
      const given = this.#apply(ops);
      const { bytes, fingerprint } = this.table.seal();
      expect(this.table.seal()).toEqual({ bytes, fingerprint });
      for (const part of given) spoil(part);
      this.table.merge();
      this.#records.push(bytes);
      this.#fingerprint = fingerprint;
      this.oracle.commit(ops);
    }
    this.check();
    if (manifest !== undefined) this.#writeManifest(this.#manifest.length === 0 ? 'base' : manifest);
    if (restartWith !== undefined) this.#restart(restartWith);
    this.check();
  }

  check(): void {
    const { table, oracle } = this;
    const numPartitions = table.numPartitions;
    expectSameContent(contentOf(table), expectedContent(oracle, numPartitions), this.#isInOrder);
    expect(table.keyCount).toBe(oracle.panes.get(0)?.size ?? 0);
    if (this.#fingerprint !== undefined) expect(table.fingerprint).toBe(this.#fingerprint);
  }

  /** Gives back every object handed in. */
  #apply(ops: readonly Op[]): unknown[] {
    const given: unknown[] = [];
    const { table } = this;
    let firstPane = this.oracle.firstPane;
    for (const op of ops) {
      if (op.kind === 'meta') {
        const value = copyPlain(op.value);
        table.meta = value;
        given.push(value);
      } else if (op.kind === 'drop') {
        for (let p = 0; p < table.numPartitions; p++) table.partition(p).dropPane(firstPane);
        firstPane += 1;
      } else {
        const pane = op.pane === 0 ? 0 : firstPane + op.pane - 1;
        const partition = table.partition(hashKey(op.key) % table.numPartitions);
        const id = keyIdentity(op.key);
        if (op.kind === 'remove') {
          partition.remove(pane, id);
        } else {
          const [key, value] = [copyPlain(op.key), copyPlain(op.value)];
          partition.put(pane, id, key, value, 0, this.#found(op, partition, pane, id));
          given.push(key, value);
          expect(partition.isChanged(pane, id)).toBe(true);
          expect(partition.get(pane, id)?.value).toBe(value);
        }
      }
    }
    return given;
  }

  #found(op: Op & { kind: 'put' }, partition: StatePartition, pane: number, id: KeyIdentity): Cell | undefined {
    const place = `${pane} ${typeof id} ${id}`;
    const before = this.#cellsRead.get(place);
    const now = partition.get(pane, id);
    if (!partition.isChanged(pane, id)) this.#cellsRead.set(place, now);
    return op.found === 'no' ? undefined : op.found === 'now' ? now : before;
  }

  #writeManifest(kind: 'base' | 'delta'): void {
    const extents = extentsOf(this.table, kind);
    this.#manifest = kind === 'base' ? extents : [...this.#manifest, ...extents];
    this.#records = [];
    this.table.manifestWritten();
  }

  #restart(numPartitions: number): void {
    if (numPartitions !== this.table.numPartitions) this.#isInOrder = false;
    // Another driver may keep another form: what is stored does not tell.
    const cellsMax = numPartitions === 5 ? 8192 - this.#cellsMax : this.#cellsMax;
    this.table = new StateTable({ uid: 'op', numPartitions, cellsMax });
    for (const bytes of this.#manifest) this.table.restore(bytes, false);
    for (const bytes of this.#records) this.table.restore(bytes, true);
    this.table.verify(this.#fingerprint);
  }
}

/** What a manifest holds of a table: with alpha 0 bases only, with 100 changes wherever there is a base. */
function extentsOf(table: StateTable, kind: 'base' | 'delta'): Uint8Array[] {
  return Array.from(table.extents(kind === 'base' ? 0 : 100), ({ bytes }) => bytes);
}

/** Changes an object in every way a program could. */
function spoil(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) spoil(item);
    value.push('spoilt');
    value[0] = 'spoilt';
  } else if (value instanceof Map || value instanceof Set) {
    for (const item of value.values()) spoil(item);
    value.clear();
  } else if (value instanceof Date) {
    value.setTime(123);
  } else if (ArrayBuffer.isView(value)) {
    new Uint8Array(value.buffer, value.byteOffset, value.byteLength).fill(77);
  } else if (value instanceof ArrayBuffer) {
    new Uint8Array(value).fill(77);
  } else {
    for (const item of Object.values(value)) spoil(item);
    Object.assign(value, { spoilt: true });
  }
}

test('a cell that was read before its key was removed tells nothing about where the key is now', () => {
  const tables = ['with the cell', 'without'].map((way) => {
    const table = new StateTable({ uid: 'op', numPartitions: 1, cellsMax: 0 });
    const partition = table.partition(0);
    const commit = (key: string, value: unknown, before?: Cell): void => {
      if (value === undefined) partition.remove(0, key);
      else partition.put(0, key, key, value, 0, before);
      table.seal();
      table.merge();
    };
    commit('a', 1);
    const cell = partition.get(0, 'a');
    commit('a', undefined);
    commit('a', 2, way === 'without' ? undefined : cell);
    return { keys: table.keyCount, value: partition.get(0, 'a')?.value, fingerprint: table.fingerprint };
  });
  expect(tables[0]).toEqual({ keys: 1, value: 2, fingerprint: tables[1]!.fingerprint });
});

test('what is written as it was is not stored again in a pane kept as bytes, and is read as it is', () => {
  const table = new StateTable({ uid: 'op', numPartitions: 1, cellsMax: 0 });
  const partition = table.partition(0);
  const keys = Array.from({ length: 400 }, (_, i) => `key ${i}`);
  const write = (valueAt: (i: number) => unknown): Uint8Array => {
    keys.forEach((key, i) => {
      partition.put(0, key, key, valueAt(i), 0, i % 2 === 0 ? partition.get(0, key) : undefined);
    });
    const { bytes } = table.seal();
    keys.forEach((key, i) => {
      expect(partition.get(0, key)?.value).toEqual(valueAt(i));
    });
    table.merge();
    keys.forEach((key, i) => {
      expect(partition.get(0, key)?.value).toEqual(valueAt(i));
    });
    return bytes;
  };
  const first = write((i) => ({ at: i }));
  // Of 400 changes are left: none, those of one byte more in their count, and nearly all.
  for (const changed of [0, 1, 127, 128, 300, 399]) {
    const restored = new StateTable({ uid: 'op', numPartitions: 1, cellsMax: 0 });
    restored.restore(first, true);
    const bytes = write((i) => ({ at: i < changed ? -i - changed : i }));
    expect(bytes.length).toBeLessThan(changed === 0 ? 1 : 20 + changed * 30);
    if (bytes.length > 0) restored.restore(bytes, true);
    expect(restored.fingerprint).toBe(table.fingerprint);
    expect(contentOf(restored)).toEqual(contentOf(table));
    write((i) => ({ at: i }));
  }
});

describe('against a Map', () => {
  test.each([
    ['decoded', 8192, 200],
    ['as bytes', 0, 200],
    ['decoded until there are more than two keys', 2, 200],
  ])(
    'a table kept %s agrees over random batches, retries, failures, manifests, restarts',
    (_form, cellsMax, numRuns) => {
      fc.assert(
        fc.property(fc.array(someStep, { minLength: 1, maxLength: 12 }), (steps) => {
          const durable = new Durable(3, cellsMax);
          for (const step of steps) durable.run(step);
        }),
        { numRuns },
      );
    },
  );
});

function put(table: StateTable, key: unknown, value: unknown, pane = 0): void {
  table.partition(hashKey(key) % table.numPartitions).put(pane, keyIdentity(key), key, value);
}

function commit(table: StateTable): Uint8Array {
  const { bytes } = table.seal();
  table.merge();
  return bytes;
}

describe('a table', () => {
  test('seals to no bytes when nothing changed', () => {
    const table = new StateTable({ uid: 'op', numPartitions: 2 });
    put(table, 'a', 1);
    expect(commit(table).length).toBeGreaterThan(0);
    expect(commit(table)).toHaveLength(0);
    put(table, 'a', 2);
    table.discard();
    expect(table.seal()).toMatchObject({ bytes: new Uint8Array(0), fingerprint: table.fingerprint });
  });

  test('leaves no trace of a key that a batch makes and removes again', () => {
    const table = new StateTable({ uid: 'op', numPartitions: 1 });
    commit(table);
    const before = table.fingerprint;
    put(table, 'a', 1);
    table.partition(0).remove(0, 'a');
    expect(commit(table).length).toBeLessThanOrEqual(1);
    expect(table.fingerprint).toBe(before);
    expect(contentOf(table).cells).toEqual([]);
  });

  test('says which operator does not read back what was committed', () => {
    const table = new StateTable({ uid: 'totals', numPartitions: 2 });
    put(table, 'a', 1);
    commit(table);
    const other = new StateTable({ uid: 'totals', numPartitions: 2 });
    put(other, 'a', 2);
    commit(other);
    expect(() => other.verify(undefined)).not.toThrow();
    expect(() => other.verify(table.fingerprint)).toThrow(TidemarkError);
    expect(() => other.verify(table.fingerprint)).toThrow(/operator 'totals'.*nothing was deleted or overwritten/s);
  });

  test('fingerprints tell entries in other panes, swapped values and missing entries apart', () => {
    const fingerprints = [
      [['a', 1, 1]],
      [['a', 1, 2]],
      [['a', 2, 1]],
      [
        ['a', 1, 1],
        ['b', 2, 1],
      ],
      [
        ['a', 2, 1],
        ['b', 1, 1],
      ],
      [],
    ].map((entries) => {
      const table = new StateTable({ uid: 'op', numPartitions: 3 });
      for (const [key, value, pane] of entries) put(table, key, value, pane as number);
      commit(table);
      return table.fingerprint;
    });
    expect(new Set(fingerprints).size).toBe(fingerprints.length);
  });

  test('fingerprints do not depend on the number of partitions or the order of arrival', () => {
    const keys = Array.from({ length: 50 }, (_, i) => `k${i}`);
    const of = (numPartitions: number, order: readonly string[]): string => {
      const table = new StateTable({ uid: 'op', numPartitions });
      for (const key of order) put(table, key, key.length);
      commit(table);
      return table.fingerprint;
    };
    expect(of(1, keys)).toBe(of(7, keys.toReversed()));
  });
});

describe('an operator that starts anew under a known uid', () => {
  /** What a log keeps of a first operator: a manifest with a base and a delta, and records after it. */
  function firstOperator(): { readonly manifest: readonly Uint8Array[]; readonly records: readonly Uint8Array[] } {
    const table = new StateTable({ uid: 'op', numPartitions: 2 });
    put(table, 'old', 1);
    put(table, 'pane', 1, 3);
    table.meta = { old: true };
    commit(table);
    const base = extentsOf(table, 'base');
    table.manifestWritten();
    put(table, 'older', 2);
    commit(table);
    const delta = extentsOf(table, 'delta');
    put(table, 'oldest', 3);
    return { manifest: [...base, ...delta], records: [commit(table)] };
  }

  function restored(manifest: readonly Uint8Array[], records: readonly Uint8Array[]): StateTable {
    const table = new StateTable({ uid: 'op', numPartitions: 2 });
    for (const bytes of manifest) table.restore(bytes, false);
    for (const bytes of records) table.restore(bytes, true);
    return table;
  }

  test('finds its own state again, whatever the log holds from before', () => {
    const before = firstOperator();
    const table = new StateTable({ uid: 'op', numPartitions: 2 });
    put(table, 'new', 1);
    const own = [commit(table)];
    put(table, 'newer', 2);
    table.meta = 5;
    own.push(commit(table));

    const fromRecords = restored(before.manifest, [...before.records, ...own]);
    fromRecords.verify(table.fingerprint);
    expectSameContent(contentOf(fromRecords), contentOf(table), true);

    // The next manifest may ask for a delta on top of what it lists already.
    for (const source of [table, fromRecords]) {
      const delta = extentsOf(source, 'delta');
      const fromManifest = restored([...before.manifest, ...delta], []);
      fromManifest.verify(source.fingerprint);
      expectSameContent(contentOf(fromManifest), contentOf(source), true);
      source.manifestWritten();
      put(source, 'newest', 3);
      const record = commit(source);
      const later = restored([...before.manifest, ...delta], [record]);
      later.verify(source.fingerprint);
      expect(later.meta).toBe(5);
      put(later, 'last', 1);
      commit(later);
      expect(restored([...before.manifest, ...delta, ...extentsOf(later, 'delta')], []).fingerprint).toBe(
        later.fingerprint,
      );
    }
  });

  test('voids the old state even when it stores nothing itself', () => {
    const before = firstOperator();
    const table = new StateTable({ uid: 'op', numPartitions: 2 });
    const record = commit(table);
    const again = restored(before.manifest, [...before.records, record]);
    again.verify(table.fingerprint);
    expect(contentOf(again)).toEqual({ meta: undefined, cells: [] });
  });

  test('says so again when its first batch failed', () => {
    const before = firstOperator();
    const table = new StateTable({ uid: 'op', numPartitions: 2 });
    put(table, 'new', 1);
    table.seal();
    table.discard();
    const record = commit(table);
    expect(contentOf(restored(before.manifest, [...before.records, record])).cells).toEqual([]);
  });
});
