import { describe, expect, it, vi } from 'vitest';
import { openObjectStore } from '../../../src/storage/open-store.ts';

// As if the optional package were not installed.
vi.mock('@azure/identity', () => {
  throw new Error('Cannot find package');
});

const url = 'https://myaccount.blob.core.windows.net/data';

describe('credentials of Azure', () => {
  it('name the optional package when neither a secret nor the package is there', async () => {
    await expect(openObjectStore(url, { env: {} })).rejects.toMatchObject({
      code: 'DEPENDENCY_MISSING',
      message: expect.stringContaining('npm install @azure/identity'),
    });
  });

  it('leave a connection string of another account in the environment alone', async () => {
    const env = {
      AZURE_STORAGE_CONNECTION_STRING:
        'DefaultEndpointsProtocol=https;AccountName=other;AccountKey=AAAA;EndpointSuffix=core.windows.net',
    };
    await expect(openObjectStore(url, { env })).rejects.toMatchObject({ code: 'DEPENDENCY_MISSING' });
  });

  it('ask a given credential for a token of storage, and say when it has none', async () => {
    const asked: unknown[] = [];
    const credential = {
      getToken: async (scopes: string | string[]) => {
        asked.push(scopes);
        throw Object.assign(new Error('not logged in'), { name: 'CredentialUnavailableError' });
      },
    };
    await expect(openObjectStore(url, { credential, env: {} })).rejects.toMatchObject({
      code: 'CREDENTIALS_INVALID',
      message: expect.stringContaining('not logged in'),
    });
    expect(asked.flat()).toEqual(['https://storage.azure.com/.default']);
  });
});
