import type { BlobClient } from '@azure/storage-blob';
import type { AzureContainer } from './azure-credentials.ts';
import { AzureRequestError, type AzureRequests } from './azure-requests.ts';
import type { OperationCounters } from './operation-counters.ts';

/** Of the service. */
const batchMax = 256;
/** Single deletes under way at once. */
const singlesMax = 16;

interface Deleted {
  /** Full blob names. */
  readonly refused: readonly string[];
  readonly serverTimeMs: number | undefined;
}

interface PartOutcome {
  readonly refused: readonly BlobClient[];
  /** Not settled by the batch: to be deleted one by one, with their own retries. */
  readonly left: readonly BlobClient[];
  readonly serverTimeMs: number | undefined;
}

/**
 * Deletes blobs in batches of 256, one request each. What a batch leaves open (a part that failed for the moment, or a
 * service that refuses the batch as such, as it may with a token of narrow scope) is deleted one by one.
 *
 * @throws AzureRequestError when a request keeps failing
 */
export async function deleteBlobs(
  container: AzureContainer,
  blobs: readonly BlobClient[],
  requests: AzureRequests,
  operations: OperationCounters,
): Promise<Deleted> {
  const refused: string[] = [];
  let serverTimeMs: number | undefined;
  for (let start = 0; start < blobs.length; start += batchMax) {
    const part = blobs.slice(start, start + batchMax);
    const outcome: PartOutcome =
      part.length === 1
        ? { refused: [], left: part, serverTimeMs: undefined }
        : await deleteBatch(container, part, requests, operations);
    const singles = await deleteSingles(outcome.left, requests, operations);
    for (const blob of [...outcome.refused, ...singles.refused]) refused.push(blob.name);
    serverTimeMs = singles.serverTimeMs ?? outcome.serverTimeMs ?? serverTimeMs;
  }
  return { refused, serverTimeMs };
}

async function deleteBatch(
  { client, credential }: AzureContainer,
  part: readonly BlobClient[],
  requests: AzureRequests,
  operations: OperationCounters,
): Promise<PartOutcome> {
  const batch = client.getBlobBatchClient();
  try {
    return await requests.run(0, async (abortSignal) => {
      operations.add('delete');
      const body = batch.createBatch();
      // Each part is signed by itself; a SAS token rides in its URL.
      for (const blob of part) await body.deleteBlob(blob.url, credential, { deleteSnapshots: 'include' });
      const response = await batch.submitBatch(body, { abortSignal });
      const refused: BlobClient[] = [];
      const left: BlobClient[] = [];
      part.forEach((blob, index) => {
        const status = response.subResponses[index]?.status ?? 0;
        if (status === 202 || status === 404) return;
        if (status === 403 || status === 409 || status === 412) refused.push(blob);
        else left.push(blob);
      });
      return { refused, left, serverTimeMs: Date.parse(response._response.headers.get('date') ?? '') || undefined };
    });
  } catch (error) {
    // Final for the batch says nothing of its parts; a service that is away will say so again below.
    if (error instanceof AzureRequestError && error.failure.kind !== 'passing') {
      return { refused: [], left: part, serverTimeMs: error.failure.serverTimeMs };
    }
    throw error;
  }
}

async function deleteSingles(
  blobs: readonly BlobClient[],
  requests: AzureRequests,
  operations: OperationCounters,
): Promise<{ refused: BlobClient[]; serverTimeMs: number | undefined }> {
  const refused: BlobClient[] = [];
  let serverTimeMs: number | undefined;
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < blobs.length) {
      const blob = blobs[next++]!;
      try {
        const response = await requests.run(0, (abortSignal) => {
          operations.add('delete');
          return blob.delete({ abortSignal, deleteSnapshots: 'include' });
        });
        serverTimeMs = response.date?.getTime() ?? serverTimeMs;
      } catch (error) {
        if (!(error instanceof AzureRequestError)) throw error;
        const { kind, error: cause, serverTimeMs: answeredMs } = error.failure;
        serverTimeMs = answeredMs ?? serverTimeMs;
        if (kind === 'missing') continue;
        if (kind !== 'conflict' && cause.code !== 'STORE_FORBIDDEN') throw error;
        refused.push(blob);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(singlesMax, blobs.length) }, work));
  return { refused, serverTimeMs };
}
