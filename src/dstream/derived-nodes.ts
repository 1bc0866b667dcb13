import { describeKind } from '../base/data-path.ts';
import { TidemarkError } from '../base/errors.ts';
import type { Duration, Time } from '../base/time.ts';
import { RDD } from '../rdd/rdd.ts';
import type { Batch } from './batch.ts';
import { KeyedWindowNode, type KeyedWindowOptions } from './keyed-window.ts';
import { PerBatchNode } from './per-batch.ts';
import type { StreamNode } from './stream-node.ts';

/** A stream whose RDD is built from the RDD of one other in the same batch. */
export function derive<T, U>(
  operator: string,
  parent: StreamNode<T>,
  build: (rdd: RDD<T>, batch: Batch) => RDD<U>,
): StreamNode<U> {
  return new PerBatchNode<U>(operator, [parent], ([rdd], batch) => build(rdd as RDD<T>, batch));
}

/** The same from the RDDs of two. */
export function combine<A, B, U>(
  operator: string,
  left: StreamNode<A>,
  right: StreamNode<B>,
  build: (left: RDD<A>, right: RDD<B>, batch: Batch) => RDD<U>,
): StreamNode<U> {
  return new PerBatchNode<U>(operator, [left, right], ([a, b], batch) => build(a as RDD<A>, b as RDD<B>, batch), true);
}

/** Rows of all streams, in the order of the streams. They must have one context and one slide. */
export function unionOf<T>(streams: readonly StreamNode<T>[]): StreamNode<T> {
  return new PerBatchNode<T>('union', streams, (rdds, batch) => batch.rdds.union(rdds as readonly RDD<T>[]), true);
}

/** `f` makes one RDD per batch from those of all streams. */
export function transformOf<U>(
  operator: string,
  streams: readonly StreamNode<unknown>[],
  f: (rdds: readonly RDD<unknown>[], time: Time) => RDD<U>,
): StreamNode<U> {
  requireFunction(operator, f);
  return new PerBatchNode<U>(operator, streams, (rdds, batch) => requireRdd(operator, f(rdds, batch.time)), true);
}

export interface WindowArguments<K, V> {
  readonly inverse: ((a: V, b: V) => V) | undefined;
  readonly length: Duration;
  readonly slide: Duration | undefined;
  readonly options: KeyedWindowOptions<K, V> | undefined;
}

/** `[inverse], length, [slide], [options]`. */
export function windowArguments<K, V>(rest: readonly unknown[]): WindowArguments<K, V> {
  const inverse = typeof rest[0] === 'function' ? (rest[0] as (a: V, b: V) => V) : undefined;
  const [length, slide, options] = inverse === undefined ? rest : rest.slice(1);
  return { inverse, length, slide, options } as WindowArguments<K, V>;
}

/** A window over a single key. */
export function reduceWindow<T>(
  operator: string,
  stream: StreamNode<T>,
  reduce: (a: T, b: T) => T,
  { inverse, length, slide, options }: WindowArguments<null, T>,
): StreamNode<T> {
  const keyed = derive(operator, stream, (rdd) => rdd.map((row): [null, T] => [null, row]));
  const window = {
    operator,
    reduce,
    inverse,
    length,
    slide,
    uid: options?.uid,
    schema: options?.schema,
    numPartitions: 1,
  };
  return derive(operator, new KeyedWindowNode<null, T>(keyed, window), (rdd) => rdd.values());
}

export function requireFunction(operator: string, f: unknown): void {
  if (typeof f === 'function') return;
  throw new TidemarkError('OPTION_INVALID', `${operator}(${String(f)}): the argument must be a function.`);
}

function requireRdd<T>(operator: string, rdd: unknown): RDD<T> {
  if (rdd instanceof RDD) return rdd;
  throw new TidemarkError(
    'GRAPH_INVALID',
    `The function of ${operator} must return an RDD, at once, not ${describeKind(rdd)}.`,
  );
}
