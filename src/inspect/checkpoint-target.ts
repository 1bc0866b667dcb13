import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import {
  type CheckpointStorageOptions,
  openCheckpointStore,
  withEncryption,
} from '../storage/open-checkpoint-store.ts';

/** The URL of a checkpoint, or a store that is open on it and stays open. */
export type CheckpointTarget = string | ObjectStore;

export interface CheckpointToolOptions {
  /** How a URL is opened: credentials, retries, keys. */
  readonly storage?: CheckpointStorageOptions | undefined;
}

/** How far a long walk has come. */
export interface WalkProgress {
  /** Objects, or pieces of them, looked at so far. */
  readonly done: number;
  /** It may grow: how much state there is to read is known when the log has been read. */
  readonly total: number;
}

export type OnProgress = (progress: WalkProgress) => void;

/** Of tools that may take long. */
export interface WalkOptions extends CheckpointToolOptions {
  readonly onProgress?: OnProgress | undefined;
}

/** Tells several walks as one: each call begins the next, whose total is added to those of the walks before. */
export function walksAsOne({ onProgress = () => {} }: WalkOptions): () => OnProgress {
  let before = 0;
  let present = 0;
  return () => {
    before += present;
    present = 0;
    const start = before;
    return ({ done, total }) => {
      present = total;
      onProgress({ done: start + done, total: start + total });
    };
  };
}

/** Opens what is given as a URL, and closes it again. */
export async function withCheckpoint<R>(
  target: CheckpointTarget,
  options: CheckpointToolOptions,
  work: (store: ObjectStore) => Promise<R>,
): Promise<R> {
  const { store, close } = await openTarget(target, options);
  try {
    return await work(store);
  } finally {
    await close();
  }
}

/** `close` leaves a store open that was given open. */
export async function openTarget(
  target: CheckpointTarget,
  { storage }: CheckpointToolOptions,
): Promise<{ readonly store: ObjectStore; readonly close: () => Promise<void> }> {
  if (typeof target !== 'string') return { store: withEncryption(target, storage?.encryption), close: async () => {} };
  const store = await openCheckpointStore(target, storage);
  return { store, close: () => store.close() };
}

/** How to open the place of a copy. State that was encrypted must not end up in the clear because an option was left out. */
export function storageOfTarget({
  storage,
  targetStorage = storage,
}: CheckpointToolOptions & {
  readonly targetStorage?: CheckpointStorageOptions | undefined;
}): CheckpointStorageOptions | undefined {
  return targetStorage && { ...targetStorage, encryption: targetStorage.encryption ?? storage?.encryption };
}

export function noStream(store: ObjectStore): TidemarkError {
  return new TidemarkError('CHECKPOINT_MISSING', `There is no stream at ${store.url}.`, {
    context: { url: store.url },
  });
}
