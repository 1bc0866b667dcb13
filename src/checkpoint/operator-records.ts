import { TidemarkError } from '../base/errors.ts';
import type { CheckpointLog } from './checkpoint-log.ts';
import type { PointState } from './point-manifest.ts';
import type { RewindContent, Savepoint, SeedContent, StreamStatus } from './records.ts';

// Every one keeps up to a manifest and the records of one manifest interval, and costs every driver one read.
const savepointsMax = 100;
/** No number and no date: both name batches otherwise. */
const nameForm = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;

/** A savepoint of the stream as it stands: one write, no copy. @throws OPTION_INVALID, LIMIT_EXCEEDED, BATCH_NOT_RETAINED */
export async function pin(log: CheckpointLog, name: string, requestId: string | undefined): Promise<Savepoint> {
  requirePinnable(log.status, name);
  const content = { name, requestId: requestId ?? null, pinnedMs: log.tailTimeMs };
  await log.appendAsked((place) => ({ ...place, kind: 'pin', pin: content }));
  return savepointNamed(log.status, name);
}

/** What only this savepoint needed goes at the next cleaning. @throws OPTION_INVALID */
export async function unpin(log: CheckpointLog, name: string): Promise<void> {
  savepointNamed(log.status, name);
  await log.appendAsked((place) => ({ ...place, kind: 'unpin', name }));
}

/** Goes back to an earlier batch: its state, positions and time are the present ones from then on. */
export function rewind(log: CheckpointLog, content: RewindContent, state: PointState): Promise<void> {
  return log.appendAsked((place) => ({ ...place, kind: 'rewind', rewind: content }), state);
}

/** Goes on from what another stream, or a person, says. `state` undefined: the keyed state stays as it is. */
export function seed(log: CheckpointLog, content: SeedContent, state: PointState | undefined): Promise<void> {
  return log.appendAsked((place) => ({ ...place, kind: 'seed', seed: content }), state);
}

/** @throws OPTION_INVALID, LIMIT_EXCEEDED, BATCH_NOT_RETAINED */
export function requirePinnable({ savepoints, lastBatch, streamId }: StreamStatus, name: string): void {
  if (!nameForm.test(name)) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `"${name}" is no name for a savepoint: a letter, then up to 63 letters, digits, dots, dashes or underscores.`,
    );
  }
  if (savepoints.some((savepoint) => savepoint.name === name)) {
    throw new TidemarkError(
      'OPTION_INVALID',
      `Stream ${streamId} has a savepoint "${name}" already. Choose another name, or remove that one first.`,
    );
  }
  if (savepoints.length >= savepointsMax) {
    throw new TidemarkError(
      'LIMIT_EXCEEDED',
      `Stream ${streamId} has ${savepoints.length} savepoints, which is the most there can be. Remove one first.`,
    );
  }
  if (lastBatch === undefined) {
    throw new TidemarkError(
      'BATCH_NOT_RETAINED',
      `Stream ${streamId} has not committed a batch yet: there is nothing to keep.`,
    );
  }
}

/** @throws OPTION_INVALID */
export function savepointNamed({ savepoints, streamId }: StreamStatus, name: string): Savepoint {
  const savepoint = savepoints.find((candidate) => candidate.name === name);
  if (savepoint !== undefined) return savepoint;
  const known = savepoints.length === 0 ? 'it has none' : `it has ${savepoints.map((one) => one.name).join(', ')}`;
  throw new TidemarkError('OPTION_INVALID', `Stream ${streamId} has no savepoint "${name}": ${known}.`);
}
