import type { Clock } from '../base/clock.ts';
import { TidemarkError } from '../base/errors.ts';
import { positiveInteger, requireKnownOptions } from '../base/options.ts';
import type { Random } from '../base/random.ts';
import { openFileStore } from './file-store.ts';
import { MemoryStore } from './memory-store.ts';
import type { ObjectStore } from './object-store.ts';
import { parseStoreUrl } from './store-url.ts';

/** What an Azure credential looks like: every `TokenCredential` of `@azure/identity` fits. */
export interface TokenCredentialLike {
  getToken(
    scopes: string | string[],
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<{ token: string; expiresOnTimestamp: number } | null>;
}

/** Times and bounds of retries; see docs/storage.md. */
export interface StoreRetryOptions {
  /** Attempts per operation, the first included. Default 8. */
  readonly attemptsMax?: number | undefined;
  /** Wait before the second attempt; doubles from there, with jitter. Default 100. */
  readonly delayMinMs?: number | undefined;
  /** Default 5,000. */
  readonly delayMaxMs?: number | undefined;
  /** How long one request may take, plus 1 ms per KiB of its body. Default 15,000. */
  readonly tryTimeoutMs?: number | undefined;
}

export interface StoreOptions {
  /** For Azure. Default: `AZURE_STORAGE_CONNECTION_STRING` if it is of the same account. */
  readonly connectionString?: string | undefined;
  /** Of the account or the container, with or without the `?`. */
  readonly sasToken?: string | undefined;
  readonly accountKey?: string | undefined;
  readonly credential?: TokenCredentialLike | undefined;
  /** Creates a missing Azure container. Default false. */
  readonly createContainer?: boolean | undefined;
  readonly retry?: StoreRetryOptions | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** Gives up opening. Not used afterwards: that is what `close` is for. */
  readonly signal?: AbortSignal | undefined;
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/** Every option, for those who pass them on. */
export const storeOptionNames = [
  'connectionString',
  'sasToken',
  'accountKey',
  'credential',
  'createContainer',
  'retry',
  'clock',
  'random',
  'signal',
  'env',
] as const satisfies readonly (keyof StoreOptions)[];

const retryOptionNames = [
  'attemptsMax',
  'delayMinMs',
  'delayMaxMs',
  'tryTimeoutMs',
] as const satisfies readonly (keyof StoreRetryOptions)[];

/**
 * Opens the store a URL names (forms: docs/storage.md) and checks once that it answers.
 *
 * @throws TidemarkError URL_INVALID, OPTION_INVALID, CREDENTIALS_INVALID, CONTAINER_MISSING, STORE_FORBIDDEN,
 * STORE_UNAVAILABLE, DEPENDENCY_MISSING, CANCELLED
 */
export async function openObjectStore(url: string, options: StoreOptions = {}): Promise<ObjectStore> {
  requireKnownOptions('A store', options, storeOptionNames);
  if (options.retry !== undefined) checkRetry(options.retry);
  const location = parseStoreUrl(url);
  if (options.signal?.aborted) throw new TidemarkError('CANCELLED', `Opening ${location.url} was cancelled.`);
  switch (location.kind) {
    case 'memory':
      return new MemoryStore({ name: location.name, prefix: location.prefix, clock: options.clock });
    case 'file':
      return openFileStore(location, options);
    case 'blob': {
      // Loaded by those who use it: the SDK takes 200 ms.
      const { openAzureBlobStore } = await import('./azure-blob-store.ts');
      return openAzureBlobStore(location, options);
    }
  }
}

function checkRetry(retry: StoreRetryOptions): void {
  requireKnownOptions('retry', retry, retryOptionNames);
  for (const [name, value] of Object.entries(retry)) {
    if (value !== undefined) positiveInteger(`retry.${name}`, value);
  }
}
