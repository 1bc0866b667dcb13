import { EncryptionKeys, type EncryptionOptions } from '../../../src/storage/encryption-keys.ts';

export const keyOld: Uint8Array = new Uint8Array(32).fill(1);
export const keyNew: Uint8Array = new Uint8Array(32).fill(2);

export const before: EncryptionOptions = { current: 'key-2025', keys: { 'key-2025': keyOld } };
/** After a rotation: both keys are there, the new one is used. */
export const rotated: EncryptionOptions = { current: 'key-2026', keys: { 'key-2025': keyOld, 'key-2026': keyNew } };
export const after: EncryptionOptions = { current: 'key-2026', keys: { 'key-2026': keyNew } };

export const keysBefore: EncryptionKeys = new EncryptionKeys(before);
