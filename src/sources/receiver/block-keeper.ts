import type { SourcePlan } from '../source.ts';

/** What a receiver stored at once: rows, or rows that are encoded already. */
export type Block<T> = { readonly rows: readonly T[] } | { readonly bytes: Uint8Array; readonly records: number };

/**
 * Keeps blocks from the moment they are stored until the batch they are in is committed, and hands them to batches in
 * the order they came. Positions are numbers that only grow; blocks below a position are in earlier plans.
 */
export interface BlockKeeper<T> {
  /** Where the next plan starts. */
  readonly position: number;
  /** Records that are in no plan yet. */
  readonly backlog: number;

  /** Resolves when the block is kept as safely as this keeper can. @throws VALUE_UNSUPPORTED, LIMIT_EXCEEDED, CANCELLED, SOURCE_FENCED */
  add(block: Block<T>): Promise<void>;
  /** Everything that is in no plan yet. */
  take(): SourcePlan;
  /** Blocks below `position` are in a plan that was made before. */
  takeUpTo(position: number): void;
  /** Rows of one partition of a plan, fresh ones for each call where they were encoded. */
  read(partition: unknown): Promise<readonly T[]>;
  /** The batches up to `position` are committed. */
  free(position: number): void;
  /** Resolves when nothing is being written any more. */
  idle(): Promise<void>;
  close(): void;
}
