import type { Turns } from '../base/turns.ts';
import type { TaskContext } from './task.ts';

/**
 * Loops over rows, in pieces of a turn of the event loop. Whoever goes through many rows does it with one of these: they
 * look at the clock now and then, and return a promise when they had to pause.
 */

/** Rows between two looks at the clock: few at first, as many as take a good part of a stretch later. */
const rowsFirst = 16;
const rowsMax = 4096;
const pieceMs = 4;
/** Sorted without a look at the clock. */
const runRows = 256;

/** Whose loop it is: a task, or an action that puts together what the tasks gave. */
export type LoopOwner = Pick<TaskContext, 'turns' | 'partition' | 'watch'> & {
  readonly signal?: AbortSignal | undefined;
};

/** Pushes rows [from, to). The array must stay as it is until the promise, if there is one, has resolved. */
export function pushRows<T>(
  rows: readonly T[],
  push: (row: T) => void,
  task: LoopOwner,
  from: number = 0,
  to: number = rows.length,
): void | Promise<void> {
  return inTurns(task, from, to, (start, end) => {
    for (let i = start; i < end; i++) push(rows[i]!);
  });
}

/** Rows of a function's own making: only an array can be left half-way. */
export function pushAll<T>(rows: Iterable<T>, push: (row: T) => void, task: TaskContext): void | Promise<void> {
  if (Array.isArray(rows)) return pushRows<T>(rows, push, task);
  const pushThem = (): void => {
    for (const row of rows) push(row);
  };
  if (task.turns === undefined) pushThem();
  else timed(task, task.turns, 0, 1, pushThem);
}

/** The same for any work that goes by numbers: `step` does [start, end). */
export function inTurns(
  task: LoopOwner,
  from: number,
  to: number,
  step: (start: number, end: number) => void,
): void | Promise<void> {
  const { turns } = task;
  let at = from;
  for (let rows = rowsFirst; at < to; ) {
    const end = turns === undefined ? to : Math.min(to, at + rows);
    if (turns === undefined) return step(at, end);
    const tookMs = timed(task, turns, at, end, step);
    at = end;
    rows = rowsNext(rows, tookMs);
    if (turns.isOver && at < to) return restInTurns(task, turns, { at, to, rows }, step);
  }
}

/** What can only be gone through from its beginning, and has `size` items. */
export function visitInTurns<T>(
  items: Iterable<T>,
  size: number,
  visit: (item: T) => void,
  task: LoopOwner,
): void | Promise<void> {
  const rest = items[Symbol.iterator]();
  return inTurns(task, 0, size, (start, end) => {
    for (let i = start; i < end; i++) visit(rest.next().value as T);
  });
}

/** Array.sort in pieces of a turn: stable, and `rows` may be sorted in place. */
export function sortInTurns<T>(rows: T[], compare: (a: T, b: T) => number, task: LoopOwner): T[] | Promise<T[]> {
  if (task.turns === undefined || rows.length <= rowsMax) return rows.sort(compare);
  return mergeRuns(rows, compare, task);
}

async function mergeRuns<T>(rows: T[], compare: (a: T, b: T) => number, task: LoopOwner): Promise<T[]> {
  const { length } = rows;
  // One run at first, then as many as fit.
  await inTurns(task, 0, Math.ceil(length / runRows) * rowsFirst, (start, end) => {
    for (let run = Math.ceil(start / rowsFirst); run * rowsFirst < end; run++) {
      const sorted = rows.slice(run * runRows, (run + 1) * runRows).sort(compare);
      for (let i = 0; i < sorted.length; i++) rows[run * runRows + i] = sorted[i]!;
    }
  });
  let from = rows;
  let into: T[] = new Array(length);
  for (let width = runRows; width < length; width *= 2) {
    let [left, leftEnd, right, rightEnd] = [0, 0, 0, 0];
    await inTurns(task, 0, length, (start, end) => {
      for (let at = start; at < end; at++) {
        if (at === rightEnd) {
          left = at;
          leftEnd = right = Math.min(at + width, length);
          rightEnd = Math.min(at + 2 * width, length);
        }
        const takesLeft = left < leftEnd && (right === rightEnd || compare(from[left]!, from[right]!) <= 0);
        into[at] = takesLeft ? from[left++]! : from[right++]!;
      }
    });
    [from, into] = [into, from];
  }
  return from;
}

async function restInTurns(
  task: LoopOwner,
  turns: Turns,
  rest: { at: number; readonly to: number; rows: number },
  step: (start: number, end: number) => void,
): Promise<void> {
  while (rest.at < rest.to) {
    if (turns.isOver) {
      await turns.giveUnlessAborted(task.signal, task.partition);
    }
    const end = Math.min(rest.to, rest.at + rest.rows);
    const tookMs = timed(task, turns, rest.at, end, step);
    rest.at = end;
    rest.rows = rowsNext(rest.rows, tookMs);
  }
}

/** Also a piece that ends with an exception, as that of an action which has enough rows, is told of. */
function timed(
  task: LoopOwner,
  turns: Turns,
  start: number,
  end: number,
  step: (start: number, end: number) => void,
): number {
  const startMs = turns.now();
  let tookMs = 0;
  try {
    step(start, end);
  } finally {
    tookMs = turns.now() - startMs;
    task.watch?.piece(tookMs);
  }
  return tookMs;
}

function rowsNext(rows: number, tookMs: number): number {
  const fits = tookMs > 0 ? Math.floor((rows * pieceMs) / tookMs) : rowsMax;
  return Math.max(1, Math.min(4 * rows, fits, rowsMax));
}
