import { afterAll, beforeAll } from 'vitest';
import { SystemRandom } from '../../src/base/random.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { openObjectStore, type StoreOptions } from '../../src/storage/open-store.ts';
import { type Azurite, startAzurite } from '../../src/testing/azurite.ts';

export interface AzuriteFixture {
  readonly azurite: Azurite;
  readonly connectionString: string;
  /** URL of a container that no other test uses; it is created when opened with `createContainer`. */
  newUrl(): string;
  /** A store on a container of its own. */
  openStore(options?: StoreOptions): Promise<ObjectStore>;
}

/** One Azurite for the tests of a file. Call at the top level of the file or of a describe. */
export function useAzurite(): AzuriteFixture {
  const random = new SystemRandom();
  let azurite: Azurite | undefined;
  beforeAll(async () => {
    azurite = await startAzurite();
  }, 60_000);
  afterAll(() => azurite?.stop());

  const running = (): Azurite => {
    if (azurite === undefined) throw new Error('Azurite runs only while tests do.');
    return azurite;
  };
  const newUrl = (): string => `az://test-${random.id()}`;
  return {
    get azurite() {
      return running();
    },
    get connectionString() {
      return running().connectionString;
    },
    newUrl,
    openStore: (options = {}) =>
      openObjectStore(newUrl(), { connectionString: running().connectionString, createContainer: true, ...options }),
  };
}
