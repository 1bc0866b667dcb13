import {
  AnonymousCredential,
  BlobServiceClient,
  ContainerClient,
  newPipeline,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { TidemarkError, toError } from '../base/errors.ts';
import type { StoreOptions, TokenCredentialLike } from './open-store.ts';
import { type BlobLocation, formatBlobUrl } from './store-url.ts';

export interface AzureContainer {
  readonly client: ContainerClient;
  /** The account; a token may be for the container alone. */
  readonly service: BlobServiceClient;
  /** Canonical URL of the root of the store, without secrets. */
  readonly url: string;
  /** What signs the parts of a batch. */
  readonly credential: StorageSharedKeyCredential | AnonymousCredential | TokenCredentialLike;
}

// One layer of retries, ours: the SDK's own would turn a lost answer into a conflict with ourselves.
const pipelineOptions = { retryOptions: { maxTries: 1 } };

/**
 * Finds the credentials for a container: the one given by option, else a SAS token in the URL, else a connection string
 * of the same account in the environment, else DefaultAzureCredential.
 *
 * @throws TidemarkError OPTION_INVALID for two credentials at once; CREDENTIALS_INVALID for a malformed one, or none
 * for `az:`; DEPENDENCY_MISSING
 */
export async function connectContainer(location: BlobLocation, options: StoreOptions): Promise<AzureContainer> {
  const { connectionString, accountKey, credential } = options;
  const sasToken = options.sasToken ?? location.sasToken;
  const given = Object.entries({ connectionString, sasToken, accountKey, credential })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (given.length > 1) {
    throw new TidemarkError('OPTION_INVALID', `Give one credential for ${location.url}, not ${given.join(' and ')}.`);
  }
  if (connectionString !== undefined) {
    const service = connect(connectionString, 'The option connectionString');
    if (location.endpoint !== undefined && endpointOf(service) !== location.endpoint) {
      throw new TidemarkError(
        'OPTION_INVALID',
        `The connection string is of ${endpointOf(service)}, the URL names ${location.endpoint}. Use az://${location.container}/<path> to take the account from the connection string.`,
      );
    }
    return ofService(service, location);
  }
  if (given.length === 0) {
    const fromEnvironment = findInEnvironment(location, options);
    if (fromEnvironment !== undefined) return ofService(fromEnvironment, location);
  }
  const { account, endpoint } = location;
  if (account === undefined || endpoint === undefined) {
    throw new TidemarkError(
      'CREDENTIALS_INVALID',
      `${location.url} names no account: set AZURE_STORAGE_CONNECTION_STRING or the option connectionString, or use https://<account>.blob.core.windows.net/<container>/<path>.`,
    );
  }
  if (sasToken !== undefined) {
    const query = sasToken.replace(/^\?/, '');
    if (!new URLSearchParams(query).has('sig')) {
      throw new TidemarkError('CREDENTIALS_INVALID', `The SAS token for ${location.url} has no signature (sig=).`);
    }
    return ofUrl(location, endpoint, new AnonymousCredential(), `?${query}`);
  }
  if (accountKey !== undefined) {
    return ofUrl(location, endpoint, new StorageSharedKeyCredential(account, accountKey));
  }
  return ofUrl(location, endpoint, credential ?? (await loadDefaultCredential(location)));
}

function findInEnvironment(location: BlobLocation, options: StoreOptions): BlobServiceClient | undefined {
  const value = (options.env ?? process.env).AZURE_STORAGE_CONNECTION_STRING;
  if (value === undefined || value === '') return undefined;
  const service = connect(value, 'AZURE_STORAGE_CONNECTION_STRING');
  // The variable may be there for another account: it is then not meant for this URL.
  return location.endpoint === undefined || endpointOf(service) === location.endpoint ? service : undefined;
}

function connect(connectionString: string, where: string): BlobServiceClient {
  try {
    return BlobServiceClient.fromConnectionString(connectionString, pipelineOptions);
  } catch {
    // The SDK's message could repeat parts of the string.
    throw new TidemarkError(
      'CREDENTIALS_INVALID',
      `${where} is no storage connection string. It looks like "DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...;EndpointSuffix=core.windows.net".`,
    );
  }
}

function ofService(service: BlobServiceClient, location: BlobLocation): AzureContainer {
  const url = formatBlobUrl(endpointOf(service), location.container, location.prefix);
  return { client: service.getContainerClient(location.container), service, url, credential: service.credential };
}

/** Without the SAS token that the connection string may hold. */
function endpointOf(service: BlobServiceClient): string {
  return service.url.replace(/\/?(\?.*)?$/s, '');
}

function ofUrl(
  location: BlobLocation,
  endpoint: string,
  credential: AzureContainer['credential'],
  query = '',
): AzureContainer {
  const pipeline = newPipeline(credential, pipelineOptions);
  const client = new ContainerClient(`${endpoint}/${location.container}${query}`, pipeline);
  return { client, service: new BlobServiceClient(`${endpoint}/${query}`, pipeline), url: location.url, credential };
}

async function loadDefaultCredential(location: BlobLocation): Promise<TokenCredentialLike> {
  let identity: typeof import('@azure/identity');
  try {
    identity = await import('@azure/identity');
  } catch (cause) {
    throw new TidemarkError(
      'DEPENDENCY_MISSING',
      `No key or token was given for ${location.url}, so the identity of this machine is used; that needs the package "@azure/identity": npm install @azure/identity`,
      { cause },
    );
  }
  try {
    return new identity.DefaultAzureCredential();
  } catch (cause) {
    // A value of AZURE_TOKEN_CREDENTIALS that it does not know.
    throw new TidemarkError('CREDENTIALS_INVALID', `No identity for ${location.url}: ${toError(cause).message}`, {
      cause,
    });
  }
}
