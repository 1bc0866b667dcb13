import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { TidemarkError } from '../../../src/base/errors.ts';
import { EncryptionKeys, type EncryptionOptions, parseKeyFile } from '../../../src/storage/encryption-keys.ts';
import { openCheckpointStore } from '../../../src/storage/open-checkpoint-store.ts';
import { keyNew, keyOld } from './keys.ts';

const secret = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=';

function refusal(options: unknown): TidemarkError {
  try {
    new EncryptionKeys(options as EncryptionOptions);
  } catch (error) {
    if (error instanceof TidemarkError) return error;
    throw error;
  }
  throw new Error('It was accepted.');
}

describe('keys of the encryption', () => {
  it('are 32 bytes, as bytes or in Base64', () => {
    const asText = new EncryptionKeys({ current: 'a', keys: { a: Buffer.from(keyOld).toString('base64') } });
    const asBytes = new EncryptionKeys({ current: 'a', keys: { a: keyOld, b: keyNew } });
    expect(asText.current.check).toEqual(asBytes.current.check);
    expect(asBytes.find('b')?.check).not.toEqual(asBytes.current.check);
    expect(asBytes.find('c')).toBeUndefined();
  });

  it.each<[string, unknown, RegExp]>([
    ['no keys', { current: 'a' }, /keys is missing/],
    ['an unknown option', { current: 'a', keys: { a: keyOld }, algorithm: 'rot13' }, /no option 'algorithm'/],
    ['a current key that is not there', { current: 'b', keys: { a: keyOld } }, /current is "b", and keys has "a"/],
    [
      'a key in the place of its id',
      { current: 'a', keys: { [Buffer.from(keyOld).toString('base64')]: 'a' } },
      /the key id a text of 44 characters is not allowed/,
    ],
    [
      'a key as the current one',
      { current: Buffer.from(keyOld).toString('base64'), keys: { a: keyOld } },
      /current is a text of 44 characters, and keys has "a"/,
    ],
    ['an id with spaces', { current: 'a b', keys: { 'a b': keyOld } }, /the key id "a b" is not allowed/],
    ['an id that is too long', { current: 'a', keys: { ['a'.repeat(33)]: keyOld } }, /is not allowed/],
    ['a short key', { current: 'a', keys: { a: new Uint8Array(16) } }, /key "a" has 16 bytes; AES-256 needs 32/],
    ['a passphrase', { current: 'a', keys: { a: 'open sesame and let me in, please' } }, /is not Base64 of 32 bytes/],
    ['Base64 of too few bytes', { current: 'a', keys: { a: 'c2VjcmV0' } }, /is not Base64 of 32 bytes/],
    ['a number', { current: 'a', keys: { a: 5 } }, /neither bytes nor Base64/],
  ])('are refused: %s', (_what, options, message) => {
    const error = refusal(options);
    expect(error.code).toBe('OPTION_INVALID');
    expect(error.message).toMatch(message);
  });

  it('are shown by no inspection and no message', () => {
    const keys = new EncryptionKeys({ current: 'a', keys: { a: secret } });
    const hex = Buffer.from(secret, 'base64').toString('hex');
    const error = refusal({ current: 'b', keys: { a: secret } });
    for (const text of [inspect(keys, { depth: 9, showHidden: true }), JSON.stringify(keys), inspect(error)]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(hex);
      expect(text.replaceAll(' ', '')).not.toContain(hex.slice(0, 16));
    }
    const short = refusal({ current: 'a', keys: { a: `${secret}=` } });
    expect(inspect(short)).not.toContain(secret);
  });

  it('are checked before anything is asked of the store', async () => {
    const opening = openCheckpointStore('https://nowhere.blob.core.windows.net/container', {
      encryption: { current: 'a', keys: {} },
    });
    await expect(opening).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });
});

describe('a key file', () => {
  it('holds the ids and the keys', () => {
    const text = JSON.stringify({ current: 'a', keys: { a: secret } });
    expect(parseKeyFile(text, 'The key file')).toEqual({ current: 'a', keys: { a: secret } });
  });

  it.each([
    ['no JSON', `${secret}`],
    ['a list', JSON.stringify([secret])],
    ['no keys', JSON.stringify({ current: secret })],
    ['a list of keys', JSON.stringify({ current: 'a', keys: [secret] })],
    ['half of it', `{"current":"a","keys":{"a":"${secret}`],
  ])('is refused without being shown: %s', (_what, text) => {
    let message = '';
    try {
      parseKeyFile(text, 'The key file');
    } catch (error) {
      message = inspect(error);
    }
    expect(message).toContain('OPTION_INVALID');
    expect(message).not.toContain(secret);
  });
});
