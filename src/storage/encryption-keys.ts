import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { TidemarkError } from '../base/errors.ts';
import { requireKnownOptions } from '../base/options.ts';

/** Keys of the encryption of a checkpoint; see docs/encryption.md. */
export interface EncryptionOptions {
  /** Id of the key that new objects are encrypted with. */
  readonly current: string;
  /** By id, 32 bytes each, as bytes or in Base64. Older ids stay as long as anything is encrypted with them. */
  readonly keys: Readonly<Record<string, Uint8Array | string>>;
}

/** One key and what is derived from it. The key itself is held where no inspection shows it. */
export interface EncryptionKey {
  readonly id: string;
  /** Stands in every block: tells another key under the same id from damage. No secret. */
  readonly check: Uint8Array;
  /** For the salts of objects. */
  readonly saltKey: KeyObject;
  /** The key of one object. */
  readonly objectKey: (salt: Uint8Array) => KeyObject;
}

export const keyBytes = 32;
export const keyIdBytesMax = 32;
export const keyCheckBytes = 8;
const keyIdForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/;
const keysMax = 1000;
const nothing = new Uint8Array(0);

/** The keys of a checkpoint, checked. Holds no key in the clear. */
export class EncryptionKeys {
  readonly current: EncryptionKey;
  readonly #keys: ReadonlyMap<string, EncryptionKey>;

  /** @throws OPTION_INVALID; the message never holds a key. */
  constructor(options: EncryptionOptions) {
    requireKnownOptions('encryption', options, ['current', 'keys']);
    const { current, keys } = options;
    if (typeof keys !== 'object' || keys === null) {
      throw invalid('keys is missing: give an object of key id and key (32 bytes, or Base64 of them)');
    }
    const entries = Object.entries(keys);
    if (entries.length > keysMax) throw invalid(`keys has ${entries.length} entries, at most ${keysMax} are allowed`);
    this.#keys = new Map(entries.map(([id, key]) => [id, deriveFrom(id, key)]));
    const found = this.#keys.get(current);
    if (found === undefined) {
      throw invalid(`current is ${shownId(current)}, and keys has ${this.describe()}: it must name one of them`);
    }
    this.current = found;
  }

  find(id: string): EncryptionKey | undefined {
    return this.#keys.get(id);
  }

  /** The ids, for messages. */
  describe(): string {
    return this.#keys.size === 0 ? 'no key' : [...this.#keys.keys()].map((id) => `"${id}"`).join(', ');
  }
}

/** True for an id as a block may hold it. */
export function isKeyId(id: string): boolean {
  return keyIdForm.test(id);
}

/**
 * What a key file holds: `{ "current": "key-2026", "keys": { "key-2026": "<Base64>" } }`.
 * @param where for messages. @throws OPTION_INVALID
 */
export function parseKeyFile(text: string, where: string): EncryptionOptions {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message would show a part of the text.
    throw new TidemarkError('OPTION_INVALID', `${where} is not JSON. ${keyFileForm}`);
  }
  const isObject = (candidate: unknown): candidate is object =>
    typeof candidate === 'object' && candidate !== null && !Array.isArray(candidate);
  if (!isObject(value) || !('keys' in value) || !isObject(value.keys)) {
    throw new TidemarkError('OPTION_INVALID', `${where} has no keys. ${keyFileForm}`);
  }
  const options = value as EncryptionOptions;
  new EncryptionKeys(options);
  return options;
}

const keyFileForm =
  'It holds { "current": "<key id>", "keys": { "<key id>": "<32 bytes in Base64>" } }; openssl rand -base64 32 makes a key.';

function deriveFrom(id: string, given: unknown): EncryptionKey {
  if (!isKeyId(id)) {
    throw invalid(
      `the key id ${shownId(id)} is not allowed: 1 to ${keyIdBytesMax} letters, digits, dots, dashes and underscores`,
    );
  }
  const bytes = bytesOf(id, given);
  const derive = (salt: Uint8Array, purpose: string, length: number): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', key, salt, `tidemark encryption 1 ${purpose}`, length));
  const key = createSecretKey(bytes);
  return {
    id,
    check: derive(nothing, 'check', keyCheckBytes),
    saltKey: createSecretKey(derive(nothing, 'salt', keyBytes)),
    objectKey: (salt) => createSecretKey(derive(salt, 'object', keyBytes)),
  };
}

/** What is no id may be a key that stands in the wrong place. */
function shownId(id: unknown): string {
  if (typeof id !== 'string') return String(id);
  return id.length <= keyIdBytesMax ? JSON.stringify(id) : `a text of ${id.length} characters`;
}

function bytesOf(id: string, given: unknown): Uint8Array {
  if (given instanceof Uint8Array) {
    if (given.length === keyBytes) return given;
    throw invalid(`key "${id}" has ${given.length} bytes; AES-256 needs ${keyBytes}`);
  }
  if (typeof given !== 'string') throw invalid(`key "${id}" is neither bytes nor Base64`);
  const bytes = Buffer.from(given, 'base64');
  // Node skips what is no Base64, so that a passphrase would pass for a short key.
  if (bytes.length === keyBytes && bytes.toString('base64') === given.trim()) return bytes;
  throw invalid(`key "${id}" is not Base64 of ${keyBytes} bytes (44 characters); openssl rand -base64 32 makes one`);
}

function invalid(problem: string): TidemarkError {
  return new TidemarkError('OPTION_INVALID', `encryption: ${problem}.`);
}
