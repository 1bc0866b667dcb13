import { TidemarkError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { requestName, requestPrefix } from './object-names.ts';
import { decodeRoot, encodeRoot } from './root-objects.ts';
import { requestShape, requireShape } from './stored-shapes.ts';

/** What an outside tool asks the running driver for. */
export type RequestContent =
  | { readonly kind: 'savepoint'; readonly name: string }
  /** `slot`: of the savepoint that is meant. A later one of the same name stays. */
  | { readonly kind: 'unpin'; readonly name: string; readonly slot: number }
  /** `epoch`: of the driver that is meant. Any other one drops it: a restarted program must not stop again. */
  | { readonly kind: 'drain'; readonly epoch: number };

export interface StreamRequest {
  readonly id: string;
  readonly content: RequestContent;
  /** By the store's clock. Nobody waits for an answer any more, also when the tool died and left its request. */
  readonly untilMs?: number | undefined;
}

// A poll takes in no more: the rest waits for the next one.
const requestsMax = 16;
// Also of a tool that has not the keys of an encrypted checkpoint, or not the right ones.
const unreadable: ReadonlySet<string> = new Set([
  'CHECKPOINT_CORRUPT',
  'CHECKPOINT_INCOMPATIBLE',
  'ENCRYPTION_KEY_MISSING',
  'NOT_ENCRYPTED',
]);

/** @param id 32 hexadecimal digits. */
export async function putRequest(store: ObjectStore, { id, content, untilMs }: StreamRequest): Promise<void> {
  const value = untilMs === undefined ? content : { ...content, untilMs };
  const outcome = await store.putIfAbsent(requestName(id), encodeRoot('request', 0, id, value).bytes, id);
  if (outcome.status === 'done') return;
  throw new TidemarkError(
    'STORE_UNAVAILABLE',
    `Whether "${requestName(id)}" was written to ${store.url} is not known.`,
    {
      cause: outcome.status === 'unknown' ? outcome.cause : undefined,
    },
  );
}

/** Those that wait: one listing, and a read for each. One that can't be read is removed: nobody could answer it. */
export async function readRequests(store: ObjectStore): Promise<readonly StreamRequest[]> {
  const names: string[] = [];
  for await (const { name } of store.list(requestPrefix)) {
    names.push(name);
    if (names.length === requestsMax) break;
  }
  const requests: StreamRequest[] = [];
  for (const name of names) {
    try {
      const outcome = await store.get(name);
      if (outcome.status === 'missing') continue;
      const { frame, value } = decodeRoot(name, 'request', outcome.bytes);
      requireShape(name, 'request', value, requestShape);
      const { untilMs, ...content } = value as RequestContent & Pick<StreamRequest, 'untilMs'>;
      requests.push({ id: frame.header.commitId, content, untilMs });
    } catch (error) {
      if (!(error instanceof TidemarkError) || !unreadable.has(error.code)) throw error;
      await store.delete([name]);
    }
  }
  return requests;
}

/** Done with, or withdrawn. */
export async function deleteRequest(store: ObjectStore, id: string): Promise<void> {
  await store.delete([requestName(id)]);
}

export async function isWaiting(store: ObjectStore, id: string): Promise<boolean> {
  return (await store.head(requestName(id))).status === 'found';
}
