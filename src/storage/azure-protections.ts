import type { AzureContainer } from './azure-credentials.ts';
import { AzureRequestError, type AzureRequests } from './azure-requests.ts';
import type { OperationCounters } from './operation-counters.ts';

/** What the service tells of itself; undefined: it may not be asked with these credentials, or does not say. */
export interface ServiceTraits {
  readonly softDeleteDays?: number | undefined;
  readonly isVersioned?: boolean | undefined;
  readonly hasImmutabilityPolicy?: boolean | undefined;
  readonly hasLegalHold?: boolean | undefined;
  readonly isHierarchical?: boolean | undefined;
  readonly accessTier?: string | undefined;
}

/** Asks for the traits with four requests at once. What may not be asked is left out: it is no condition for a start. */
export async function readServiceTraits(
  { client, service }: AzureContainer,
  blobName: string,
  requests: AzureRequests,
  operations: OperationCounters,
): Promise<ServiceTraits> {
  const ask = async <T>(send: (abortSignal: AbortSignal) => Promise<T>): Promise<T | undefined> => {
    try {
      return await requests.run(
        0,
        (abortSignal) => {
          operations.add('head');
          return send(abortSignal);
        },
        { attemptsMax: 1 },
      );
    } catch (error) {
      if (error instanceof AzureRequestError) return undefined;
      throw error;
    }
  };
  const [properties, container, account, blob] = await Promise.all([
    ask((abortSignal) => service.getProperties({ abortSignal })),
    ask((abortSignal) => client.getProperties({ abortSignal })),
    ask((abortSignal) => client.getAccountInfo({ abortSignal })),
    ask((abortSignal) => client.getBlobClient(blobName).getProperties({ abortSignal })),
  ]);
  const softDelete = properties?.deleteRetentionPolicy;
  return {
    softDeleteDays: softDelete?.enabled === true ? softDelete.days : undefined,
    isVersioned: blob && blob.versionId !== undefined,
    hasImmutabilityPolicy: container && container.hasImmutabilityPolicy === true,
    hasLegalHold: container && container.hasLegalHold === true,
    isHierarchical: account?.isHierarchicalNamespaceEnabled,
    accessTier: blob?.accessTier,
  };
}

/** One sentence per trait that a user of a checkpoint should know. */
export function describeTraits(traits: ServiceTraits): readonly string[] {
  const notices: string[] = [];
  if (traits.softDeleteDays !== undefined) {
    notices.push(
      `Blob soft delete keeps what is deleted for ${traits.softDeleteDays} days. It protects against mistakes; a checkpoint deletes old objects all the time, and they are billed that much longer.`,
    );
  }
  if (traits.isVersioned === true) {
    notices.push(
      'Blob versioning keeps every version of "hint" and "gc/floor", which are replaced all the time. Add a lifecycle rule that deletes versions after some days.',
    );
  }
  if (traits.hasImmutabilityPolicy === true || traits.hasLegalHold === true) {
    const what = traits.hasLegalHold === true ? 'a legal hold' : 'an immutability policy';
    notices.push(
      `The container has ${what}: old objects of the checkpoint cannot be deleted, so it grows without a bound, and "hint" and "gc/floor" cannot be replaced. Use a container without it.`,
    );
  }
  if (traits.isHierarchical === true) {
    notices.push(
      'The account has a hierarchical namespace (ADLS). It works; operations cost more than in a flat account, and empty folders stay behind.',
    );
  }
  if (traits.accessTier !== undefined && !/^(Hot|Premium|P\d+)$/.test(traits.accessTier)) {
    notices.push(
      `Blobs are created in the ${traits.accessTier} tier, where operations cost more and early deletion is billed. Make Hot the default of the account for checkpoints.`,
    );
  }
  return notices;
}
