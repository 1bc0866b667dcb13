import type { Time } from '../base/time.ts';
import type { RDD } from '../rdd/rdd.ts';
import { rowText } from '../rdd/row-text.ts';
import type { Sink } from '../sinks/sink.ts';
import type { StreamNode } from './stream-node.ts';

/** Identity of a batch for writers that must recognise a repetition: (generation, batchId) never names two contents. */
export interface BatchInfo {
  readonly batchTime: Time;
  /** Dense counter in the log, from 1. */
  readonly batchId: number;
  /** Counts rewinds of the stream, from 0. */
  readonly generation: number;
}

export type ForeachBody<T> = (rdd: RDD<T>, time: Time, batch: BatchInfo) => void | Promise<void>;

/** The rows of one partition of a batch; with the partition's number as a part of its identity. */
export type PartitionBody<T> = (
  rows: readonly T[],
  batch: BatchInfo & { readonly partition: number },
) => void | Promise<void>;

/** Runs while the batch runs, again after a crash: at least once, the same rows each time. */
export interface ForeachOutput {
  readonly kind: 'foreach';
  readonly uid: string;
  readonly stream: StreamNode<unknown>;
  readonly body: ForeachBody<unknown>;
}

/** Shows the first rows once the batch is committed: at most once. */
export interface PrintOutput {
  readonly kind: 'print';
  readonly uid: string;
  readonly stream: StreamNode<unknown>;
  readonly rowsMax: number;
}

/** Staged before the commit, published after it. */
export interface SinkOutput {
  readonly kind: 'sink';
  readonly uid: string;
  readonly stream: StreamNode<unknown>;
  readonly sink: Sink<unknown>;
}

export type Output = ForeachOutput | PrintOutput | SinkOutput;

/** Spark's layout of `print()`. `rows` holds one more than `rowsMax` when there are more. */
export function formatPrint(rows: readonly unknown[], rowsMax: number, time: Time): string {
  const line = '-------------------------------------------';
  const shown = rows.slice(0, rowsMax).map(rowText);
  const more = rows.length > rowsMax ? ['...'] : [];
  return [line, `Time: ${time}`, line, ...shown, ...more, ''].join('\n');
}
