import type { BlobDownloadResponseParsed, ContainerClient } from '@azure/storage-blob';
import { ByteTurns } from '../base/byte-turns.ts';
import { SystemClock } from '../base/clock.ts';
import { TidemarkError } from '../base/errors.ts';
import { SystemRandom } from '../base/random.ts';
import { deleteBlobs } from './azure-batch-delete.ts';
import { type AzureContainer, connectContainer } from './azure-credentials.ts';
import { describeTraits, readServiceTraits } from './azure-protections.ts';
import { AzureRequestError, AzureRequests, type RequestTimes } from './azure-requests.ts';
import { validateCommitId, validateObjectName, validatePrefix, validateRange } from './object-name.ts';
import type {
  ByteRange,
  DeleteOutcome,
  GetOutcome,
  HeadOutcome,
  ObjectInfo,
  ObjectStore,
  PutOutcome,
} from './object-store.ts';
import type { StoreOptions } from './open-store.ts';
import { OperationCounters } from './operation-counters.ts';
import type { BlobLocation } from './store-url.ts';

const defaultTimes: RequestTimes = { attemptsMax: 8, delayMinMs: 100, delayMaxMs: 5_000, tryTimeoutMs: 15_000 };
/** Of a single request that stores a whole blob. */
const putBytesMax = 256 * 1024 * 1024;
/** Metadata keys are folded to lower case by the service, so ours is lower case to begin with. */
const commitIdKey = 'commitid';
/** Set by the service on the blobs that stand for folders in accounts with a hierarchical namespace. */
const folderKey = 'hdi_isfolder';

/** @throws TidemarkError as `openObjectStore` */
export async function openAzureBlobStore(
  location: BlobLocation,
  options: StoreOptions = {},
  listPageMax = 5_000,
): Promise<AzureBlobStore> {
  const container = await connectContainer(location, options);
  const { retry = {}, clock = new SystemClock(), random = new SystemRandom(), signal } = options;
  const given = Object.fromEntries(Object.entries(retry).filter(([, value]) => value !== undefined));
  const requests = new AzureRequests(container.url, { ...defaultTimes, ...given }, clock, random);
  const store = new AzureBlobStore(container, location.prefix, requests, listPageMax);
  const abort = (): void => requests.close();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    if (signal?.aborted) abort();
    await store.verify(options.createContainer === true);
  } catch (error) {
    requests.close();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  return store;
}

/**
 * Objects as block blobs of one container, through the Blob endpoint (also for accounts with ADLS).
 *
 * A write is one Put Blob under its final name with a condition and the commit id as metadata. Nothing is renamed,
 * appended or leased. A write whose answer was lost is sent again with the same bytes; the refusal that the second try
 * may meet is resolved by a HEAD that compares the commit id.
 *
 * Owns retries (azure-requests), the meaning of errors (azure-errors) and the count of requests. Does not own names or
 * what is in the bytes.
 *
 * Invariants
 *   B1. `done` only after an answer that says so, or a HEAD that shows our commit id.
 *   B2. `lost` only when a HEAD shows another object, or none, where the condition failed.
 *   B3. A write that may have reached the service without an answer never ends in an exception, but in `unknown`.
 *   B4. No message, URL or cause holds a key or a signature.
 */
export class AzureBlobStore implements ObjectStore {
  readonly url: string;
  readonly operations: OperationCounters = new OperationCounters();
  readonly #container: AzureContainer;
  readonly #client: ContainerClient;
  readonly #root: string;
  readonly #requests: AzureRequests;
  readonly #listPageMax: number;
  #lastServerTimeMs = 0;

  constructor(container: AzureContainer, prefix: string, requests: AzureRequests, listPageMax: number) {
    this.url = container.url;
    this.#container = container;
    this.#client = container.client;
    this.#root = prefix === '' ? '' : `${prefix}/`;
    this.#requests = requests;
    this.#listPageMax = listPageMax;
  }

  /**
   * One request that tells a missing container and wrong credentials from a container that works. It asks for an object
   * that does not exist, because a token for the container may read objects but not the container's own properties.
   */
  async verify(create: boolean): Promise<void> {
    const attemptsMax = 4;
    if (create) {
      this.operations.add('put');
      await unwrap(
        this.#requests.run(0, (abortSignal) => this.#client.createIfNotExists({ abortSignal }), { attemptsMax }),
      );
    }
    try {
      await this.#head(`${this.#root}tidemark-probe`, attemptsMax);
    } catch (error) {
      if (!(error instanceof TidemarkError) || error.code !== 'STORE_FORBIDDEN') throw error;
      throw new TidemarkError('STORE_FORBIDDEN', `Reading is not permitted (SAS letter r). ${error.message}`, {
        cause: error.cause,
        context: error.context,
      });
    }
  }

