import type { Partitioner } from './partitioner.ts';
import type { RDD } from './rdd.ts';

/** Lets an array literal returned by a function infer as a tuple: `map((word) => [word, 1])` gives pairs. */
// biome-ignore lint/complexity/noBannedTypes: {} | null | undefined is every type; the [] is the hint.
export type Row = {} | null | undefined | [];

/** `1` -> `number`: what is combined from literals is no literal. A union of texts ('on' | 'off') stays as it is. */
export type Widen<V> = [V] extends [number]
  ? number
  : [V] extends [bigint]
    ? bigint
    : [V] extends [string]
      ? IsUnion<V> extends true
        ? V
        : string
      : [V] extends [boolean]
        ? boolean
        : V;
type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never;

export type Pairs<K, V> = RDD<readonly [K, V]>;
/** Partitions of the result: how many, or by which partitioner. Default: see `choosePartitioner`. */
export type Partitioning = number | Partitioner;
export type Comparator<T> = (a: T, b: T) => number;
