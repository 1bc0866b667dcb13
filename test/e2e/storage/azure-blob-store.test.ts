import { describe } from 'vitest';
import { openAzureBlobStore } from '../../../src/storage/azure-blob-store.ts';
import { type BlobLocation, parseStoreUrl } from '../../../src/storage/store-url.ts';
import { useAzurite } from '../../support/azurite.ts';
import { objectStoreSuite } from '../../support/object-store-suite.ts';

const azurite = useAzurite();

describe('AzureBlobStore on Azurite', () => {
  objectStoreSuite(async () => {
    const location = parseStoreUrl(`${azurite.newUrl()}/some/root`) as BlobLocation;
    const { connectionString } = azurite;
    return {
      open: () => openAzureBlobStore(location, { connectionString, createContainer: true }, 5),
      listPage: 5,
      pages: true,
      keepsCommitId: true,
      close: async () => undefined,
    };
  });
});
