import { keysPerStep, type Steps } from '../base/turns.ts';

/** Something in order, and the place where one stands in it. */
interface SortedRun {
  readonly items: ArrayLike<unknown>;
  at: number;
}

/** Visits the items of all runs in order: each time the run whose item at `at` comes first. None of the runs is empty. */
export function* mergeRuns<R extends SortedRun>(
  runs: R[],
  order: (a: R, b: R) => number,
  visit: (run: R) => void,
): Steps {
  const heap = runs;
  for (let i = (heap.length >>> 1) - 1; i >= 0; i--) sink(heap, i, order);
  for (let count = 1; heap.length > 0; count++) {
    const run = heap[0]!;
    visit(run);
    run.at += 1;
    if (run.at === run.items.length) {
      const last = heap.pop()!;
      if (heap.length > 0) heap[0] = last;
    }
    sink(heap, 0, order);
    if (count % keysPerStep === 0) yield;
  }
}

function sink<R>(heap: R[], from: number, order: (a: R, b: R) => number): void {
  const run = heap[from];
  if (run === undefined) return;
  let i = from;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && order(heap[child + 1]!, heap[child]!) < 0) child += 1;
    if (order(heap[child]!, run) >= 0) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = run;
}
