/**
 * The narrow operators, as push-style stages: given where rows go, each returns where rows come in.
 *
 * Every function here is self-contained (it names nothing outside itself), because `ownCopy` compiles it anew from its
 * source, so that each pipeline gets its own type feedback. Keep it so: see own-copy.ts.
 */
export type Push<T> = (row: T) => void;
/** A narrow operator: `through` calls it once per partition. */
export type Stage<T, U> = (push: Push<U>) => Push<T>;

export function mapStage<T, U>(f: (row: T) => U, push: Push<U>): Push<T> {
  return (row) => push(f(row));
}

export function filterStage<T>(keep: (row: T) => unknown, push: Push<T>): Push<T> {
  return (row) => {
    if (keep(row)) push(row);
  };
}

export function flatMapStage<T, U>(f: (row: T) => Iterable<U>, push: Push<U>): Push<T> {
  return (row) => {
    const rows = f(row);
    if (Array.isArray(rows)) for (let i = 0; i < rows.length; i++) push(rows[i]);
    else for (const item of rows) push(item);
  };
}

export function mapValuesStage<K, V, W>(f: (value: V) => W, push: Push<[K, W]>): Push<readonly [K, V]> {
  return (row) => push([row[0], f(row[1])]);
}

export function flatMapValuesStage<K, V, W>(f: (value: V) => Iterable<W>, push: Push<[K, W]>): Push<readonly [K, V]> {
  return (row) => {
    const key = row[0];
    for (const value of f(row[1])) push([key, value]);
  };
}

export function keyByStage<T, K>(f: (row: T) => K, push: Push<[K, T]>): Push<T> {
  return (row) => push([f(row), row]);
}

/** One group of equal keys while it is being combined; changed in place. */
export interface Cell<K, C> {
  readonly key: K;
  value: C;
  /** False while the value is a row's own, which must not be changed. */
  isOwned: boolean;
}

/** `own`, if given, turns the first value of a cell into one that a merging function may change. */
type Own<C> = ((value: C) => C) | undefined;

/** Combines by key, before and behind a shuffle. Both call `add` with the cell of a key when they first see it. */
export interface CombineStage {
  readonly combine: <K, V, C>(
    identityOf: (key: K) => unknown,
    create: (value: V) => C,
    mergeValue: (combined: C, value: V) => C,
    own: Own<C>,
    add: (cell: Cell<K, C>) => void,
  ) => Push<readonly [K, V]>;
  /** Merges the cells of blocks, which it is given one after the other, from the first to the last. Changes the first cell of each key. */
  readonly merge: <K, C>(
    identityOf: (key: K) => unknown,
    mergeCombiners: (a: C, b: C) => C,
    own: Own<C>,
    add: (cell: Cell<K, C>) => void,
  ) => (block: readonly Cell<K, C>[], start: number, end: number, isFirst: boolean, isLast: boolean) => void;
}

/** The class of the cells is made here, so that an own copy also has its own field representation. */
export function makeCombineStage(): CombineStage {
  class KeyCell<K, C> {
    readonly key: K;
    value: C;
    isOwned: boolean;

    constructor(key: K, value: C, isOwned: boolean) {
      this.key = key;
      this.value = value;
      this.isOwned = isOwned;
    }
  }
  // Texts and numbers are their own identity, but for a text that begins with the mark of the others: see keyIdentity.
  const combine: CombineStage['combine'] = (identityOf, create, mergeValue, own, add) => {
    const cellOf = new Map();
    return (row) => {
      const key = row[0];
      const isPlain = typeof key === 'string' ? key.charCodeAt(0) !== 0 : typeof key === 'number';
      const identity = isPlain ? key : identityOf(key);
      const cell = cellOf.get(identity);
      if (cell === undefined) {
        const added = new KeyCell(key, create(row[1]), own === undefined);
        cellOf.set(identity, added);
        add(added);
        return;
      }
      if (!cell.isOwned && own !== undefined) {
        cell.value = own(cell.value);
        cell.isOwned = true;
      }
      cell.value = mergeValue(cell.value, row[1]);
    };
  };
  const merge: CombineStage['merge'] = (identityOf, mergeCombiners, own, add) => {
    const cellOf = new Map();
    return (block, start, end, isFirst, isLast) => {
      for (let i = start; i < end; i++) {
        const cell = block[i]!;
        const key = cell.key;
        const isPlain = typeof key === 'string' ? key.charCodeAt(0) !== 0 : typeof key === 'number';
        const identity = isPlain ? key : identityOf(key);
        // Keys of the first block differ from each other, and after the last one nobody looks for them.
        const known = isFirst ? undefined : cellOf.get(identity);
        if (known === undefined) {
          if (!isLast) cellOf.set(identity, cell);
          add(cell);
          continue;
        }
        if (!known.isOwned && own !== undefined) {
          known.value = own(known.value);
          known.isOwned = true;
        }
        known.value = mergeCombiners(known.value, cell.value);
      }
    };
  };
  return { combine, merge };
}

/** For pipelines without a copy of their own. */
export const combineStage: CombineStage = makeCombineStage();
