import { mapBounded } from '../checkpoint/map-bounded.ts';
import { EncryptedStore } from '../storage/encrypted-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { OnProgress } from './checkpoint-target.ts';
import type { ObjectKind, StoredObject } from './stored-objects.ts';

// Some bytes each.
const readsMax = 16;

/** The objects that one key has encrypted. */
export interface KeyUse {
  readonly keyId: string;
  /** New objects are encrypted with it, if the driver has the same keys as this tool. */
  readonly isCurrent: boolean;
  readonly objects: number;
  readonly bytes: number;
  readonly kinds: Readonly<Partial<Record<ObjectKind, number>>>;
}

/**
 * Which keys the stored objects need, by the heads of all of them: also of those that nothing refers to, and of the logs of
 * receivers. The current key is among them with 0 when nothing uses it yet. Undefined: the store is not opened with keys.
 */
export async function readKeyUse(
  store: ObjectStore,
  objects: ReadonlyMap<string, StoredObject>,
  onProgress: OnProgress,
): Promise<readonly KeyUse[] | undefined> {
  if (!(store instanceof EncryptedStore)) return undefined;
  const own = [...objects.values()].filter(({ kind }) => kind !== 'foreign');
  const uses = new Map<string, { objects: number; bytes: number; kinds: Partial<Record<ObjectKind, number>> }>();
  uses.set(store.currentKeyId, { objects: 0, bytes: 0, kinds: {} });
  let done = 0;
  await mapBounded(own, readsMax, async ({ name, kind, sizeBytes }) => {
    const keyId = await store.keyIdOf(name);
    onProgress({ done: ++done, total: own.length });
    if (keyId === undefined) return; // Gone since, or not encrypted: the walk has told of that.
    const use = uses.get(keyId) ?? { objects: 0, bytes: 0, kinds: {} };
    use.objects += 1;
    use.bytes += sizeBytes;
    use.kinds[kind] = (use.kinds[kind] ?? 0) + 1;
    uses.set(keyId, use);
  });
  return [...uses]
    .map(([keyId, use]) => ({ keyId, isCurrent: keyId === store.currentKeyId, ...use }))
    .sort((a, b) => (a.keyId < b.keyId ? -1 : 1));
}
