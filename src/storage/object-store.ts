import type { OperationCounters } from './operation-counters.ts';

/**
 * The port every durable byte goes through: a flat space of immutable-by-convention objects with conditional writes.
 *
 * Names are relative to the root the store was opened on: 1-900 characters, `/` between segments, no segment empty,
 * `.` or `..`. Bytes given to a write are not copied and must not be changed until it resolves; bytes returned belong
 * to the caller.
 *
 * Races are outcomes, not exceptions: `done` the write is ours and durable; `lost` another writer's object is there;
 * `unknown` the retries were used up without an answer, the write may still land (design trap 1 and 2: resend the
 * identical bytes with the same commit id, never guess).
 *
 * Every other failure is a TidemarkError: STORE_UNAVAILABLE, STORE_FORBIDDEN, CREDENTIALS_INVALID, CONTAINER_MISSING,
 * OPTION_INVALID for a bad name, CANCELLED.
 *
 * Calls may overlap. `serverTimeMs` is the store's own clock (1 s resolution on Blob), the only clock an age rule may use.
 */
export interface ObjectStore {
  /** Canonical form of the root, without secrets: for messages and the UI. */
  readonly url: string;
  readonly operations: OperationCounters;

  /** Whole object, or `length` bytes from `offset` (less if it ends there). */
  get(name: string, range?: ByteRange): Promise<GetOutcome>;
  head(name: string): Promise<HeadOutcome>;
  /**
   * Creates the object if the name is free. `commitId` (32 hex digits, fresh per content) marks the write, so that after
   * an ambiguous answer the object there can be recognised as ours: then the outcome is `done` with `recognised`.
   */
  putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome>;
  /** Replaces the object if it still has `etag`; `etag` undefined: creates it if the name is free. */
  compareAndSwap(name: string, bytes: Uint8Array, etag: string | undefined, commitId: string): Promise<PutOutcome>;
  /** Objects whose name starts with `prefix`, in ascending order of name (UTF-16 code units), after `after` (exclusive). Pages are fetched as they are consumed. */
  list(prefix: string, after?: string): AsyncIterable<ObjectInfo>;
  /** Removes the objects; names that don't exist are fine. Resolves with the names the store refused to delete. */
  delete(names: readonly string[]): Promise<DeleteOutcome>;
  /**
   * What the service says of itself that the owner of a checkpoint should know, in sentences; `name` is of an object that
   * exists. Asks only what the credentials allow. Absent: there is nothing to tell.
   */
  protections?(name: string): Promise<readonly string[]>;
  /** Releases connections. Idempotent; operations after it fail with CANCELLED. */
  close(): Promise<void>;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface ObjectInfo {
  readonly name: string;
  readonly sizeBytes: number;
  /** When it was last written, by the store's clock (whole seconds on Blob). */
  readonly modifiedMs: number;
}

export type GetOutcome =
  | { readonly status: 'found'; readonly bytes: Uint8Array; readonly etag: string; readonly serverTimeMs: number }
  | { readonly status: 'missing'; readonly serverTimeMs: number };

export type HeadOutcome =
  | {
      readonly status: 'found';
      readonly sizeBytes: number;
      readonly etag: string;
      /** As given to the write; undefined when the store cannot keep it (file system) or another tool wrote the object. */
      readonly commitId: string | undefined;
      readonly serverTimeMs: number;
    }
  | { readonly status: 'missing'; readonly serverTimeMs: number };

export type PutOutcome =
  | {
      readonly status: 'done';
      readonly etag: string;
      readonly serverTimeMs: number;
      /** True when the store answered that the name was taken or the outcome was unclear, and the object turned out to be ours. */
      readonly recognised: boolean;
    }
  | { readonly status: 'lost'; readonly serverTimeMs: number }
  | { readonly status: 'unknown'; readonly cause: unknown };

export interface DeleteOutcome {
  readonly refused: readonly string[];
  readonly serverTimeMs: number;
}
