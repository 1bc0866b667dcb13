import { TidemarkError } from '../base/errors.ts';
import type { Savepoint, StreamStatus } from './records.ts';

// Every one keeps up to a manifest and the records of one manifest interval, and costs every driver one read.
const savepointsMax = 100;
/** No number and no date: both name batches otherwise. */
const nameForm = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;

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
