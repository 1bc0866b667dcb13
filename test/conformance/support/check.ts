import { expect } from 'vitest';
import { TidemarkError } from '../../../src/index.ts';
import { InProcessRunner } from '../../../src/rdd/in-process-runner.ts';
import type { RDD } from '../../../src/rdd/rdd.ts';
import { RddContext } from '../../../src/rdd/rdd-context.ts';
import type { JobRunner } from '../../../src/rdd/task.ts';
import { normalise } from './compare.ts';

let runnerOfAll: JobRunner | undefined;

/** From now on RDDs of cases are computed by it: that of a program, whichever threads that has. Undefined: in this thread. */
export function computeWith(runner: JobRunner | undefined): void {
  runnerOfAll = runner;
}

export function rddContext(defaultParallelism?: number): RddContext {
  return new RddContext({ runner: runnerOfAll ?? new InProcessRunner(), defaultParallelism });
}

/** A method the case needs. Missing: the case fails, naming it. */
export function call<R>(target: object, method: string, ...args: readonly unknown[]): R {
  const found = (target as Readonly<Record<string, unknown>>)[method];
  if (typeof found !== 'function') throw new Error(`${target.constructor.name}.${method} does not exist.`);
  return found.apply(target, args) as R;
}

export async function expectRefused(work: () => unknown): Promise<void> {
  let thrown: unknown;
  try {
    await work();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(TidemarkError);
}

export async function expectRows(rdd: RDD<unknown>, expected: unknown): Promise<void> {
  expect(normalise(await rdd.collect())).toEqual(expected);
}

/** The same rows in any order, each as often. */
export function expectBag(actual: readonly unknown[], expected: readonly unknown[]): void {
  const sort = (rows: readonly unknown[]): unknown[] =>
    rows.map((row) => JSON.stringify(normalise(row))).toSorted((a, b) => (a < b ? -1 : 1));
  expect(sort(actual)).toEqual(sort(expected));
}

/** `[1, 2]` itself, or `1..1000`, `-1000..999`, `shuffled 1..99999`. */
export function dataOf(spec: unknown): unknown[] {
  if (Array.isArray(spec)) return spec;
  const match = /^(shuffled )?(-?\d+)\.\.(-?\d+)$/.exec(String(spec));
  if (match === null) throw new Error(`The runner does not know the data '${String(spec)}'.`);
  const from = Number(match[2]);
  const rows = Array.from({ length: Number(match[3]) - from + 1 }, (_, i) => from + i);
  // Any order that is none: a step that has no factor in common with the length.
  return match[1] === undefined ? rows : rows.map((_, i) => rows[(i * 7919) % rows.length]);
}

export function unknownRow(what: unknown): never {
  throw new Error(`The runner does not know ${JSON.stringify(what)}.`);
}
