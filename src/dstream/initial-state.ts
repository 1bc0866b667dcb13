import { keyIdentity } from '../base/canonical-key.ts';
import { TidemarkError } from '../base/errors.ts';
import { keysPerStep, type Steps } from '../base/turns.ts';
import type { StatePartition } from '../state/state-partition.ts';
import type { StateTable } from '../state/state-table.ts';

/** Rows a state begins with. */
export type InitialState<K, S> = readonly (readonly [K, S])[];

/** What a task of the first batch does first, for its partition. */
export type InitialStateLoad = (state: StatePartition, partition: number, timeMs: number) => Steps;

const applied = 1;

/**
 * Puts the initial state into a table in the first batch of the stream that has the operator, and never again: the table's
 * meta value remembers it. A table that holds keys already, because an older program made them, is left alone.
 */
export class InitialStateLoader<K, S> {
  readonly #table: StateTable;
  readonly #rows: InitialState<K, S>;
  readonly #partitionOf: (key: unknown) => number;

  /** @throws OPTION_INVALID */
  constructor(table: StateTable, rows: InitialState<K, S>, partitionOf: (key: unknown) => number) {
    requirePairs(table.uid, rows);
    this.#table = table;
    this.#rows = rows;
    this.#partitionOf = partitionOf;
  }

  /** What a batch's tasks have to do first, each for its partition; undefined when there is nothing to load. */
  begin(): InitialStateLoad | undefined {
    if (this.#rows.length === 0 || this.#table.meta === applied || this.#table.keyCount > 0) return undefined;
    this.#table.meta = applied;
    return (state, partition, timeMs) => this.#load(state, partition, timeMs);
  }

  *#load(state: StatePartition, partition: number, timeMs: number): Steps {
    for (const [index, [key, value]] of this.#rows.entries()) {
      if (this.#partitionOf(key) === partition) state.put(0, keyIdentity(key), key, value, timeMs);
      if ((index + 1) % keysPerStep === 0) yield;
    }
  }
}

function requirePairs(uid: string, rows: unknown): void {
  const problem = (what: string): TidemarkError =>
    new TidemarkError(
      'OPTION_INVALID',
      `The initial state of '${uid}' must be an array of [key, state] pairs; ${what}.`,
    );
  if (!Array.isArray(rows)) throw problem(`it is ${rows === null ? 'null' : `of type ${typeof rows}`}`);
  rows.forEach((row, i) => {
    if (!Array.isArray(row) || row.length !== 2) throw problem(`row ${i} is none`);
    if (row[1] === undefined) throw problem(`the state of row ${i} is undefined, which means no state`);
  });
}
