import type { Clock } from '../base/clock.ts';
import type { CrashHook } from '../base/crash-points.ts';
import { TidemarkError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';

export interface CheckpointOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly crashHook?: CrashHook | undefined;
  /** Told of every record with batches, when it is durable. Must not throw. */
  readonly onCommitted?: ((commit: CommittedRecord) => void) | undefined;
  /** Deltas of a batch up to this sum ride in its record: one write. Default 4 MiB. */
  readonly inlineBytesMax?: number | undefined;
  /** Size of one segment or snapshot object. Default 64 MiB. */
  readonly segmentBytesMax?: number | undefined;
  /** A manifest is due after so many records: it bounds what a recovery reads. Default 100. */
  readonly manifestEveryRecords?: number | undefined;
  /** A manifest is also due after so many bytes of deltas. Default 64 MiB. */
  readonly manifestEveryBytes?: number | undefined;
  /** Bounds what is written for a byte of change: 1 + 1/alpha. Bases are written anew accordingly. Default 0.5. */
  readonly compactionAlpha?: number | undefined;
  /** So many newest manifests, and all records after the oldest of them, are kept. Default 2. */
  readonly retainManifests?: number | undefined;
  /** Records and what they refer to are kept at least so long, by the store's clock: for readers of outboxes. Default 0. */
  readonly retainMs?: number | undefined;
  /** How long an unknown outcome is resent before COMMIT_UNKNOWN. Default 5 minutes. */
  readonly commitTimeoutMs?: number | undefined;
  /**
   * After a silence longer than this (by the store's clock) the floor is checked after a write. Nothing is deleted
   * before it is twice as old. Default 5 minutes.
   */
  readonly silenceThresholdMs?: number | undefined;
  /** How often a driver looks for requests of tools, one listing each time; 0: never. Default 30 s. */
  readonly requestPollMs?: number | undefined;
  /** Ends waits between retries. */
  readonly signal?: AbortSignal | undefined;
}

export interface CheckpointSettings {
  readonly clock: Clock;
  readonly random: Random;
  readonly crashHook: CrashHook;
  readonly onCommitted: (commit: CommittedRecord) => void;
  readonly inlineBytesMax: number;
  readonly segmentBytesMax: number;
  readonly manifestEveryRecords: number;
  readonly manifestEveryBytes: number;
  readonly compactionAlpha: number;
  readonly retainManifests: number;
  readonly retainMs: number;
  readonly commitTimeoutMs: number;
  readonly silenceThresholdMs: number;
  readonly signal: AbortSignal | undefined;
}

/** A record with batches that became durable, and what it took. */
export interface CommittedRecord {
  readonly slot: number;
  readonly firstBatchId: number;
  readonly lastBatchId: number;
  readonly lastBatchTimeMs: number;
  readonly batches: number;
  readonly waitMs: number;
  readonly encodeMs: number;
  readonly uploadMs: number;
  readonly changeBytes: number;
}

/** @throws OPTION_INVALID */
export function requestPollMs({ requestPollMs: given }: Pick<CheckpointOptions, 'requestPollMs'>): number {
  return integer('requestPollMs', given ?? 30_000, 0, 2 ** 31 - 1);
}

const mebibyte = 1024 * 1024;

/** @throws OPTION_INVALID */
export function checkpointSettings(options: CheckpointOptions): CheckpointSettings {
  return {
    clock: options.clock,
    random: options.random,
    crashHook: options.crashHook ?? (() => {}),
    onCommitted: options.onCommitted ?? (() => {}),
    inlineBytesMax: integer('inlineBytesMax', options.inlineBytesMax ?? 4 * mebibyte, 0, 1024 * mebibyte),
    segmentBytesMax: integer('segmentBytesMax', options.segmentBytesMax ?? 64 * mebibyte, 1, 1024 * mebibyte),
    manifestEveryRecords: integer('manifestEveryRecords', options.manifestEveryRecords ?? 100, 1, 100_000),
    manifestEveryBytes: integer('manifestEveryBytes', options.manifestEveryBytes ?? 64 * mebibyte, 1, 2 ** 40),
    compactionAlpha: number('compactionAlpha', options.compactionAlpha ?? 0.5, 0, 100),
    retainManifests: integer('retainManifests', options.retainManifests ?? 2, 1, 1000),
    retainMs: integer('retainMs', options.retainMs ?? 0, 0, 2 ** 40),
    commitTimeoutMs: integer('commitTimeoutMs', options.commitTimeoutMs ?? 300_000, 0, 2 ** 40),
    silenceThresholdMs: integer('silenceThresholdMs', options.silenceThresholdMs ?? 300_000, 0, 2 ** 40),
    signal: options.signal,
  };
}

function number(name: string, value: number, min: number, max: number): number {
  if (Number.isFinite(value) && value >= min && value <= max) return value;
  throw new TidemarkError(
    'OPTION_INVALID',
    `Checkpoint option ${name} is ${value}; give a number from ${min} to ${max}.`,
  );
}

function integer(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new TidemarkError(
    'OPTION_INVALID',
    `Checkpoint option ${name} is ${value}; give a whole number from ${min} to ${max}.`,
  );
}
