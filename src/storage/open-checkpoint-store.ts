import { EncryptedStore } from './encrypted-store.ts';
import { EncryptionKeys, type EncryptionOptions } from './encryption-keys.ts';
import type { ObjectStore } from './object-store.ts';
import { openObjectStore, type StoreOptions } from './open-store.ts';

/** How the place of a checkpoint is opened. */
export interface CheckpointStorageOptions extends StoreOptions {
  /** Encrypts all objects of the checkpoint; see docs/encryption.md. Default: they are stored in the clear. */
  readonly encryption?: EncryptionOptions | undefined;
  /** At a start, tries out what a checkpoint needs of the store; see docs/storage.md. Default true. */
  readonly probe?: boolean | undefined;
}

/** @throws as openObjectStore; OPTION_INVALID */
export async function openCheckpointStore(url: string, options: CheckpointStorageOptions = {}): Promise<ObjectStore> {
  const { encryption, probe: _, ...rest } = options;
  // Keys are checked before anything is asked of the store.
  const keys = encryption && new EncryptionKeys(encryption);
  const store = await openObjectStore(url, rest);
  return keys === undefined ? store : new EncryptedStore(store, keys);
}

/** A store that was opened elsewhere, with encryption if it is asked for. @throws OPTION_INVALID */
export function withEncryption(store: ObjectStore, encryption: EncryptionOptions | undefined): ObjectStore {
  return encryption === undefined ? store : new EncryptedStore(store, new EncryptionKeys(encryption));
}
