import { ByteTurns } from '../base/byte-turns.ts';
import { invariant } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckpointSettings } from './checkpoint-options.ts';
import type { Part } from './content.ts';
import { putUntilKnown } from './durable-put.ts';
import { mapBounded } from './map-bounded.ts';

const uploadsMax = 4;

/** One operator's bytes on their way into segment or snapshot objects. */
export interface Extent {
  readonly uid: string;
  readonly bytes: Uint8Array;
}

interface PackedPart {
  readonly extent: number;
  readonly bytes: Uint8Array;
}

/**
 * Uploads the extents of all operators merged into few objects of at most `segmentBytesMax`, in parallel. Nothing
 * counts until a record names them: a crash in between leaves orphans that retention removes.
 *
 * @param aloneFromBytes an extent of this size starts and ends an object of its own, so that it doesn't keep others alive.
 * @returns the parts of each extent, in the order of the input.
 */
export async function writeExtents(
  store: ObjectStore,
  settings: CheckpointSettings,
  extents: readonly Extent[],
  aloneFromBytes: number,
  nameOf: (index: number, id: string) => string,
): Promise<{ readonly parts: readonly (readonly Part[])[]; readonly objects: readonly string[] }> {
  const packs = pack(extents, settings.segmentBytesMax, aloneFromBytes);
  const objects = packs.map((_, index) => nameOf(index, settings.random.id()));
  const turns = new ByteTurns();
  await mapBounded(packs, uploadsMax, async (pack, index) => {
    const bytes = pack.length === 1 ? pack[0]!.bytes : await turns.concat(pack.map((part) => part.bytes));
    const name = objects[index]!;
    const put = await putUntilKnown(store, settings, name, bytes, settings.random.id(), 'through refusals');
    invariant(put.status === 'done', `The fresh name "${name}" is taken.`);
  });
  const parts: Part[][] = extents.map(() => []);
  for (const [index, pack] of packs.entries()) {
    let offset = 0;
    for (const { extent, bytes } of pack) {
      const sha256 = await turns.sha256Hex(bytes);
      parts[extent]!.push({ object: objects[index]!, offset, length: bytes.length, sha256 });
      offset += bytes.length;
    }
  }
  return { parts, objects };
}

/** First fit in order; an extent that is larger than an object goes on in the next one. */
function pack(extents: readonly Extent[], bytesMax: number, aloneFromBytes: number): readonly PackedPart[][] {
  const packs: PackedPart[][] = [];
  let open: PackedPart[] = [];
  let openBytes = 0;
  const close = (): void => {
    if (open.length > 0) packs.push(open);
    open = [];
    openBytes = 0;
  };
  for (const [extent, { bytes }] of extents.entries()) {
    const isAlone = bytes.length >= aloneFromBytes;
    if (isAlone) close();
    for (let at = 0; at < bytes.length; ) {
      if (openBytes === bytesMax) close();
      const piece = bytes.subarray(at, at + bytesMax - openBytes);
      open.push({ extent, bytes: piece });
      openBytes += piece.length;
      at += piece.length;
    }
    if (isAlone) close();
  }
  close();
  return packs;
}
