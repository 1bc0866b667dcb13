import { keyIdentity } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { copyPlain } from '../base/plain-data.ts';
import type { RDD } from './rdd.ts';
import { type LoopOwner, pushRows, sortInTurns, visitInTurns } from './row-loops.ts';
import type { Comparator } from './row-types.ts';
import { SmallestRows } from './smallest-rows.ts';
import { andThen, called, isPromise, pipeWhile, rowsOf } from './task.ts';
import { checkFunction, checkInteger } from './validation.ts';

/** What makes an RDD be computed. Each is one job, `take` and `first` several small ones. */

export async function collect<T>(rdd: RDD<T>): Promise<T[]> {
  const partitions = await rdd.collectPartitions();
  return partitions.length === 1 ? partitions[0]! : joined(partitions, driverOf(rdd));
}

// Up to here the whole is copied within a millisecond or two; concat() copies whole arrays, flat() goes through the rows.
const rowsAtOnce = 100_000;

async function joined<T>(parts: readonly T[][], owner: LoopOwner): Promise<T[]> {
  if (parts.reduce((sum, { length }) => sum + length, 0) <= rowsAtOnce) return ([] as T[]).concat(...parts);
  const rows: T[] = [];
  for (const part of parts) await pushRows(part, (row) => rows.push(row), owner);
  return rows;
}

/** What an action itself does with many rows, after its tasks. */
function driverOf(rdd: RDD<unknown>): LoopOwner {
  return { turns: rdd.context.turns, partition: 0, watch: undefined };
}

export async function* toLocalIterator<T>(rdd: RDD<T>): AsyncGenerator<T, void, undefined> {
  for (let p = 0; p < rdd.numPartitions; p++) {
    const [rows] = await rdd.context.runner.run(rdd, (partition, task) => rowsOf(rdd, partition, task), [p]);
    yield* rows!;
  }
}

export async function count<T>(rdd: RDD<T>): Promise<number> {
  const counts = await rdd.context.runner.run(rdd, (partition, task) => {
    let rows = 0;
    const done = rdd.pipe(partition, task, () => {
      rows++;
    });
    return andThen(done, () => rows);
  });
  return counts.reduce((a, b) => a + b, 0);
}

// After a job that found too little, look at this many times more partitions than so far.
const takeGrowth = 4;

export async function take<T>(rdd: RDD<T>, n: number): Promise<T[]> {
  checkInteger('take: n', n, 0);
  const rows: T[] = [];
  let next = 0;
  while (rows.length < n && next < rdd.numPartitions) {
    const end = Math.min(rdd.numPartitions, next === 0 ? 1 : next * (takeGrowth + 1));
    const missing = n - rows.length;
    const partitions = Array.from({ length: end - next }, (_, i) => next + i);
    const found = await rdd.context.runner.run(
      rdd,
      (partition, task) => {
        const part: T[] = [];
        const done = pipeWhile(rdd, partition, task, (row) => part.push(row) < missing);
        return andThen(done, () => part);
      },
      partitions,
    );
    for (const part of found) for (const row of part) if (rows.length < n) rows.push(row);
    next = end;
  }
  return rows;
}

export async function first<T>(rdd: RDD<T>): Promise<T> {
  const rows = await take(rdd, 1);
  if (rows.length === 0) throw empty('first');
  return rows[0]!;
}

export async function isEmpty<T>(rdd: RDD<T>): Promise<boolean> {
  return (await take(rdd, 1)).length === 0;
}

export async function takeOrdered<T>(
  rdd: RDD<T>,
  n: number,
  compare: Comparator<T>,
  name: string = 'takeOrdered',
): Promise<T[]> {
  checkInteger(`${name}: n`, n, 0);
  checkFunction(`${name}: compare`, compare);
  if (n === 0) return [];
  const best = await rdd.context.runner.run(rdd, (partition, task) => {
    const rows = new SmallestRows(n, compare);
    const done = rdd.pipe(partition, task, (row) => rows.push(row));
    return andThen(done, () => sortInTurns(rows.rows(), compare, task));
  });
  const owner = driverOf(rdd);
  const rows = await sortInTurns(await joined(best, owner), compare, owner);
  return rows.length > n ? rows.slice(0, n) : rows;
}

/** @param own makes a row that `f` may change, before its first call in a partition. */
export async function reduce<T>(
  rdd: RDD<T>,
  name: string,
  f: (a: T, b: T) => T,
  own: (row: T) => T = (row) => row,
): Promise<T> {
  checkFunction(`${name}: f`, f);
  const parts = await rdd.context.runner.run(rdd, (partition, task) => {
    let result: T[] = [];
    let rows = 0;
    const add = (row: T): void => {
      rows++;
      if (rows === 1) result = [row];
      else result[0] = f(rows === 2 ? own(result[0]!) : result[0]!, row);
    };
    const done = rdd.pipe(partition, task, task.watch?.into({ name, origin: undefined }, add) ?? add);
    return andThen(done, () => ({ result, isOwned: rows > 1 }));
  });
  const [first, ...rest] = parts.filter((part) => part.result.length > 0);
  if (first === undefined) throw empty(name);
  let result = first.result[0] as T;
  if (!first.isOwned && rest.length > 0) result = own(result);
  for (const part of rest) result = f(result, part.result[0] as T);
  return result;
}

