import type { LogRecord, Manifest } from './log-record.ts';
import type { BytesByKind } from './metered-store.ts';

/** What a commit says of itself. */
export interface CommitReceipt {
  readonly slot: number;
  /** Of its segments, and of the record, which counts for the first batch in it. */
  readonly bytes: number;
  readonly segments: number;
  /** How many are in the same record. */
  readonly batches: number;
}

/** A record that is durable, and what it took. */
export interface Appended {
  readonly record: LogRecord;
  readonly bytes: number;
  readonly encodeStartMs: number;
  readonly encodeMs: number;
  readonly uploadMs: number;
}

/** What a start would find, and what retention keeps. */
export interface LogStanding {
  readonly floor: number;
  readonly recordsSinceManifest: number;
  /** State in the manifest and in the records after it. */
  readonly stateBytes: number;
  readonly written: BytesByKind;
}

export function standingOf(
  manifest: Manifest | undefined,
  log: {
    readonly floor: number;
    readonly tailSlot: number;
    readonly bytesSince: number;
    readonly written: BytesByKind;
  },
): LogStanding {
  const { floor, tailSlot, bytesSince, written } = log;
  const extents = manifest?.extents ?? [];
  return {
    floor,
    recordsSinceManifest: tailSlot - (manifest?.slot ?? 0),
    stateBytes: extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, bytesSince),
    written,
  };
}
