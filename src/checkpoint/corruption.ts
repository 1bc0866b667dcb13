import { TidemarkError } from '../base/errors.ts';

/**
 * The error for damage: names the object, what is wrong with it, and the way out. Recovery never goes on with less
 * than was committed, so there is no other outcome than this error.
 */
export function corrupt(object: string, what: string, cause?: unknown): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_CORRUPT',
    `Checkpoint object "${object}": ${what}. Restore this object from soft delete, a version or a copy of the checkpoint, then start again. Nothing was deleted or overwritten.`,
    { ...(cause === undefined ? {} : { cause }), context: { object, problem: what } },
  );
}

export function incompatible(object: string, what: string): TidemarkError {
  return new TidemarkError(
    'CHECKPOINT_INCOMPATIBLE',
    `Checkpoint object "${object}": ${what}. Run the version of Tidemark that wrote it, or a newer one. Nothing was deleted or overwritten.`,
    { context: { object, problem: what } },
  );
}
