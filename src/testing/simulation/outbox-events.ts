import type { OutboxEvent } from '../../inspect/read-outbox.ts';
import type { BatchIds } from './batch-ids.ts';
import type { CommittedBatch, ExpectedRows, Station } from './line.ts';
import { sameRows } from './same-rows.ts';
import type { Verdict } from './verdict.ts';

type DueEvent<T> =
  | (CommittedBatch<T> & { readonly kind: 'batch'; readonly slot: number; readonly expected: ExpectedRows | undefined })
  | {
      readonly kind: 'rewind';
      readonly batchId: number;
      readonly to: Station<T>;
      readonly slot: number;
      readonly generation: number;
    };

/**
 * What every reader of an outbox must be given: all batches and rewinds of the log in their order.
 *
 * Invariants
 *   H9. A reader gets each of them once, in order, with the rows the batch should give, and not before its record stands
 *       in the log. It misses only what the floor has passed, and is told so.
 */
export class OutboxEvents<T> {
  readonly #verdict: Verdict;
  readonly #ids: BatchIds<T>;
  readonly #events: DueEvent<T>[] = [];

  constructor(verdict: Verdict, ids: BatchIds<T>) {
    this.#verdict = verdict;
    this.#ids = ids;
  }

  get count(): number {
    return this.#events.length;
  }

  batch(batch: CommittedBatch<T> & { readonly slot: number; readonly expected: ExpectedRows | undefined }): void {
    this.#events.push({ ...batch, kind: 'batch' });
  }

  rewind(batchId: number, to: Station<T>, slot: number): void {
    this.#events.push({ kind: 'rewind', batchId, to, slot, generation: this.#ids.generation });
  }

  /**
   * A reader of `output` that has had the first `had` events takes one more; it begins at the oldest one that is left when
   * `isAnew`. Returns how many it has had now. `floor`: what lies below may be gone.
   */
  delivered(output: string, had: number, isAnew: boolean, floor: number, event: OutboxEvent<unknown>): number {
    let at = had;
    while (isAnew && at < this.#events.length && !matches(this.#events[at]!, event)) at += 1;
    const lost = this.#events.slice(had, at).find(({ slot }) => slot > floor);
    const due = this.#events[at];
    const what = event.kind === 'batch' ? `batch ${event.batchId}` : `the rewind to ${event.toBatchId}`;
    if (due === undefined || !matches(due, event)) {
      const is = due === undefined ? 'nothing is due' : `${due.kind} ${due.batchId} is due`;
      this.#verdict.violate(`The reader of '${output}' is given ${what} of generation ${event.generation}, and ${is}.`); // H9
    } else if (lost !== undefined) {
      this.#verdict.violate(
        `The reader of '${output}' is given ${what}; ${lost.kind} ${lost.batchId} is passed over, and the floor is ${floor}.`,
      ); // H9
    } else if (event.kind === 'batch' && due.kind === 'batch') {
      const expected = due.expected?.get(output);
      if (expected !== undefined && !sameRows(expected, event.rows)) {
        this.#verdict.violate(
          `The reader of '${output}' is given ${JSON.stringify(event.rows)} in ${what}, not ${JSON.stringify(expected)}.`,
        ); // H9
      }
    } else if (event.kind === 'rewind' && due.kind === 'rewind') {
      if (this.#ids.get(event.toBatchId)?.station !== due.to) {
        this.#verdict.violate(`The reader of '${output}' is told of ${what}; it went back to ${due.to.batchId}.`); // H9
      }
    }
    return at + 1;
  }
}

function matches<T>(due: DueEvent<T>, event: OutboxEvent<unknown>): boolean {
  if (due.kind !== event.kind || due.generation !== event.generation) return false;
  return (
    event.kind === 'rewind' ||
    (due.kind === 'batch' && due.batchId === event.batchId && due.timeMs === event.batchTimeMs)
  );
}