export async function aggregate<T, A>(
  rdd: RDD<T>,
  name: string,
  zero: A,
  merge: (result: A, row: T) => A,
  combine: (a: A, b: A) => A,
): Promise<A> {
  checkFunction(`${name}: ${name === 'fold' ? 'f' : 'merge'}`, merge);
  checkFunction(`${name}: combine`, combine);
  const seed = copyPlain(zero);
  const parts = await rdd.context.runner.run(rdd, (partition, task) => {
    let result = copyPlain(seed);
    const add = (row: T): void => {
      result = merge(result, row);
    };
    const done = rdd.pipe(partition, task, task.watch?.into({ name, origin: undefined }, add) ?? add);
    return andThen(done, () => result);
  });
  let result = seed;
  for (const part of parts) result = combine(result, part);
  return result;
}

export async function foreach<T>(rdd: RDD<T>, f: (row: T) => void | Promise<void>): Promise<void> {
  checkFunction('foreach: f', f);
  await rdd.context.runner.run(rdd, async (partition, task) => {
    const rows = await rowsOf(rdd, partition, task);
    let next = 0;
    const untilItWaits = (): Promise<void> | undefined => {
      while (next < rows.length) {
        const done = f(rows[next++]!);
        if (isPromise(done)) return done;
      }
    };
    while (next < rows.length) await called(task, { name: 'foreach', origin: undefined }, untilItWaits);
  });
}

export async function foreachPartition<T>(
  rdd: RDD<T>,
  f: (rows: readonly T[], partition: number) => void | Promise<void>,
): Promise<void> {
  checkFunction('foreachPartition: f', f);
  await rdd.context.runner.run(rdd, async (partition, task) => {
    const rows = await rowsOf(rdd, partition, task);
    await called(task, { name: 'foreachPartition', origin: undefined }, () => f(rows, partition));
  });
}

export async function countByValue<T>(rdd: RDD<T>): Promise<Map<T, number>> {
  const parts = await rdd.context.runner.run(rdd, (partition, task) => {
    const counts = new Map<unknown, { readonly row: T; count: number }>();
    const done = rdd.pipe(partition, task, (row) => {
      const identity = keyIdentity(row);
      const known = counts.get(identity);
      if (known === undefined) counts.set(identity, { row, count: 1 });
      else known.count++;
    });
    return andThen(done, () => counts);
  });
  const first = new FirstKeys<T>();
  const result = new Map<T, number>();
  const owner = driverOf(rdd);
  for (const part of parts) {
    const add = ([identity, { row, count }]: [unknown, { readonly row: T; readonly count: number }]): void => {
      const key = first.of(identity, row);
      result.set(key, (result.get(key) ?? 0) + count);
    };
    await visitInTurns(part, part.size, add, owner);
  }
  return result;
}

export async function collectAsMap<K, V>(rdd: RDD<readonly [K, V]>): Promise<Map<K, V>> {
  const first = new FirstKeys<K>();
  const result = new Map<K, V>();
  const add = ([key, value]: readonly [K, V]): void => {
    result.set(first.of(keyIdentity(key), key), value);
  };
  for (const part of await rdd.collectPartitions()) await pushRows(part, add, driverOf(rdd));
  return result;
}

/**
 * Of equal keys the one that came first. A Map that grows to a million entries stands still for tens of milliseconds, so
 * none is kept of keys that a Map compares right by themselves.
 */
class FirstKeys<K> {
  readonly #keys = new Map<unknown, K>();

  of(identity: unknown, key: K): K {
    if (identity === key) return key;
    const first = this.#keys.get(identity);
    if (first !== undefined) return first;
    this.#keys.set(identity, key);
    return key;
  }
}

export async function lookup<K, V>(rdd: RDD<readonly [K, V]>, key: K): Promise<V[]> {
  const identity = keyIdentity(key);
  const partitions = rdd.partitioner === undefined ? undefined : [rdd.partitioner.partition(key)];
  const found = await rdd.context.runner.run(
    rdd,
    (partition, task) => {
      const values: V[] = [];
      const done = rdd.pipe(partition, task, (row) => {
        const candidate = keyIdentity(row[0]);
        if (candidate === identity || (Number.isNaN(candidate) && Number.isNaN(identity))) values.push(row[1]);
      });
      return andThen(done, () => values);
    },
    partitions,
  );
  return joined(found, driverOf(rdd));
}

function empty(action: string): TidemarkError {
  return new TidemarkError('EMPTY_COLLECTION', `${action}() was called on an RDD without rows.`);
}