  async get(name: string, range?: ByteRange): Promise<GetOutcome> {
    this.#check(name);
    validateRange(range);
    // The SDK takes a length of 0 for "all".
    if (range?.length === 0) return this.#emptyRange(name);
    const blob = this.#client.getBlobClient(this.#root + name);
    try {
      return await this.#requests.run(range?.length ?? 0, async (abortSignal) => {
        this.operations.add('get');
        // No resuming inside the SDK: a broken body is one of our failed tries.
        const response = await blob.download(range?.offset, range?.length, { abortSignal, maxRetryRequests: 0 });
        const serverTimeMs = this.#observe(response.date?.getTime());
        const bytes = await readBody(response);
        this.operations.addBytesRead('get', bytes.length);
        if (isFolder(response.metadata)) return { status: 'missing', serverTimeMs };
        return { status: 'found', bytes, etag: normaliseEtag(response.etag), serverTimeMs };
      });
    } catch (error) {
      const failure = failureOf(error);
      if (failure.kind === 'missing') return { status: 'missing', serverTimeMs: this.#observe(failure.serverTimeMs) };
      if (failure.code === 'InvalidRange') return this.#emptyRange(name);
      throw failure.error;
    }
  }

  async head(name: string): Promise<HeadOutcome> {
    this.#check(name);
    return this.#head(this.#root + name);
  }

  putIfAbsent(name: string, bytes: Uint8Array, commitId: string): Promise<PutOutcome> {
    return this.compareAndSwap(name, bytes, undefined, commitId);
  }

  async compareAndSwap(
    name: string,
    bytes: Uint8Array,
    etag: string | undefined,
    commitId: string,
  ): Promise<PutOutcome> {
    this.#check(name);
    validateCommitId(commitId);
    if (bytes.length > putBytesMax) {
      throw new TidemarkError(
        'LIMIT_EXCEEDED',
        `The object "${name}" has ${bytes.length} bytes, one request carries at most ${putBytesMax}.`,
        { context: { name } },
      );
    }
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const md5 = await new ByteTurns().md5(body);
    const blob = this.#client.getBlockBlobClient(this.#root + name);
    let mayHaveArrived = false;
    try {
      return await this.#requests.run(
        body.length,
        async (abortSignal): Promise<PutOutcome> => {
          this.operations.add('put', body.length);
          const response = await blob.upload(body, body.length, {
            abortSignal,
            conditions: etag === undefined ? { ifNoneMatch: '*' } : { ifMatch: `"${etag}"` },
            metadata: { [commitIdKey]: commitId },
            blobHTTPHeaders: { blobContentType: 'application/octet-stream', blobContentMD5: md5 },
            transactionalContentMD5: md5,
          });
          const serverTimeMs = this.#observe(response.date?.getTime());
          return { status: 'done', etag: normaliseEtag(response.etag), serverTimeMs, recognised: false };
        },
        {
          onFailure: (failure) => {
            if (failure.kind === 'passing' && failure.mayHaveArrived) mayHaveArrived = true;
          },
        },
      );
    } catch (error) {
      return this.#settle(name, etag, commitId, mayHaveArrived, error);
    }
  }

  async *list(prefix: string, after?: string): AsyncIterable<ObjectInfo> {
    this.#requests.throwIfClosed();
    validatePrefix(prefix);
    const from = this.#root + prefix;
    const afterName = after === undefined ? undefined : this.#root + after;
    // A full name, inclusive. A service that does not know the parameter ignores it: names are filtered below anyway.
    const startFrom = afterName !== undefined && afterName > from ? { startFrom: afterName } : {};
    let continuationToken: string | undefined;
    let last = '';
    do {
      const page = await this.#listPage(from, startFrom, continuationToken);
      continuationToken = page.continuationToken;
      for (const object of page.objects) {
        const { name } = object;
        if (name <= last) {
          throw new TidemarkError(
            'INTERNAL',
            `${this.url} listed "${name}" after "${last}". List by a prefix that names one folder.`,
            { context: { prefix } },
          );
        }
        last = name;
        if (afterName !== undefined && name <= afterName) continue;
        yield { ...object, name: name.slice(this.#root.length) };
      }
    } while (continuationToken);
  }

  async delete(names: readonly string[]): Promise<DeleteOutcome> {
    for (const name of names) this.#check(name);
    this.#requests.throwIfClosed();
    const blobs = names.map((name) => this.#client.getBlobClient(this.#root + name));
    const { refused, serverTimeMs } = await unwrap(
      deleteBlobs(this.#container, blobs, this.#requests, this.operations),
    );
    return {
      refused: refused.map((name) => name.slice(this.#root.length)),
      serverTimeMs: this.#observe(serverTimeMs),
    };
  }

  async protections(name: string): Promise<readonly string[]> {
    this.#check(name);
    return describeTraits(await readServiceTraits(this.#container, this.#root + name, this.#requests, this.operations));
  }

  async close(): Promise<void> {
    this.#requests.close();
  }

  /** What became of a write that did not simply succeed. */
  async #settle(
    name: string,
    etag: string | undefined,
    commitId: string,
    mayHaveArrived: boolean,
    error: unknown,
  ): Promise<PutOutcome> {
    const failure = error instanceof AzureRequestError ? error.failure : undefined;
    const cause = failure?.error ?? error;
    const conflict = failure?.kind === 'conflict' || (failure?.kind === 'missing' && etag !== undefined);
    if (!conflict && !mayHaveArrived) throw cause;
    let found: HeadOutcome;
    try {
      // After a conflict the object is the answer. Without one it may still be: the last try could have been stored.
      found = await this.#head(this.#root + name, conflict ? undefined : 1);
    } catch (headError) {
      if (mayHaveArrived) return { status: 'unknown', cause };
      throw headError;
    }
    const { serverTimeMs } = found;
    if (found.status === 'found' && found.commitId === commitId) {
      return { status: 'done', etag: found.etag, serverTimeMs, recognised: true };
    }
    const conditionHolds =
      etag === undefined ? found.status === 'missing' : found.status === 'found' && found.etag === etag;
    if (!conditionHolds) return { status: 'lost', serverTimeMs };
    // Nothing there yet proves nothing: an earlier try may still land.
    if (mayHaveArrived) return { status: 'unknown', cause };
    // Refused though the condition holds: the object was removed in between, or a lease or a policy lies on it.
    if (etag === undefined) return { status: 'lost', serverTimeMs };
    throw cause;
  }

  async #head(blobName: string, attemptsMax?: number): Promise<HeadOutcome> {
    const blob = this.#client.getBlobClient(blobName);
    try {
      const response = await this.#requests.run(
        0,
        (abortSignal) => {
          this.operations.add('head');
          return blob.getProperties({ abortSignal });
        },
        { attemptsMax },
      );
      const serverTimeMs = this.#observe(response.date?.getTime());
      if (isFolder(response.metadata)) return { status: 'missing', serverTimeMs };
      return {
        status: 'found',
        sizeBytes: response.contentLength ?? 0,
        etag: normaliseEtag(response.etag),
        commitId: response.metadata?.[commitIdKey],
        serverTimeMs,
      };
    } catch (error) {
      const failure = failureOf(error);
      if (failure.kind === 'missing') return { status: 'missing', serverTimeMs: this.#observe(failure.serverTimeMs) };
      throw failure.error;
    }
  }

  /** A range that begins at or after the end of the object, or has no length. */
  async #emptyRange(name: string): Promise<GetOutcome> {
    const found = await this.head(name);
    if (found.status === 'missing') return found;
    return { status: 'found', bytes: new Uint8Array(0), etag: found.etag, serverTimeMs: found.serverTimeMs };
  }

  async #listPage(
    prefix: string,
    startFrom: { readonly startFrom?: string },
    continuationToken: string | undefined,
  ): Promise<{ objects: ObjectInfo[]; continuationToken: string | undefined }> {
    return unwrap(
      this.#requests.run(0, async (abortSignal) => {
        this.operations.add('list');
        const pages = this.#client
          .listBlobsFlat({ abortSignal, prefix, includeMetadata: true, ...startFrom })
          .byPage({ maxPageSize: this.#listPageMax, ...(continuationToken && { continuationToken }) });
        const { value: page } = await pages.next();
        this.#observe(page.date?.getTime());
        const objects: ObjectInfo[] = [];
        for (const { name, properties, metadata } of page.segment.blobItems) {
          if (isFolder(metadata)) continue;
          const { contentLength = 0, lastModified } = properties;
          objects.push({ name, sizeBytes: contentLength, modifiedMs: lastModified.getTime() });
        }
        // The service sorts by bytes of UTF-8, the port by UTF-16: within a page that is put right here.
        objects.sort((a, b) => (a.name < b.name ? -1 : 1));
        return { objects, continuationToken: page.continuationToken };
      }),
    );
  }

  /** The date of an answer; without one the last date seen, which is never later than the truth. */
  #observe(serverTimeMs: number | undefined): number {
    if (serverTimeMs !== undefined) this.#lastServerTimeMs = Math.max(this.#lastServerTimeMs, serverTimeMs);
    return serverTimeMs ?? this.#lastServerTimeMs;
  }

  #check(name: string): void {
    this.#requests.throwIfClosed();
    validateObjectName(name);
  }
}

async function readBody(response: BlobDownloadResponseParsed): Promise<Uint8Array> {
  const expected = response.contentLength ?? 0;
  const bytes = new Uint8Array(expected);
  let length = 0;
  for await (const chunk of response.readableStreamBody ?? []) {
    const part = chunk as Buffer;
    if (length + part.length > expected) break;
    bytes.set(part, length);
    length += part.length;
  }
  // Seen as a broken connection: the next try reads it whole.
  if (length !== expected) throw new Error(`the body ended after ${length} of ${expected} bytes`);
  return bytes;
}

/** ETags of lists come without quotes, those of other answers with them. */
function normaliseEtag(etag: string | undefined): string {
  return (etag ?? '').replaceAll('"', '');
}

function isFolder(metadata: Readonly<Record<string, string>> | undefined): boolean {
  return metadata?.[folderKey] === 'true';
}

/** @throws what is no failed request (CANCELLED) */
function failureOf(error: unknown): AzureRequestError['failure'] {
  if (error instanceof AzureRequestError) return error.failure;
  throw error;
}

async function unwrap<T>(request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    throw error instanceof AzureRequestError ? error.failure.error : error;
  }
}
